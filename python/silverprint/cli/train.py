"""`silverprint train classifier`."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from silverprint.cli.output import Output, check_place, metrics_record, show_metrics
from silverprint.cli.pictures import chosen_extractor, labelled_data


def classifier(
    data: Annotated[
        Path, typer.Argument(help="A folder with one folder of pictures per label, or a manifest.")
    ],
    output: Annotated[
        Path,
        typer.Option("-o", "--output", help="Model file; without an ending, .onnx and .mlpackage."),
    ],
    extractor: Annotated[
        Path | None, typer.Option(help="ONNX backbone in place of the built-in print.")
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(help="Tensor of the backbone to take features from.")
    ] = None,
    part: Annotated[str | None, typer.Option(help="Part of the manifest to train on.")] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="folder, or a column of the manifest: what no validation divides."),
    ] = None,
    augmentation: Annotated[
        str | None, typer.Option(help="crop, rotation, blur, exposure, noise, flip: e.g. crop,flip")
    ] = None,
    layer_sizes: Annotated[
        str | None,
        typer.Option(help="A multilayer perceptron with these hidden layers: e.g. 256 or 256,64."),
    ] = None,
    l2: Annotated[
        str | None, typer.Option(help="Penalty on the weights: auto, or a number.")
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="balanced: rare labels count as much as frequent ones.")
    ] = None,
    validation: Annotated[
        str, typer.Option(help="automatic, none, a share such as 0.1, a folder or a manifest.")
    ] = "automatic",
    validation_part: Annotated[
        str | None, typer.Option(help="Part of the manifest to validate on.")
    ] = None,
    max_iterations: Annotated[int | None, typer.Option(help="Solver iterations at most.")] = None,
    crop_and_scale: Annotated[
        str | None, typer.Option(help="center_crop, scale_fill or scale_fit.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Pictures worked on at once.")] = None,
    max_unreadable: Annotated[
        float, typer.Option(help="Share of pictures that may be unreadable.")
    ] = 0.05,
    author: Annotated[str, typer.Option()] = "",
    license: Annotated[str, typer.Option()] = "",
    model_version: Annotated[str, typer.Option()] = "",
    description: Annotated[str, typer.Option()] = "",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train an image classifier on labelled pictures."""
    import silverprint as sp

    paths = output_paths(output)
    parameters = sp.ModelParameters(
        feature_extractor=chosen_extractor(extractor, output_name),
        classifier=_classifier(layer_sizes, l2, class_weights),
        validation=_validation(validation, data, validation_part),
        max_iterations=max_iterations,
        augmentation=_names(augmentation),
        crop_and_scale=crop_and_scale,
        seed=seed,
    )
    metadata = sp.ModelMetadata(
        author=author, license=license, version=model_version, short_description=description
    )
    out = Output(json)
    record = train_and_write(
        out,
        labelled_data(data, part, group_by),
        parameters,
        paths,
        metadata,
        threads,
        max_unreadable,
    )
    out.finish(record)


def output_paths(output: Path) -> list[Path]:
    """The files to write; refuses before training what could not be written after it.

    Raises:
        InvalidParameterError: another ending.
        ExportError: Core ML was asked for and cannot be written here, or the folder is missing.
    """
    from silverprint.errors import ExportError, InvalidParameterError
    from silverprint.export.coreml import available

    check_place(output)
    if output.suffix == ".mlpackage":
        reason = available()
        if reason is not None:
            raise ExportError(f"{output}: {reason}")
        return [output]
    if output.suffix == ".onnx":
        return [output]
    if output.suffix in (".mlmodel", ".pt", ".h5", ".tflite"):
        raise InvalidParameterError("output", str(output), "a name ending in .onnx or .mlpackage")
    both = [output.with_name(output.name + ".onnx")]
    if available() is None:
        both.append(output.with_name(output.name + ".mlpackage"))
    return both


def train_and_write(
    out: Output,
    data: Any,
    parameters: Any,
    paths: list[Path],
    metadata: Any,
    threads: int | None,
    max_unreadable: float,
) -> dict[str, Any]:
    """Train, show what came of it and write it; returns the record for programs."""
    import sys

    import silverprint as sp
    from silverprint.export.coreml import available
    from silverprint.training.display import Lines

    show_data(out, data)
    if all(path.suffix == ".onnx" for path in paths) and available() is not None:
        out.say(f"No Core ML file will be written: {available()}")
    started = time.monotonic()
    model = sp.ImageClassifier(
        data,
        parameters,
        progress=None if sys.stderr.isatty() else Lines(),
        threads=threads,
        max_unreadable=max_unreadable,
    )
    elapsed = time.monotonic() - started
    out.say(f"Trained in {elapsed:.1f} s.")
    if parameters.max_iterations is not None and not model.record.head["converged"]:
        out.say(f"Stopped by --max-iterations={parameters.max_iterations} before it converged.")
    if model.validation_metrics is not None:
        show_metrics(out, "On pictures it was not trained on", model.validation_metrics)
    contradictions = sum(one.is_contradictory for one in model.duplicates)
    record: dict[str, Any] = {
        "labels": data.counts,
        "seconds": round(elapsed, 3),
        "l2": model.record.head["l2"],
        "converged": model.record.head["converged"],
        "validation": model.validation_metrics and metrics_record(model.validation_metrics),
        "duplicates": len(model.duplicates),
        "contradictory_duplicates": contradictions,
        "files": [],
    }
    for path in paths:
        written = model.write(path, metadata)
        entry: dict[str, Any] = {"path": str(path)}
        if isinstance(written, Path):
            entry["size"] = written.stat().st_size
            out.say(f"{path}: {_size(entry['size'])}")
        else:
            entry |= {"size": written.size, "oldest_system": written.oldest_system}
            entry["swift"] = written.swift
            out.say(f"{path}: {_size(written.size)}, runs on {written.oldest_system}. In Swift:")
            out.say(_indented(written.swift))
        record["files"].append(entry)
    return record


def show_data(out: Output, data: Any) -> None:
    """Labels and how many pictures each has."""
    counts = data.counts
    out.say(f"{len(data)} pictures, {len(counts)} labels")
    shown = list(counts.items())
    out.table(["label", "pictures"], shown[:30])
    if len(shown) > 30:
        fewest = min(counts.values())
        out.say(f"... and {len(shown) - 30} more labels; the smallest has {fewest} pictures")


def _classifier(layer_sizes: str | None, l2: str | None, class_weights: str | None) -> Any:
    import silverprint as sp

    given: dict[str, Any] = {"class_weights": class_weights}
    if l2 is not None:
        given["l2"] = _number(l2, float)
    if layer_sizes is None:
        return sp.LogisticRegressor(**given)
    sizes = [_number(size, int) for size in layer_sizes.split(",")]
    return sp.MultilayerPerceptron(sizes, **given)


def _number(text: str, kind: type[float] | type[int]) -> Any:
    """`text` as a number where it is one; what it stands for is then checked by name."""
    try:
        return kind(text)
    except ValueError:
        return text


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",")] if text else []


def _validation(text: str, data: Path, part: str | None) -> Any:
    import silverprint as sp

    if part is not None:
        if text != "automatic":
            raise sp.InvalidParameterError("validation", text, "nothing beside --validation-part")
        return labelled_data(data, part)
    if text == "automatic":
        return text
    if text == "none":
        return None
    try:
        return sp.Split(float(text))
    except sp.InvalidParameterError:
        raise
    except ValueError:
        return labelled_data(Path(text), None)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _indented(text: str) -> str:
    return "\n".join("    " + line for line in text.splitlines())
