"""Work that a Ctrl-C must not stop midway."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")


def uninterrupted(work: Callable[[], Result]) -> Result:
    """What `work` gives; a Ctrl-C meanwhile is raised when it has ended."""
    with ThreadPoolExecutor(1, thread_name_prefix="silverprint-uninterrupted") as pool:
        return pool.submit(work).result()
