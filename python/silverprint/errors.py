"""Every exception that silverprint raises on purpose.

Each message names the file or value at fault and the remedy. ``except SilverprintError``
catches all of them; those that Python users expect as ``ValueError`` or ``OSError`` are
that as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

_MOST_NAMED = 10


class SilverprintError(Exception):
    """Root of the family."""


class InvalidDataError(SilverprintError, ValueError):
    """A file or folder cannot serve as what it was given for.

    ``file`` is what the user passed, ``reason`` says what is wrong and what to do.
    """

    def __init__(self, file: object, reason: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.file, self.reason)


class InvalidParameterError(SilverprintError, ValueError):
    """A parameter has a value that is not allowed; ``allowed`` says which are."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        super().__init__(f"{name}={value!r}: expected {allowed}")
        self.name = name
        self.value = value
        self.allowed = allowed

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.name, self.value, self.allowed)


class BackboneError(SilverprintError, ValueError):
    """An ONNX file cannot serve as a feature extractor."""


class OnnxRuntimeError(SilverprintError, OSError):
    """The ONNX Runtime library is missing, too old, damaged, or failed while running."""


class ExportError(SilverprintError):
    """A model could not be written in the format asked for."""


class TrainingCancelled(SilverprintError):
    """The job was asked to stop."""


class IncompatibleParametersError(SilverprintError, ValueError):
    """An unfinished session was begun with another value of a parameter."""

    def __init__(self, parameter: str, original: object, new: object) -> None:
        super().__init__(
            f"{parameter}={new!r}: the unfinished session was begun with {original!r}; go on with "
            "that, or use another session folder (pictures that are extracted are in the cache)"
        )
        self.parameter = parameter
        self.original = original
        self.new = new

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.parameter, self.original, self.new)


class ModifiedTrainingDataError(SilverprintError, ValueError):
    """The pictures of a session are not those it was begun with.

    Each attribute is a tuple of paths.
    """

    def __init__(
        self,
        added: Sequence[str] = (),
        removed: Sequence[str] = (),
        changed: Sequence[str] = (),
        relabelled: Sequence[str] = (),
    ) -> None:
        kinds = {"added": added, "removed": removed, "changed": changed, "relabelled": relabelled}
        parts = [_some(kind, paths) for kind, paths in kinds.items() if paths]
        super().__init__(
            f"the training data is not what the session was begun with: {'; '.join(parts)}; bring "
            "it back, or accept the changes (accept_changes=True, --accept-changes): what is "
            "extracted is kept"
        )
        self.added, self.removed = tuple(added), tuple(removed)
        self.changed, self.relabelled = tuple(changed), tuple(relabelled)

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.added, self.removed, self.changed, self.relabelled)


class CorruptSessionError(SilverprintError, OSError):
    """A session folder is damaged; ``what`` is, and ``remedy`` says what to do."""

    def __init__(self, path: object, what: str, remedy: str) -> None:
        super().__init__(f"{path}: {what}; {remedy}")
        self.path = path
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.what, self.remedy)


class SessionInUseError(SilverprintError):
    """Another job works on the session; ``holder`` names it."""

    def __init__(self, path: object, holder: str) -> None:
        super().__init__(
            f"{path}: in use by {holder}; wait for it or stop it, and if it no longer exists, "
            "take the session over (take_over=True, --take-over)"
        )
        self.path = path
        self.holder = holder

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.path, self.holder)


def nearest(value: object, known: Iterable[str]) -> str:
    """``'; did you mean 'x'?'`` for the closest of `known`, or nothing."""
    match = get_close_matches(str(value), list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""


def _some(kind: str, paths: Sequence[str]) -> str:
    shown = ", ".join(paths[:_MOST_NAMED])
    more = "" if len(paths) <= _MOST_NAMED else ", ..."
    return f"{len(paths)} {kind} ({shown}{more})"
