"""What commands print: text for people, or one JSON object for programs."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from silverprint.errors import ExportError
from silverprint.model.metrics import ClassifierMetrics


class Output:
    """Text goes to standard output as it comes; with `as_json` only `finish` prints there."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json

    def say(self, text: object = "") -> None:
        """A line for people."""
        if not self.as_json:
            print(printable(str(text)), flush=True)

    def table(self, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """A table for people; numbers are set right."""
        if self.as_json:
            return
        from rich.console import Console
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        cells = [[_cell(value) for value in row] for row in rows]
        first = next(iter(cells), [])
        for i, name in enumerate(header):
            number = bool(first) and first[i].replace(".", "").replace("-", "").isdigit()
            table.add_column(name, justify="right" if number else "left", overflow="fold")
        for row in cells:
            table.add_row(*row)
        console = Console(markup=False, highlight=False, file=sys.stdout)
        console.print(table)

    def finish(self, record: dict[str, Any]) -> None:
        """The result, for programs."""
        if self.as_json:
            print(json.dumps(record, indent=2, allow_nan=False), flush=True)


def check_folder(path: Path | None) -> None:
    """Refuse, before the work, a file whose folder is missing.

    Raises:
        ExportError: it is.
    """
    if path is not None and not path.parent.is_dir():
        raise ExportError(f"{path.parent}: no such folder; make it first")


def metrics_record(metrics: ClassifierMetrics) -> dict[str, Any]:
    """Metrics as JSON values."""
    low, high = metrics.accuracy_interval
    return {
        "count": metrics.count,
        "accuracy": metrics.accuracy,
        "accuracy_interval": [low, high],
        "log_loss": metrics.log_loss,
        "calibration_error": _finite(metrics.calibration_error),
        "labels": [
            {
                "label": row.label,
                "precision": _finite(row.precision),
                "recall": _finite(row.recall),
                "f1": _finite(row.f1),
                "support": row.support,
            }
            for row in metrics.precision_recall
        ],
        "confusion": [
            {"true_label": row.true_label, "predicted": row.predicted, "count": row.count}
            for row in metrics.confusion
        ],
    }


def show_metrics(output: Output, title: str, metrics: ClassifierMetrics) -> None:
    """Accuracy with its interval, and the labels with the lowest recall first."""
    low, high = metrics.accuracy_interval
    output.say(
        f"{title}: accuracy {metrics.accuracy:.3f} (95 % interval {low:.3f} to {high:.3f}) "
        f"on {metrics.count} pictures, calibration error {metrics.calibration_error:.3f}"
    )
    rows = sorted(metrics.precision_recall, key=lambda r: (math.isnan(r.recall), r.recall))
    output.table(
        ["label", "precision", "recall", "pictures"],
        [(row.label, row.precision, row.recall, row.support) for row in rows[:20]],
    )
    if len(rows) > 20:
        output.say(f"... and {len(rows) - 20} labels with higher recall")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "-" if math.isnan(value) else f"{value:.3f}"
    return printable(str(value))


def printable(text: str) -> str:
    """`text` without what standard output cannot encode."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
