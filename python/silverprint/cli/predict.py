"""`silverprint predict`."""

from __future__ import annotations

import csv
import io
import sys
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from silverprint.cli.output import Output, check_folder, printable
from silverprint.cli.pictures import find_pictures


def predict(
    model: Annotated[Path, typer.Argument(help="A model of silverprint: .onnx or Core ML.")],
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, and folders of pictures.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="CSV file; without it, standard output.")
    ] = None,
    probabilities: Annotated[
        bool, typer.Option("--probabilities", help="A column for each label.")
    ] = False,
    threads: Annotated[int | None, typer.Option(help="Pictures worked on at once.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> int:
    """Label pictures. Those that cannot be read are listed with the reason, and the exit is 3."""
    import silverprint as sp
    from silverprint.cli.main import BAD_DATA, OK

    check_folder(output)
    classifier = sp.load(model)
    paths = find_pictures(pictures)
    rows = _answers(classifier, paths, threads)
    unreadable = sum(1 for row in rows if row["error"])
    out = Output(json)
    if output is not None:
        from silverprint.export.atomic import replace_file

        with replace_file(output) as temporary, _open(temporary) as stream:
            _write(stream, rows, classifier.labels if probabilities else ())
        out.say(f"{len(rows) - unreadable} answers in {output}")
    elif not json:
        text = io.StringIO()
        _write(text, rows, classifier.labels if probabilities else ())
        print(printable(text.getvalue()), end="", flush=True)
    out.finish(
        {"answers": [_without(row, () if probabilities else ("probabilities",)) for row in rows]}
    )
    if unreadable:
        print(f"{unreadable} of {len(rows)} pictures cannot be read", file=sys.stderr)
    return BAD_DATA if unreadable else OK


def _answers(classifier: Any, paths: list[Path], threads: int | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = [{} for _ in paths]
    for block in classifier.stream(paths, threads=threads):
        for position, values in zip(block.positions.tolist(), block.features, strict=True):
            best = int(values.argmax())
            rows[position] = {
                "path": str(paths[position]),
                "target": classifier.labels[best],
                "probability": float(values[best]),
                "error": "",
                "probabilities": dict(zip(classifier.labels, map(float, values), strict=True)),
            }
        for position, error in block.failures:
            rows[position] = {
                "path": str(paths[position]),
                "target": "",
                "probability": None,
                "error": error.reason,
                "probabilities": {},
            }
    return rows


def _open(path: Path) -> IO[str]:
    return path.open("w", newline="", encoding="utf-8", errors="backslashreplace")


def _write(stream: IO[str], rows: list[dict[str, Any]], labels: tuple[str, ...]) -> None:
    writer = csv.writer(stream)
    writer.writerow(["path", "target", "probability", "error", *labels])
    for row in rows:
        probability = "" if row["probability"] is None else f"{row['probability']:.6f}"
        own = [
            f"{row['probabilities'][label]:.6f}" if row["probabilities"] else "" for label in labels
        ]
        path = row["path"].encode("utf-8", "backslashreplace").decode("utf-8")
        writer.writerow([path, row["target"], probability, row["error"], *own])


def _without(row: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in keys}
