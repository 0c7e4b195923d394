"""`silverprint train classifier`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from silverprint.cli.output import Output
from silverprint.cli.pictures import chosen_extractor, labelled_data
from silverprint.cli.training import output_paths, session_folder, show_data, train_and_write


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
    session: Annotated[
        Path | None,
        typer.Option(help="Folder that keeps the work, in place of .silverprint/ beside OUTPUT."),
    ] = None,
    no_session: Annotated[
        bool, typer.Option("--no-session", help="Keep nothing but the model.")
    ] = False,
    accept_changes: Annotated[
        bool, typer.Option("--accept-changes", help="Go on though pictures have changed.")
    ] = False,
    frozen_data: Annotated[
        bool, typer.Option("--frozen-data", help="Stop where any picture has changed.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Of a job that seems to use the session.")
    ] = False,
    numerics: Annotated[
        str, typer.Option(help="any: use features of another runtime or processor, too.")
    ] = "same",
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
    if no_session and session is not None:
        raise sp.InvalidParameterError("session", str(session), "nothing beside --no-session")
    folder = None if no_session else session or session_folder(output)
    pictures = labelled_data(data, part, group_by)
    show_data(out, pictures)
    record = train_and_write(
        out,
        pictures,
        parameters,
        paths,
        metadata,
        folder,
        threads=threads,
        max_unreadable=max_unreadable,
        accept_changes=accept_changes,
        frozen_data=frozen_data,
        take_over=take_over,
        numerics=numerics,
    )
    out.finish({"labels": pictures.counts} | record)


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
