"""
The native core; use it through the silverprint package.
"""

from __future__ import annotations
from . import build
from . import detect
from . import image
from . import kernels
from . import runtime
from . import solve

__all__: list[str] = ["build", "detect", "image", "kernels", "runtime", "solve"]
