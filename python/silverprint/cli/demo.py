"""`silverprint demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.output import Output, metrics_record, show_metrics
from silverprint.cli.training import output_paths, show_data, train_and_write


def demo(
    folder: Annotated[
        Path, typer.Option("-o", "--output", help="Folder for the pictures and the model.")
    ] = Path("silverprint-demo"),
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Draw a small picture set, train on it, evaluate, and write the model."""
    import silverprint as sp
    from silverprint.demo.draw import draw_pictures

    out = Output(json)
    folder.mkdir(parents=True, exist_ok=True)
    paths = output_paths(folder / "Demo")
    out.say(f"Drawing pictures into {folder}/train and {folder}/test ...")
    draw_pictures(folder / "train", per_label=40, seed=0)
    draw_pictures(folder / "test", per_label=20, seed=1)
    data, parameters = sp.DataSource.labeled_directories(folder / "train"), sp.ModelParameters()
    show_data(out, data)
    metadata = sp.ModelMetadata(short_description="Trained on drawn pictures by `silverprint demo`")
    record = {"labels": data.counts}
    record |= train_and_write(out, data, parameters, paths, metadata, None)
    metrics = sp.ImageClassifier.load(paths[0]).evaluation(folder / "test")
    show_metrics(out, "On the test pictures", metrics)
    out.say(
        "Next, with your own photos, one folder per label:\n"
        "    silverprint train classifier photos/ -o Mine\n"
        f"    silverprint predict {paths[0]} picture.jpg"
    )
    out.finish(record | {"test": metrics_record(metrics)})
