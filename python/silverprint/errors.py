"""Every exception that silverprint raises on purpose.

Each message names the file or value at fault and the remedy. ``except SilverprintError``
catches all of them; those that Python users expect as ``ValueError`` or ``OSError`` are
that as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


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


def nearest(value: object, known: Iterable[str]) -> str:
    """``'; did you mean 'x'?'`` for the closest of `known`, or nothing."""
    match = get_close_matches(str(value), list(known), n=1)
    return f"; did you mean {match[0]!r}?" if match else ""
