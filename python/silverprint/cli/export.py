"""`silverprint export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.output import Output


def export(
    model: Annotated[Path, typer.Argument(help="An .onnx model written by silverprint.")],
    to: Annotated[str, typer.Option(help="coreml")] = "coreml",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Default: the model's name, .mlpackage.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn an .onnx model into a Core ML package."""
    import silverprint as sp

    if to != "coreml":
        raise sp.InvalidParameterError("to", to, "coreml")
    out = Output(json)
    path = output or model.with_suffix(".mlpackage")
    if path.suffix != ".mlpackage":
        raise sp.InvalidParameterError("output", str(path), "a name ending in .mlpackage")
    written = sp.ImageClassifier.load(model).write(path)
    assert not isinstance(written, Path)
    out.say(f"{path}: {written.size / 1e6:.1f} MB, runs on {written.oldest_system}. In Swift:")
    out.say(written.swift)
    out.finish(
        {
            "path": str(path),
            "size": written.size,
            "oldest_system": written.oldest_system,
            "swift": written.swift,
        }
    )
