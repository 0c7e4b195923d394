"""`silverprint evaluate`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.output import Output, check_folder, metrics_record, show_metrics
from silverprint.cli.pictures import labelled_data


def evaluate(
    model: Annotated[Path, typer.Argument(help="A model of silverprint: .onnx or Core ML.")],
    data: Annotated[
        Path, typer.Argument(help="A folder with one folder of pictures per label, or a manifest.")
    ],
    part: Annotated[str | None, typer.Option(help="Part of the manifest.")] = None,
    min_accuracy: Annotated[
        float | None, typer.Option(help="Exit with 4 if the accuracy is lower.")
    ] = None,
    min_recall: Annotated[
        list[str] | None, typer.Option(help="LABEL=0.8: exit with 4 if its recall is lower.")
    ] = None,
    errors: Annotated[Path | None, typer.Option(help="CSV file for the wrong answers.")] = None,
    threads: Annotated[int | None, typer.Option(help="Pictures worked on at once.")] = None,
    max_unreadable: Annotated[
        float, typer.Option(help="Share of pictures that may be unreadable.")
    ] = 0.05,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Measure a model on labelled pictures, and fail below a gate."""
    import silverprint as sp
    from silverprint.cli.main import GATE_FAILED, OK

    out = Output(json)
    check_folder(errors)
    classifier = sp.load(model)
    gates = [_gate(text, classifier.labels) for text in min_recall or []]
    if min_accuracy is not None and not 0 <= min_accuracy <= 1:
        raise sp.InvalidParameterError("min_accuracy", min_accuracy, "a share from 0 to 1")
    metrics = classifier.evaluation(
        labelled_data(data, part), threads=threads, max_unreadable=max_unreadable
    )
    show_metrics(out, str(model), metrics)
    failed = []
    if min_accuracy is not None and metrics.accuracy < min_accuracy:
        failed.append(f"accuracy {metrics.accuracy:.4f} is below {min_accuracy:g}")
    recall = {row.label: row.recall for row in metrics.precision_recall}
    for label, least in gates:
        # A label without pictures has no recall: such a gate cannot be said to be met.
        if not recall[label] >= least:
            failed.append(f"recall of {label!r} {recall[label]:.4f} is below {least:g}")
    if errors is not None:
        _write_errors(errors, metrics)
        out.say(f"{len(metrics.mistakes)} wrong answers in {errors}")
    for reason in failed:
        out.say(f"FAILED: {reason}")
    out.finish(metrics_record(metrics) | {"failed": failed})
    return GATE_FAILED if failed else OK


def _gate(text: str, labels: tuple[str, ...]) -> tuple[str, float]:
    from silverprint.errors import InvalidParameterError, nearest

    label, _, value = text.rpartition("=")
    try:
        least = float(value)
    except ValueError:
        least = -1.0
    if not label or not 0 <= least <= 1:
        raise InvalidParameterError("min_recall", text, "LABEL=SHARE, such as cat=0.8")
    if label not in labels:
        raise InvalidParameterError(
            "min_recall", text, f"a label of the model{nearest(label, labels)}"
        )
    return label, least


def _write_errors(path: Path, metrics: object) -> None:
    from silverprint.export.atomic import replace_file

    with (
        replace_file(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as stream,
    ):
        writer = csv.writer(stream)
        writer.writerow(["path", "truth", "answer", "probability"])
        for mistake in metrics.mistakes:  # type: ignore[attr-defined]
            row = (mistake.path, mistake.truth, mistake.answer, f"{mistake.probability:.6f}")
            writer.writerow(row)
