"""What can be chosen about a Core ML file."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from silverprint.errors import ExportError, nearest
from silverprint.export.coreml.names import IMAGE, LABEL, PROBABILITIES

Precision = Literal["float16", "float32"]
Layout = Literal["RGB", "BGR"]
Target = Literal["iOS15", "iOS16", "iOS17", "iOS18", "iOS26"]
Format = Literal["mlprogram", "neuralnetwork"]

TARGETS: tuple[Target, ...] = ("iOS15", "iOS16", "iOS17", "iOS18", "iOS26")
"""Oldest first."""

FORMATS: dict[str, Format] = {".mlpackage": "mlprogram", ".mlmodel": "neuralnetwork"}
"""What each ending of a file name stands for."""

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True)
class ExportOptions:
    """How a Core ML file is written; the ending of its name says in which format.

    Immutable: threads may share it.

    Args:
        precision: "float16", which every device computes fastest, or "float32". In float16 a head
            with numbers beyond 1000 stays float32. A ``.mlmodel`` only stores its weights so;
            the device decides how it computes.
        weights: 8 stores large weights as 8-bit integers, a quarter of float32; see
            `silverprint.export.coreml.translate.quantize`. None: as `precision` says.
        target: oldest system that must run a ``.mlpackage``, "iOS15" to "iOS26", each with the
            macOS of its year. None: the oldest that works. A ``.mlmodel`` has no choice.
        layout: colour planes that Core ML hands to the model, "RGB" or "BGR". The result is the
            same; a network that was trained on BGR saves a step with "BGR".
        label_name, probability_name: outputs of a classifier; ``classLabel`` and
            ``classLabelProbs`` are what older tools write.

    Raises:
        ExportError: a value is not one of these.
    """

    precision: Precision = "float16"
    weights: Literal[8] | None = None
    target: Target | None = None
    layout: Layout = "RGB"
    label_name: str = LABEL
    probability_name: str = PROBABILITIES

    def __post_init__(self) -> None:
        _check("precision", self.precision, ("float16", "float32"))
        _check("weights", self.weights, (None, 8))
        _check("target", self.target, (None, *TARGETS))
        _check("layout", self.layout, ("RGB", "BGR"))
        if self.weights == 8 and self.target == "iOS15":
            raise ExportError('weights=8 needs target="iOS16" or later: iOS 15 cannot read them')
        for option in ("label_name", "probability_name"):
            name = getattr(self, option)
            if not isinstance(name, str) or not _IDENTIFIER.fullmatch(name) or name == IMAGE:
                raise ExportError(
                    f"{option}={name!r}: expected a name of letters, digits and _ other than "
                    f"{IMAGE!r}"
                )
        if self.label_name == self.probability_name:
            raise ExportError(f"label_name and probability_name are both {self.label_name!r}")

    def targets(self) -> tuple[Target, ...]:
        """The deployment targets that may be tried, oldest first."""
        if self.target is not None:
            return (self.target,)
        return TARGETS[1:] if self.weights == 8 else TARGETS


def format_of(path: str | os.PathLike[str], options: ExportOptions) -> Format:
    """The format that the name of `path` stands for.

    Raises ExportError: another ending, or a target for a format that has none.
    """
    suffix = Path(path).suffix
    if suffix not in FORMATS:
        raise ExportError(f"{path}: the name of a Core ML file ends in .mlpackage or .mlmodel")
    if suffix == ".mlmodel" and options.target is not None:
        raise ExportError(
            f"{path}: a .mlmodel has no deployment target (it runs on iOS 13 or 14 and later); "
            "leave target out, or write a .mlpackage"
        )
    return FORMATS[suffix]


def _check(name: str, value: Any, known: Iterable[Any]) -> None:
    known = tuple(known)
    if type(value) not in (str, int, type(None)) or value not in known:
        shown = ", ".join(repr(one) for one in known)
        hint = nearest(value, [one for one in known if isinstance(one, str)])
        raise ExportError(f"{name}={value!r}: expected one of {shown}{hint}")
