"""Ours, onnx2coreml alone and onnxsim on the same files, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import common
from coreml.convert import Tool
from coreml.measure import Outcome, Variant
from coreml.subjects import Subject
from coreml.table import GATE

TOOLS: tuple[Tool, ...] = ("silverprint", "onnx2coreml", "onnxsim")
VARIANTS = (Variant(".mlpackage", "float32"), Variant(".mlpackage", "float16"))

Outcomes = dict[tuple[Tool, Variant], Outcome]


def text(results: Sequence[tuple[Subject, Outcomes]]) -> str:
    """Totals of each tool, then the error of each file, then why files were refused."""
    return "\n".join(
        [
            "Every tool gets the same ONNX file, its batch set to 1; the files are executed by",
            "silverprint's executor. Normalisation and softmax are silverprint's to add, not the",
            "others'. *Right*: the labels of all pictures without a near tie, and at float32 an",
            f"error of at most {GATE:.0e}.\n",
            _totals(results),
            _errors(results),
            _reasons(results),
        ]
    )


def _totals(results: Sequence[tuple[Subject, Outcomes]]) -> str:
    header = [
        "tool",
        "files",
        "convert, float32",
        "right",
        "worst error",
        "convert, float16",
        "right",
        "worst error",
        "image input",
        "labels",
        "Create ML's names",
    ]
    rows = []
    for tool in TOOLS:
        row: list[object] = [tool, len(results)]
        for variant in VARIANTS:
            found = [outcomes[tool, variant] for _, outcomes in results]
            agreements = [one.agreement for one in found if one.agreement]
            worst = max((one.error for one in agreements), default=float("nan"))
            row += [
                sum(one.converted for one in found),
                sum(right(one, variant) for one in found),
                f"{worst:.1e}",
            ]
        faces = [outcomes[tool, VARIANTS[0]].face for _, outcomes in results]
        for name in ("image", "labels", "names"):
            row.append(sum(bool(face and getattr(face, name)) for face in faces))
        rows.append(row)
    return common.table(header, rows)


def right(outcome: Outcome, variant: Variant) -> bool:
    """Whether a file gives the labels that it should, and at float32 the numbers."""
    found = outcome.agreement
    if found is None or found.clear_same < found.clear:
        return False
    return variant.precision == "float16" or found.error <= GATE


def _errors(results: Sequence[tuple[Subject, Outcomes]]) -> str:
    header = ["file", *(f"{tool}, {one.precision}" for one in VARIANTS for tool in TOOLS)]
    rows = []
    for subject, outcomes in results:
        cells = []
        for variant in VARIANTS:
            for tool in TOOLS:
                outcome = outcomes[tool, variant]
                if not outcome.converted:
                    cells.append("refused")
                elif outcome.agreement is None:
                    cells.append("not executed")
                else:
                    shown = f"{outcome.agreement.error:.1e}"
                    cells.append(shown if right(outcome, variant) else f"**{shown}**")
        rows.append([subject.key, *cells])
    return common.table(header, rows)


def _reasons(results: Sequence[tuple[Subject, Outcomes]]) -> str:
    lines = []
    for subject, outcomes in results:
        for tool in TOOLS:
            outcome = outcomes[tool, VARIANTS[0]]
            if outcome.error:
                lines.append(f"- {subject.key}, {tool}: {' '.join(outcome.error.split())[:200]}")
    return "\n".join(["Why:\n", *(lines or ["- nothing was refused"]), ""])
