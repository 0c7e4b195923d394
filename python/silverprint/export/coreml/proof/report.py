"""What a proof found, to read and to keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

NOT_PROVEN = (
    "the phone's own crop and resampling of a picture: Vision's differ a little from silverprint's",
    "Core ML's own kernels, which round in their own way on CPU, GPU and Neural Engine",
)
"""What no proof away from the device can show."""

_SHOWN = 8


@dataclass(frozen=True)
class Check:
    """One kind of comparison: `letter` (a to f), `what` was compared, how many `compared`."""

    letter: str
    what: str
    compared: int


@dataclass(frozen=True)
class Numbers:
    """Execution against the reference in one arithmetic.

    Attributes:
        arithmetic: "float32", or "float16" where every float16 value was rounded.
        pictures: how many were executed.
        worst: largest difference of an output, as a share of its largest number; of
            probabilities, of the largest that the scores behind them may make.
        gate: what `worst` must not exceed: `usual`, or more where the reference itself moves as
            far with the last bits of a picture.
        usual: what holds for weights of this type.
        probability: largest difference of a probability; None without probabilities.
    """

    arithmetic: str
    pictures: int
    worst: float
    gate: float
    usual: float
    probability: float | None


@dataclass(frozen=True)
class NearTie:
    """A picture whose two best labels are closer than the arithmetic can tell.

    `label` is the reference's answer, `answer` the file's, `margin` the difference of the
    reference's two best probabilities.
    """

    picture: int
    label: str
    answer: str
    margin: float


@dataclass(frozen=True)
class Agreement:
    """The file under another picture rule, against the answers under its own.

    `labels` is the share of equal labels; `accuracy` that of right ones, None where the labels of
    the pictures are not known. `swift` asks Vision for this rule; "" where it cannot.
    """

    rule: str
    labels: float
    accuracy: float | None
    swift: str


@dataclass(frozen=True)
class Proof:
    """A saved Core ML file computes what its ONNX reference says.

    Attributes:
        path: the file.
        kind: "ML Program", "NeuralNetwork" or "Pipeline".
        types: how its weights are stored, such as ("float16", "float32").
        checks: what was compared, and found equal.
        numbers: execution, by arithmetic.
        near_ties: pictures that even an exact file may answer otherwise.
        largest: name and size of the largest number that is computed, over all pictures.
        unproven: layers that only execution has compared, not their parameters.
        rules: agreement under other picture rules; `verify` only.
        core_ml: what Core ML itself gave, or why it was not asked.
    """

    path: str
    kind: str
    types: tuple[str, ...]
    checks: tuple[Check, ...]
    numbers: tuple[Numbers, ...]
    near_ties: tuple[NearTie, ...]
    largest: tuple[str, float]
    unproven: tuple[str, ...]
    rules: tuple[Agreement, ...] = ()
    core_ml: str = "not asked: Core ML runs on macOS only"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return {**asdict(self), "not_proven": list(NOT_PROVEN)}

    def __str__(self) -> str:
        lines = [f"{self.path}: proven ({self.kind}, weights {', '.join(self.types)})"]
        lines += [f"  ({one.letter}) {one.what}: {one.compared}" for one in self.checks]
        lines += [f"  {_execution(one)}" for one in self.numbers]
        lines.append(f"  largest number computed: {self.largest[1]:.6g} in {self.largest[0]!r}")
        for tie in self.near_ties:
            said = "the same" if tie.label == tie.answer else f"the file says {tie.answer!r}"
            lines.append(
                f"  near tie: picture {tie.picture}, {tie.label!r} by {tie.margin:.2g}, {said}"
            )
        if self.unproven:
            lines.append(f"  proven by execution alone: {_some(self.unproven)}")
        for rule in self.rules:
            right = "" if rule.accuracy is None else f", accuracy {rule.accuracy:.1%}"
            lines.append(f"  under {rule.rule}: {rule.labels:.1%} of the labels equal{right}")
            lines += [f"    {rule.swift}"] if rule.swift else []
        lines.append(f"  Core ML itself: {self.core_ml}")
        lines += [f"  not proven: {one}" for one in NOT_PROVEN]
        return "\n".join(lines)


def _execution(one: Numbers) -> str:
    probability = ""
    if one.probability is not None:
        probability = f", probabilities within {one.probability:.2g}"
    restless = ""
    if one.gate > one.usual:
        restless = ", for the last bits of a picture move the reference nearly as far"
    return (
        f"(a) executed in {one.arithmetic} on {one.pictures} pictures: relative difference "
        f"{one.worst:.2g} (at most {one.gate:.2g}{restless}){probability}"
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
