"""A cached property that threads racing for the first use make once."""

from __future__ import annotations

import os
import sys
import threading
from functools import cached_property
from typing import Any, Self, TypeVar, overload
from weakref import WeakValueDictionary

Value = TypeVar("Value")


class _Locks:
    """A lock for each instance that is being waited for, by its id; nothing is left of it after."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._by_id: WeakValueDictionary[int, threading.RLock] = WeakValueDictionary()

    def of(self, instance: object) -> threading.RLock:
        """Shared by all threads that hold it at one time."""
        with self._guard:
            return self._by_id.setdefault(id(instance), threading.RLock())


_locks = _Locks()


class once(cached_property[Value]):  # noqa: N801
    """``functools.cached_property`` with a lock of its own for each instance.

    The standard one holds one lock for all instances, or since Python 3.12 none.
    """

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> Value: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Self | Value:
        """The value; an instance that has it does not come here."""
        if instance is None:
            return self
        assert self.attrname is not None
        values = instance.__dict__
        with _locks.of(instance):
            if self.attrname not in values:
                values[self.attrname] = self.func(instance)
            value: Value = values[self.attrname]
            return value


def _forget_locks() -> None:
    global _locks
    _locks = _Locks()


if sys.platform != "win32":
    # A forked child lacks the threads that held them.
    os.register_at_fork(after_in_child=_forget_locks)
