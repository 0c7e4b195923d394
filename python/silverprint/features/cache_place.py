"""Where the feature cache lies and how large it may become: the environment, or each system's way.

``SILVERPRINT_CACHE``: a folder, or ``off``. ``SILVERPRINT_CACHE_SIZE``: such as ``5GB``, ``500MB``
or a number of bytes.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from silverprint.errors import InvalidParameterError

DEFAULT_MAX_BYTES = 10**10

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def cache_folder() -> Path | None:
    """The folder; None if there is to be no cache, or no place for one."""
    given = os.environ.get("SILVERPRINT_CACHE", "")
    if given.lower() == "off":
        return None
    if given:
        return Path(given).absolute()
    if sys.platform == "win32":
        return _below("LOCALAPPDATA", "AppData", "Local", name=("silverprint", "Cache"))
    if sys.platform == "darwin":
        return _below("", "Library", "Caches")
    return _below("XDG_CACHE_HOME", ".cache")


def cache_limit() -> int:
    """The size limit in bytes.

    Raises:
        InvalidParameterError: ``SILVERPRINT_CACHE_SIZE`` is no size.
    """
    given = os.environ.get("SILVERPRINT_CACHE_SIZE", "").strip()
    if not given:
        return DEFAULT_MAX_BYTES
    found = re.fullmatch(r"([0-9]+(?:[.][0-9]+)?)\s*([A-Z]*)", given.upper())
    if found is None or found[2] not in _UNITS or float(found[1]) == 0:
        raise InvalidParameterError(
            "SILVERPRINT_CACHE_SIZE", given, 'a size such as "5GB" or "500MB", or a number of bytes'
        )
    return int(float(found[1]) * _UNITS[found[2]])


def _below(variable: str, *parts: str, name: tuple[str, ...] = ("silverprint",)) -> Path | None:
    """The folder that `variable` names, or that of these parts in the user's home."""
    given = os.environ.get(variable, "") if variable else ""
    if os.path.isabs(given):
        return Path(given, *name)
    home = os.path.expanduser("~")
    return Path(home, *parts, *name) if os.path.isabs(home) else None
