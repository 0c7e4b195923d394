"""Executes a saved file and holds its outputs against the reference: checks (a), (b) and (f).

Float32 files are executed as they are. Files with float16 values are executed with every such
value rounded, as the device does, and the first pictures once more in float32: so an error of the
file and an effect of the rounding can be told apart. A difference within the gate can change an
answer only where the reference's two best labels are closer than twice that difference: such an
answer is a near tie, any other one an error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute import prepare
from silverprint.export.coreml.proof.oracle import Floats, Oracle, relative
from silverprint.export.coreml.proof.overflow import Extremes
from silverprint.export.coreml.proof.report import NearTie, Numbers
from silverprint.export.coreml.reader import SavedModel

Rounding = Literal["none", "float16"]

GATES = {"float32": 2e-5, "float16": 2e-2, "int8": 0.5}
"""Largest relative difference, by the coarsest type of the weights."""

IN_FLOAT32 = 4
"""Pictures that a float16 file is executed on in float32, too."""

_LAST_BIT = {"float32": 2.0**-23, "float16": 2.0**-10}
"""The last bit of a number, as a share of it."""

_CLEAR = {"float32": 1e-30, "float16": 1e-3}
"""Probabilities that the arithmetic holds to its last bits."""

_SUM = 1e-3
"""How far the sum of probabilities may be from 1."""

_UNREST = 8.0
"""How many times what the last bits of the picture alone change the outputs may differ."""


@dataclass(frozen=True)
class Answers:
    """Which output of the file is which output of the reference.

    `tensors` by name; of a classifier the names of label and probabilities, its `labels`, and
    the reference's name of the probabilities.
    """

    image: str
    tensors: Mapping[str, str]
    label: str = ""
    probabilities: str = ""
    reference: str = ""
    labels: tuple[Any, ...] = ()

    @property
    def wanted(self) -> list[str]:
        """Outputs of the reference that are needed."""
        return list(dict.fromkeys([*self.tensors.values(), *filter(None, [self.reference])]))


@dataclass
class Execution:
    """What execution found: one `Numbers` per arithmetic, near ties, the largest number."""

    numbers: list[Numbers]
    near_ties: list[NearTie]
    largest: tuple[str, float]


def execute_all(
    saved: SavedModel, oracle: Oracle, tensors: Sequence[Floats], answers: Answers, kind: str
) -> Execution:
    """Execute `saved` on every picture and compare; `kind` is a key of `GATES`.

    Raises ExportError: a difference beyond the gate, with the first layer that differs; another
    label where the reference is sure; a number that float16 cannot hold, with the layer; scores
    of the reference that are no probabilities.
    """
    extremes = Extremes(saved)
    wanted = [oracle(tensor) for tensor in tensors]
    if answers.reference:
        for number, outputs in enumerate(wanted):
            _check_probabilities(number, outputs[answers.reference])
    found: list[Numbers] = []
    ties: dict[int, NearTie] = {}
    rounded = extremes.has_float16
    plans: list[tuple[Rounding, int]] = [("none", IN_FLOAT32 if rounded else len(tensors))]
    plans += [("float16", len(tensors))] if rounded else []
    for rounding, count in plans:
        run = _prepared(saved, rounding)
        compare = _Comparison(saved, oracle, answers, kind, run)
        for number, (tensor, outputs) in enumerate(zip(tensors[:count], wanted, strict=False)):
            try:
                results = run({answers.image: tensor}, watch=extremes.see)
            except ExportError as error:
                raise _lettered(error) from error
            tie = compare(number, tensor, results, outputs)
            if tie is not None:
                ties[number] = tie
        found.append(compare.numbers("float32" if rounding == "none" else "float16"))
    return Execution(found, [ties[number] for number in sorted(ties)], extremes.largest)


def _check_probabilities(number: int, scores: Floats) -> None:
    """Whatever is no number is told of later, with the layer that it comes from."""
    if not np.isfinite(scores).all():
        return
    total, least = float(scores.sum(dtype=np.float64)), float(scores.min())
    if least < 0 or abs(total - 1) > _SUM:
        said = f"one is {least:.2g}" if least < 0 else f"they sum to {total:.4g}"
        raise ExportError(
            f"check (f): its scores are no probabilities (for picture {number} {said}): pass "
            'scores="logits", or export it as a backbone'
        )


def _prepared(saved: SavedModel, rounding: Rounding) -> Callable[..., dict[str, Any]]:
    try:
        return prepare(saved, rounding=rounding)
    except ExportError as error:
        raise _lettered(error) from error


def _lettered(error: ExportError) -> ExportError:
    """What stops an execution is a shape, a type or an operator, unless it says otherwise."""
    return error if str(error).startswith("check (") else ExportError(f"check (b): {error}")


class _Comparison:
    def __init__(
        self,
        saved: SavedModel,
        oracle: Oracle,
        answers: Answers,
        kind: str,
        run: Callable[..., dict[str, Any]],
    ) -> None:
        self._saved, self._oracle, self._answers, self._run = saved, oracle, answers, run
        self._kind, self._gate = kind, GATES[kind]
        self._pictures, self._worst = 0, 0.0
        self._probability: float | None = None

    def numbers(self, arithmetic: str) -> Numbers:
        return Numbers(
            arithmetic,
            self._pictures,
            self._worst,
            self._gate,
            GATES[self._kind],
            self._probability,
        )

    def __call__(
        self,
        number: int,
        tensor: Floats,
        results: Mapping[str, Any],
        wanted: Mapping[str, Floats],
    ) -> NearTie | None:
        """Compare the results for one picture."""
        self._pictures += 1
        for name, reference in self._answers.tensors.items():
            if np.size(results[name]) != wanted[reference].size:
                raise ExportError(
                    f"check (b): the output {name!r} has the shape {list(np.shape(results[name]))} "
                    f"instead of {list(wanted[reference].shape)}"
                )
            self._judge(number, tensor, name, reference, relative(results[name], wanted[reference]))
        if not self._answers.reference:
            return None
        return self._classified(number, tensor, results, wanted[self._answers.reference].ravel())

    def _judge(self, number: int, tensor: Floats, name: str, reference: str, off: float) -> None:
        gate = self._gate
        if off > gate and self._kind in _LAST_BIT:
            # A network may amplify rounding so much that no two implementations agree better.
            movement = self._oracle.unrest(tensor, _LAST_BIT[self._kind])[reference]
            gate = max(gate, _UNREST * movement)
        if not off <= gate:
            where = first_difference(self._run, self._oracle, tensor, self._answers.image, off)
            raise ExportError(
                "check (a): the saved file computes something else than its reference: for picture "
                f"{number} the output {name!r} differs by {off:.2g} of its largest number, at most "
                f"{gate:.2g} is rounding; {where}"
            )
        self._worst, self._gate = max(self._worst, off), max(self._gate, gate)

    def _classified(
        self, number: int, tensor: Floats, results: Mapping[str, Any], wanted: Floats
    ) -> NearTie | None:
        answers = self._answers
        by_label = results[answers.probabilities]
        if list(by_label) != list(answers.labels) or wanted.size != len(answers.labels):
            raise ExportError(
                f"check (f): the file has {len(by_label)} labels, not the {wanted.size} of its "
                "reference in their order"
            )
        found = np.array([by_label[label] for label in answers.labels], np.float32)
        difference = float(np.abs(found - wanted).max())
        difference = float("inf") if np.isnan(difference) else difference
        off = max(difference / slack(wanted), self._in_scores(found, wanted))
        self._judge(number, tensor, answers.probabilities, answers.reference, off)
        self._probability = max(self._probability or 0.0, difference)
        best = answers.labels[int(np.argmax(wanted))]
        if results[answers.label] != answers.labels[int(np.argmax(found))]:
            raise ExportError(
                f"check (f): for picture {number} the file answers {results[answers.label]!r}, "
                f"its own probabilities say {answers.labels[int(np.argmax(found))]!r}"
            )
        answer, margin = results[answers.label], _margin(wanted)
        if answer == best and margin > 2 * difference:
            return None
        return NearTie(number, str(best), str(answer), margin)

    def _in_scores(self, found: Floats, wanted: Floats) -> float:
        """The relative difference of the scores that the logarithms of the probabilities show.

        They show it where a probability is large enough for its arithmetic to hold it well.
        """
        clear = wanted >= _CLEAR.get(self._kind, 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            logarithms = np.abs(np.log(found[clear]) - np.log(wanted[clear]))
        # The scores move by d, the logarithms by 2 d at most.
        off = float(logarithms.max(initial=0.0)) / (4 * slack(wanted))
        return float("inf") if np.isnan(off) else off


def slack(probabilities: Floats) -> float:
    """What a relative difference of 1 in the scores may change in a probability.

    Scores that move by d move no probability by more than d / 2; and a score is as large as the
    logarithm of its probability says.
    """
    logarithms = np.log(np.maximum(probabilities, np.finfo(np.float32).tiny))
    return max(1.0, float(-logarithms.min())) / 2


def _margin(probabilities: Floats) -> float:
    ordered = np.sort(probabilities)
    return float(ordered[-1] - ordered[-2]) if ordered.size > 1 else 1.0


def first_difference(
    run: Callable[..., dict[str, Any]], oracle: Oracle, tensor: Floats, image: str, off: float
) -> str:
    """Which layer is the first whose numbers are not the reference's, in words."""
    limit = min(max(GATES["float32"], off / 10), 0.1)
    names = oracle.inner_names()
    wanted = oracle.inner(tensor, list(names.values()))
    seen = False
    first = ""

    def watch(name: str, value: npt.NDArray[Any]) -> None:
        nonlocal first, seen
        reference = wanted.get(names.get(name, ""))
        if first or reference is None or value.size != reference.size:
            return
        seen = True
        if relative(value, reference) > limit:
            first = name

    run({image: tensor}, watch=watch)
    if first:
        return f"the first layer that differs is {first!r}"
    return "no inner layer differs" if seen else "its inner layers have no names to compare"
