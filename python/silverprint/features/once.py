"""A cached property that threads racing for the first use make once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self, TypeVar, overload

Value = TypeVar("Value")


class once(cached_property[Value]):  # noqa: N801
    """``functools.cached_property`` with a lock, which it has had no more since Python 3.12."""

    def __init__(self, make: Callable[[Any], Value]) -> None:
        super().__init__(make)
        self._making = threading.RLock()

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Value: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | Value:
        """The value; an instance that has it does not come here."""
        if instance is None:
            return self
        with self._making:
            return super().__get__(instance, owner)
