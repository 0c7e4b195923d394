"""`silverprint export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from silverprint.cli.output import Output
from silverprint.cli.pictures import find_pictures


def export(
    model: Annotated[Path, typer.Argument(help="An .onnx model: silverprint's, or any other.")],
    to: Annotated[str, typer.Option(help="coreml")] = "coreml",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help=".mlpackage or .mlmodel; default: the model's name."),
    ] = None,
    pictures: Annotated[
        list[Path] | None,
        typer.Option(help="Prove the file on these pictures, or folders of pictures."),
    ] = None,
    precision: Annotated[str, typer.Option(help="float16 or float32.")] = "float16",
    weights: Annotated[
        int | None, typer.Option(help="8: store large weights as 8-bit integers.")
    ] = None,
    target: Annotated[
        str | None, typer.Option(help="Oldest system that must run it, such as iOS16.")
    ] = None,
    layout: Annotated[str, typer.Option(help="Colour planes of the image: RGB or BGR.")] = "RGB",
    label_name: Annotated[str, typer.Option(help="Output with the label.")] = "target",
    probability_name: Annotated[
        str, typer.Option(help="Output with the probabilities.")
    ] = "targetProbability",
    labels: Annotated[
        Path | None,
        typer.Option(help="Text file with a label on each line: makes a classifier of any model."),
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option(help="Tensor to keep, of a model of another origin.")
    ] = None,
    size: Annotated[
        str | None, typer.Option(help="HEIGHTxWIDTH, where such a model leaves it free.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="R,G,B that such a model wants subtracted, of 0 to 255.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="R,G,B to divide by then.")] = None,
    channel_order: Annotated[
        str | None, typer.Option(help="RGB or BGR, as such a model expects.")
    ] = None,
    crop_and_scale: Annotated[
        str | None, typer.Option(help="center_crop, scale_fill or scale_fit, of such a model.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Turn an .onnx model into a Core ML file, and prove that it computes the same."""
    import silverprint as sp

    if to != "coreml":
        raise sp.InvalidParameterError("to", to, "coreml")
    out = Output(json)
    choices: dict[str, Any] = {"precision": precision, "weights": weights, "target": target}
    choices |= {"layout": layout, "label_name": label_name, "probability_name": probability_name}
    foreign: dict[str, Any] = {"channel_order": channel_order}
    written = sp.coreml.export(
        model,
        output,
        options=sp.coreml.ExportOptions(**choices),
        pictures=find_pictures(pictures) if pictures else None,
        labels=None if labels is None else _lines(labels),
        outputs=outputs or None,
        size=None if size is None else _numbers("size", size, int, "x"),
        mean=None if mean is None else _numbers("mean", mean, float),
        std=None if std is None else _numbers("std", std, float),
        crop_and_scale=crop_and_scale,
        **foreign,
    )
    size_text = f"{written.size / 1e6:.1f} MB"
    out.say(f"{written.path}: {size_text}, runs on {written.oldest_system}. In Swift:")
    out.say("\n".join("    " + line for line in written.swift.splitlines()))
    out.say(str(written.proof))
    out.finish(
        {
            "path": str(written.path),
            "size": written.size,
            "oldest_system": written.oldest_system,
            "swift": written.swift,
            "proof": written.proof.to_dict(),
        }
    )


def _lines(path: Path) -> list[str]:
    from silverprint.errors import InvalidDataError

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidDataError(path, f"cannot be read as text: {error}") from error
    lines = [line.strip() for line in text.rstrip().split("\n")]
    if "" in lines:
        raise InvalidDataError(path, f"line {lines.index('') + 1} is empty; a label stands on each")
    return lines


def _numbers(name: str, text: str, kind: Any, separator: str = ",") -> tuple[Any, ...]:
    from silverprint.errors import InvalidParameterError

    form = "224x224" if separator == "x" else "124,116,104"
    try:
        numbers = tuple(kind(part) for part in text.split(separator))
    except ValueError:
        numbers = ()
    if len(numbers) != form.count(separator) + 1:
        raise InvalidParameterError(name, text, f"numbers such as {form}")
    return numbers
