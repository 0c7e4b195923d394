"""What ours made of each subject, as Markdown tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import common
from coreml.measure import Outcome, Variant
from coreml.subjects import Subject

FLOAT32 = Variant(".mlpackage", "float32")
FLOAT16 = Variant(".mlpackage", "float16")
NETWORK32 = Variant(".mlmodel", "float32")
NETWORK16 = Variant(".mlmodel", "float16")
VARIANTS = (FLOAT32, FLOAT16, NETWORK32, NETWORK16)

GATE = 2e-5
"""Largest error of a float32 file that counts as right."""

Outcomes = Mapping[Variant, Outcome]


def text(results: Sequence[tuple[Subject, Outcomes]], pictures: int) -> str:
    """A row for each subject, then what went wrong, then the operators."""
    return "\n".join(
        [
            f"{pictures} pictures. *Error*: largest difference of the logits to onnxruntime's as a",
            "share of the largest; *rounded*: every float16 value rounded once it is computed.",
            "*Labels*: pictures with the same best label in all files, of those without a near",
            "tie. *Seconds* and *MB of memory* are those of the process that writes and proves",
            "the float16 ML Program; size is that file's.\n",
            _rows(results, pictures),
            _failures(results),
            _operators(results),
        ]
    )


def _rows(results: Sequence[tuple[Subject, Outcomes]], pictures: int) -> str:
    header = [
        "network",
        "family",
        "exporter, opset",
        "operators (kinds)",
        "error, float32",
        "float16",
        "float16, rounded",
        ".mlmodel, float32",
        ".mlmodel, float16",
        "labels",
        "MB",
        "seconds",
        "MB of memory",
    ]
    rows = []
    for subject, outcomes in results:
        main = outcomes.get(FLOAT16)
        rows.append(
            [
                subject.name,
                subject.family,
                subject.origin,
                _count(outcomes.get(FLOAT32)),
                _error(outcomes.get(FLOAT32)),
                _error(main),
                f"{main.rounded.error:.1e}" if main and main.rounded else "–",
                _error(outcomes.get(NETWORK32)),
                _error(outcomes.get(NETWORK16)),
                _labels(outcomes),
                f"{main.size / 1e6:.1f}" if main and main.converted else "–",
                f"{main.seconds:.1f}" if main and main.converted else "–",
                f"{main.memory:.0f}" if main and main.converted else "–",
            ]
        )
    return common.table(header, rows)


def _count(outcome: Outcome | None) -> str:
    if outcome is None or outcome.operators is None:
        return "–"
    return f"{sum(outcome.operators.values())} ({len(outcome.operators)})"


def _error(outcome: Outcome | None) -> str:
    if outcome is None:
        return "–"
    if outcome.agreement is None:
        return "**refused**"
    shown = f"{outcome.agreement.error:.1e}"
    wrong = outcome.agreement.clear_same < outcome.agreement.clear
    return f"**{shown}**" if wrong else shown


def _labels(outcomes: Outcomes) -> str:
    found = [one.agreement for one in outcomes.values() if one.agreement]
    found += [one.rounded for one in outcomes.values() if one.rounded]
    if not found:
        return "–"
    return f"{min(one.clear_same for one in found)} of {found[0].clear}"


def _failures(results: Sequence[tuple[Subject, Outcomes]]) -> str:
    lines = []
    for subject, outcomes in results:
        for variant, outcome in outcomes.items():
            if outcome.error:
                reason = " ".join(outcome.error.split())[:300]
                lines.append(f"- {subject.key}, {variant.title}: {reason}")
            if outcome.unproven:
                shown = ", ".join(outcome.unproven[:4])
                lines.append(
                    f"- {subject.key}, {variant.title}: by execution alone: "
                    f"{len(outcome.unproven)} layers ({shown})"
                )
    return "\n".join(["Refused, or not proven in full:\n", *(lines or ["- none"]), ""])


def _operators(results: Sequence[tuple[Subject, Outcomes]]) -> str:
    lines = []
    for title, variant in (("ML Program", FLOAT32), ("NeuralNetwork", NETWORK32)):
        networks: Counter[str] = Counter()
        for _, outcomes in results:
            if variant in outcomes and outcomes[variant].operators:
                networks.update(outcomes[variant].operators.keys())
        shown = ", ".join(f"{name} {count}" for name, count in sorted(networks.items()))
        lines.append(f"Operators of {title}, and how many files have them: {shown}.\n")
    return "\n".join(lines)
