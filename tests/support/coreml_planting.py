"""How faults are planted in copies of saved Core ML files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from support.coreml_copies import Copy

Change = Callable[[Copy], None]


@dataclass(frozen=True)
class Fault:
    """`what` is changed, by `change`, in a copy of the file `base`."""

    what: str
    base: str
    change: Change

    @property
    def id(self) -> str:
        return f"{self.base}: {self.what}"


FAULTS: list[Fault] = []


def fault(what: str, *bases: str) -> Callable[[Change], Change]:
    """Registers a change of copies of each of `bases`."""

    def register(change: Change) -> Change:
        FAULTS.extend(Fault(what, base, change) for base in bases)
        return change

    return register
