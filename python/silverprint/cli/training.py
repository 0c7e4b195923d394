"""What the commands that train have in common: the session, the files, and what is shown."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from silverprint.cli.output import Output, metrics_record, show_metrics
from silverprint.model.endings import CORE_ML


def session_folder(output: Path) -> Path:
    """Where the work for `output` is kept unless a place is named."""
    name = output.stem if output.suffix in (".onnx", *CORE_ML) else output.name
    return output.parent / ".silverprint" / name


def output_paths(output: Path) -> list[Path]:
    """The files to write; refuses before training what could not be written after it.

    Raises:
        InvalidParameterError: another ending.
        ExportError: Core ML cannot be written here, or a place cannot be written to.
    """
    from silverprint.errors import ExportError, InvalidParameterError
    from silverprint.export.coreml import available

    endings = "a name ending in .onnx, .mlpackage or .mlmodel"
    if output.suffix not in (".onnx", *CORE_ML) and output.suffix.lower() in (
        ".onnx",
        *CORE_ML,
        ".pt",
        ".h5",
        ".tflite",
    ):
        raise InvalidParameterError("output", str(output), endings)
    if output.suffix in CORE_ML:
        reason = available()
        if reason is not None:
            raise ExportError(f"{output}: {reason}")
        return _writable([output])
    if output.suffix == ".onnx":
        return _writable([output])
    both = [output.with_name(output.name + ".onnx")]
    if available() is None:
        both.append(output.with_name(output.name + ".mlpackage"))
    return _writable(both)


def _writable(paths: list[Path]) -> list[Path]:
    from silverprint.export.atomic import check_place

    for path in paths:
        check_place(path, folder=path.suffix == ".mlpackage")
    return paths


def train_and_write(
    out: Output,
    data: Any,
    parameters: Any,
    paths: list[Path],
    metadata: Any,
    folder: Path | None,
    **options: Any,
) -> dict[str, Any]:
    """Train, or go on with what `folder` keeps, show it and write it.

    Returns:
        The record for programs.
    """
    from silverprint.cli.interruption import interruptible
    from silverprint.export.coreml import available
    from silverprint.training.display import Lines, result_of

    if all(path.suffix == ".onnx" for path in paths) and available() is not None:
        out.say(f"No Core ML file will be written: {available()}")
    how_to_go_on = (
        "Stopped. Extracted features are in the cache; nothing else was kept."
        if folder is None
        else f"Saved in {folder}. The same line goes on."
    )
    job, is_new = _begin(out, data, parameters, folder, options)
    started = time.monotonic()
    with interruptible(job, how_to_go_on):
        model = result_of(job, None if sys.stderr.isatty() else Lines())
    elapsed = time.monotonic() - started
    if is_new:
        out.say(f"Trained in {elapsed:.1f} s.")
    if parameters.max_iterations is not None and not model.record.head["converged"]:
        out.say(f"Stopped by --max-iterations={parameters.max_iterations} before it converged.")
    if model.validation_metrics is not None:
        show_metrics(out, "On pictures it was not trained on", model.validation_metrics)
    contradictions = sum(one.is_contradictory for one in model.duplicates)
    record: dict[str, Any] = {
        "seconds": round(elapsed, 3),
        "l2": model.record.head["l2"],
        "converged": model.record.head["converged"],
        "validation": model.validation_metrics and metrics_record(model.validation_metrics),
        "duplicates": len(model.duplicates),
        "contradictory_duplicates": contradictions,
        "session": None if folder is None else _show_runs(out, folder, is_new),
        "files": [_write(out, model, path, metadata) for path in paths],
    }
    return record


def _begin(
    out: Output, data: Any, parameters: Any, folder: Path | None, options: dict[str, Any]
) -> tuple[Any, bool]:
    """The job, and whether it has anything to do; says what it goes on with."""
    import silverprint as sp
    from silverprint.training.progress import title

    if folder is None:
        return sp.ImageClassifier.train(data, parameters, **options), True
    kept_in = sp.SessionParameters(folder)
    session = sp.ImageClassifier.make_training_session(data, parameters, kept_in, **options)
    *before, run = session.runs
    if run.is_finished:
        out.say("Nothing has changed since the last run: its result stands.")
    elif run.phase is not sp.Phase.INITIALIZED:
        unit = "pictures" if run.phase is sp.Phase.EXTRACTING_FEATURES else "iterations"
        done = f"{title(run.phase).lower()}, {session.iteration} {unit} done"
        out.say(f"Going on with what {folder} keeps: {done}.")
    elif before:
        out.say(f"Since the last run: {run.changes}.")
    else:
        out.say(f"The work is kept in {folder}: the same line goes on after a stop.")
    return sp.ImageClassifier.resume(session), not run.is_finished


def _show_runs(out: Output, folder: Path, is_new: bool) -> dict[str, Any]:
    """What the last run changed, next to the one that was finished before it."""
    from silverprint.training.session import SessionView, accuracy_text

    finished = [run for run in SessionView(folder).runs if run.is_finished]
    last, before = finished[-1], finished[-2] if is_new and len(finished) > 1 else None
    record: dict[str, Any] = {"folder": str(folder), "run": last.number, "is_new": is_new}
    if before is None:
        return record
    texts = [
        accuracy_text(run.accuracy, run.accuracy_interval)
        for run in (before, last)
        if run.accuracy is not None and run.accuracy_interval is not None
    ]
    out.say(f"{last.changes}; accuracy {' → '.join(texts)}" if len(texts) == 2 else last.changes)
    return record | {"changes": last.changes, "accuracy_before": before.accuracy}


def _write(out: Output, model: Any, path: Path, metadata: Any) -> dict[str, Any]:
    """Write the model to `path` and say so; returns the record for programs."""
    written = model.write(path, metadata)
    if isinstance(written, Path):
        size = written.stat().st_size
        out.say(f"{path}: {_size(size)}")
        return {"path": str(path), "size": size}
    out.say(f"{path}: {_size(written.size)}, runs on {written.oldest_system}. In Swift:")
    out.say(_indented(written.swift))
    system, swift, proof = written.oldest_system, written.swift, written.proof
    out.say(f"    {_proven(proof)}")
    record = {"path": str(path), "size": written.size, "oldest_system": system, "swift": swift}
    return record | {"proof": proof.to_dict()}


def _proven(proof: Any) -> str:
    weights = next(check.compared for check in proof.checks if check.letter == "c")
    worst = max(one.worst for one in proof.numbers)
    return (
        f"Proven: {weights:,} numbers equal, {proof.numbers[-1].pictures} pictures executed, "
        f"largest difference {worst:.1g}"
    )


def show_data(out: Output, data: Any) -> None:
    """Labels and how many pictures each has."""
    counts = data.counts
    out.say(f"{len(data)} pictures, {len(counts)} labels")
    shown = list(counts.items())
    out.table(["label", "pictures"], shown[:30])
    if len(shown) > 30:
        fewest = min(counts.values())
        out.say(f"... and {len(shown) - 30} more labels; the smallest has {fewest} pictures")


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())
