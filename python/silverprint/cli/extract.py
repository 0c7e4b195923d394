"""`silverprint extract`."""

from __future__ import annotations

import csv
import sys
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from silverprint.cli.output import Output, check_folder
from silverprint.cli.pictures import chosen_extractor, find_pictures


def extract(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures, and folders of pictures.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A .npy file, float32 (pictures, features).")
    ],
    extractor: Annotated[
        Path | None, typer.Option(help="ONNX backbone in place of the built-in print.")
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(help="Tensor of the backbone to take features from.")
    ] = None,
    crop_and_scale: Annotated[
        str | None, typer.Option(help="center_crop, scale_fill or scale_fit.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Pictures worked on at once.")] = None,
    max_unreadable: Annotated[
        float, typer.Option(help="Share of pictures that may be unreadable.")
    ] = 0.05,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Extract features; a .csv beside the .npy says which row is which picture."""
    import numpy as np

    import silverprint as sp
    from silverprint.export.atomic import replace_file
    from silverprint.features.extraction import check_failures

    if output.suffix != ".npy":
        raise sp.InvalidParameterError("output", str(output), "a name ending in .npy")
    check_folder(output)
    chosen = chosen_extractor(extractor, output_name).with_crop_and_scale(crop_and_scale)
    paths = find_pictures(pictures)
    blocks = list(chosen.stream(paths, threads=threads))
    failures = [("", error) for block in blocks for _, error in block.failures]
    check_failures(
        failures, Counter({"": len(paths)}), origin="extract", max_unreadable=max_unreadable
    )
    features = np.concatenate([block.features for block in blocks])
    with replace_file(output) as temporary, temporary.open("wb") as stream:
        np.save(stream, features)
    names = output.with_suffix(".csv")
    with (
        replace_file(names) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="backslashreplace") as text,
    ):
        writer = csv.writer(text)
        writer.writerow(["row", "path"])
        positions = [i for block in blocks for i in block.positions.tolist()]
        writer.writerows((row, str(paths[i])) for row, i in enumerate(positions))
    for _, error in failures:
        print(f"left out: {error}", file=sys.stderr)
    out = Output(json)
    out.say(
        f"{output}: {features.shape[0]} pictures x {features.shape[1]} features, rows in {names}"
    )
    out.finish(
        {
            "features": str(output),
            "rows": str(names),
            "shape": list(features.shape),
            "unreadable": len(failures),
        }
    )
