"""What was measured, as Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from common import ratios, spread, table
from prints.contenders import Contender
from prints.intervals import LEVEL, Interval, paired_difference
from prints.retrieval import Retrieval


@dataclass(frozen=True)
class SetScores:
    """What one extractor scored on one set.

    Attributes:
        right: which test pictures the probe answered rightly, bool (seeds, tests), by how many
            pictures of each label it was fitted to.
        retrieval: by nearest neighbours.
    """

    right: dict[str, npt.NDArray[np.bool_]]
    retrieval: Retrieval


Scores = dict[str, dict[str, SetScores]]
"""By extractor, then by set."""

Rates = dict[str, list[float]]
"""Pictures a second in each round, by extractor."""


def text(
    contenders: Sequence[Contender], scores: Scores, rates: Rates, references: Sequence[str]
) -> str:
    """The whole report: means over the sets, differences to each reference, set by set."""
    some = next(iter(next(iter(scores.values())).values()))
    amounts = list(some.right)
    seeds = len(some.right[amounts[0]])
    return "\n".join(
        [
            f"Means over the sets; the probe's over {seeds} seeds, too (where a label has fewer",
            "training pictures than asked for, it gives all). Pictures/s/core is the median",
            "(lowest–highest) of the rounds, its ratio is taken pair by pair.\n",
            _overview(contenders, scores, rates, references[-1]),
            *(_differences(scores, reference, amounts) for reference in references),
            "### Set by set\n",
            "Accuracy, mean (lowest–highest seed); (test pictures) in the head line.\n",
            *(f"{_title(amount)}:\n\n{_accuracies(scores, amount)}" for amount in amounts),
            "Nearest neighbours, recall at 1 / mean average precision:\n",
            _retrievals(scores),
        ]
    )


def _overview(contenders: Sequence[Contender], scores: Scores, rates: Rates, reference: str) -> str:
    amounts = list(next(iter(scores[reference].values())).right)
    header = [
        "",
        *map(_title, amounts),
        "recall at 1",
        "mean average precision",
        "pictures/s/core",
        f"speed over {reference}",
        "MB",
        "dimension",
        "input",
    ]
    rows = []
    for contender in contenders:
        name, of_sets = contender.name, list(scores[contender.name].values())
        found = [one.retrieval for one in of_sets]
        rows.append(
            [
                name,
                *(
                    f"{_mean([float(one.right[amount].mean()) for one in of_sets])}"
                    for amount in amounts
                ),
                _mean([one.recall_at_1 for one in found]),
                _mean([one.mean_average_precision for one in found]),
                spread(rates[name], 0),
                # `ratios` takes seconds.
                spread(ratios(*([1 / r for r in rates[n]] for n in (name, reference))), 2, "×"),
                f"{contender.file.stat().st_size / 1e6:.1f}",
                contender.extractor.dimension,
                contender.size,
            ]
        )
    return table(header, rows)


def _differences(scores: Scores, reference: str, amounts: Sequence[str]) -> str:
    """Each extractor less the reference: means over the sets, then each set with all pictures."""
    sets = list(scores[reference])
    rows = []
    for name, own in scores.items():
        if name == reference:
            continue
        compared = [(sets, amount) for amount in amounts] + [([one], amounts[0]) for one in sets]
        cells = []
        for names, amount in compared:
            ours, theirs = ([s[n].right[amount] for n in names] for s in (own, scores[reference]))
            cells.append(_points(paired_difference(ours, theirs)))
        rows.append([name, *cells])
    means = [f"mean, {_title(amount)}" for amount in amounts]
    return "\n".join(
        [
            f"### Accuracy less that of {reference}, in points\n",
            f"With {LEVEL:.0%} intervals: bootstrap over test pictures and seeds, paired in both;",
            "of the means over the sets, then of each set with all pictures.\n",
            table(["", *means, *sets], rows),
        ]
    )


def _accuracies(scores: Scores, amount: str) -> str:
    some = next(iter(scores.values()))
    header = ["", *(f"{name} ({one.right[amount].shape[1]})" for name, one in some.items())]
    rows = []
    for name, of_sets in scores.items():
        cells = []
        for one in of_sets.values():
            seeds = one.right[amount].mean(axis=1)
            cells.append(f"{seeds.mean():.4f} ({seeds.min():.3f}–{seeds.max():.3f})")
        rows.append([name, *cells])
    return table(header, rows)


def _retrievals(scores: Scores) -> str:
    rows = []
    for name, of_sets in scores.items():
        found = [one.retrieval for one in of_sets.values()]
        cells = [f"{one.recall_at_1:.4f} / {one.mean_average_precision:.4f}" for one in found]
        rows.append([name, *cells])
    return table(["", *next(iter(scores.values()))], rows)


def _title(amount: str) -> str:
    return "all pictures" if amount == "all" else f"{amount} a label"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.4f}"


def _points(difference: Interval) -> str:
    low, high = 100 * difference.low, 100 * difference.high
    return f"{100 * difference.mean:+.1f} ({low:+.1f} to {high:+.1f})"
