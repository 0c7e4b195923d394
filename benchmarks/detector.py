"""Detection heads on the shared sets: extraction, training and average precision, seed by seed.

With the maps of the shared backbones at 416 pixels, eight views of each picture, in memory. Seconds
are those of extraction and training together.
"""

from __future__ import annotations

import csv
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import numpy as np

import common

SIZE = 416


@dataclass(frozen=True)
class Run:
    """What one training gave; `averages` holds AP50 of each label."""

    iou50: float
    varied: float
    averages: dict[str, float]
    extraction: float
    training: float


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--sets", nargs="+", default=["raccoon", "bccd", "aquarium"])
    parser.add_argument(
        "--backbones", nargs="+", default=["mobilenetv2_float", "efficientnetv2b0_teacher"]
    )
    parser.add_argument("--seeds", type=int, default=3)
    args = common.start(parser)
    seeds = 1 if args.quick else args.seeds
    rows = []
    for name in args.sets:
        for backbone in args.backbones:
            runs = [train(args, name, backbone, seed) for seed in range(seeds)]
            rows.append([name, backbone, *summary(runs)])
            common.note(f"{name}, {backbone}: mAP50 {rows[-1][2]}, mAP {rows[-1][3]}")
    header = ["set", "maps", "mAP50", "mAP", "least AP50 of a label", "extraction s", "training s"]
    common.say(common.table(header, rows))


def train(args: Any, name: str, backbone: str, seed: int) -> Run:
    """Extract the views of the training pictures, train on them, and measure the test pictures."""
    from silverprint import _core
    from silverprint.detector.head_training import DetectionProblem, HeadTraining
    from silverprint.detector.recipe import recipe_for
    from silverprint.features.map_extractors import CustomMapExtractor
    from silverprint.features.scene_views import DEFAULT_VIEWS, scene_geometry, scene_views
    from silverprint.model.detection_metrics import ObjectDetectorMetrics
    from silverprint.model.detection_results import TrueBoxes

    data, parts = sources(args.data / "detection" / name)
    boxes = {part: [resolved_boxes(one, i) for i in range(len(one))] for part, one in parts.items()}
    edges = np.concatenate([one.edges for one in boxes["train"]])
    recipe = recipe_for((edges[:, 2:] - edges[:, :2]) * SIZE)
    extractor = CustomMapExtractor(
        args.data / "weights" / f"{backbone}.onnx", size=(SIZE, SIZE), strides=recipe.strides
    )
    views = scene_views(2 if args.quick else DEFAULT_VIEWS)
    begin = time.perf_counter()
    rows, digests = extracted(extractor, parts["train"].paths, views, seed, args.threads)
    extraction = time.perf_counter() - begin
    begin = time.perf_counter()
    problem = DetectionProblem(
        extractor.maps,
        rows,
        scene_geometry(digests, views, seed),
        np.arange(len(rows)),
        boxes["train"],
        len(data.labels),
        (SIZE, SIZE),
    )
    training = HeadTraining(problem, recipe, seed, args.threads)
    token = _core.runtime.CancelToken()
    while training.step(token) and not (args.quick and training.iteration == 50):
        pass
    seconds = time.perf_counter() - begin
    test, _ = extracted(extractor, parts["test"].paths, (), seed, args.threads)
    metrics = ObjectDetectorMetrics.measure(
        data.labels,
        [TrueBoxes(one.edges, one.labels) for one in boxes["test"]],
        list(training.found(test[:, 0])),
    )
    mean = metrics.mean_average_precision
    averages = {label: one.iou50 for label, one in metrics.average_precision.items() if one}
    return Run(mean.iou50, mean.varied_iou, averages, extraction, seconds)


def sources(folder: Path) -> tuple[Any, dict[str, Any]]:
    """The whole set, and its published parts with the labels of the whole."""
    from dataclasses import replace

    import silverprint as sp

    data = sp.DataSource.directory_with_images(folder, folder / "annotations.createml.json")
    with (folder / "split.csv").open() as file:
        part_of = {row["path"].rpartition("/")[2]: row["part"] for row in csv.DictReader(file)}
    parts = {}
    for part in ("train", "test"):
        chosen = data.subset(path for path in data.paths if part_of[path.name] == part)
        if chosen.labels != data.labels:
            raise SystemExit(f"{folder}: the part {part} lacks a label")
        parts[part] = replace(chosen, labels=data.labels)
    return data, parts


def resolved_boxes(source: Any, number: int) -> Any:
    from silverprint.data.annotations.resolve import resolved
    from silverprint.data.annotations.size import picture_size

    return resolved(source.boxes_of(number), *picture_size(source.paths[number]))


def extracted(
    extractor: Any, paths: Any, views: Any, seed: int, threads: int
) -> tuple[Any, list[bytes]]:
    """Rows float16 (n, 1 + v, d) and the SHA-256 of each picture."""
    from silverprint.features.extraction import extract_blocks

    rows = np.empty((len(paths), 1 + len(views), extractor.dimension), np.float16)
    digests = [b""] * len(paths)
    for block in extract_blocks(
        [str(path) for path in paths],
        extractor.function,
        block_size=8,
        threads=threads,
        views=views,
        seed=seed,
        digests=True,
    ):
        rows[block.positions] = block.rows
        for position, digest in zip(block.positions.tolist(), block.digests, strict=True):
            digests[position] = digest
    return rows, digests


def summary(runs: list[Run]) -> list[str]:
    """Mean and range over the seeds."""

    def spread(values: list[float], digits: int) -> str:
        ends = f" ({min(values):.{digits}f} to {max(values):.{digits}f})" if len(values) > 1 else ""
        return f"{np.mean(values):.{digits}f}{ends}"

    worst = min(runs[0].averages, key=lambda label: np.mean([r.averages[label] for r in runs]))
    return [
        spread([run.iou50 for run in runs], 3),
        spread([run.varied for run in runs], 3),
        f"{worst} {spread([run.averages[worst] for run in runs], 3)}",
        spread([run.extraction for run in runs], 0),
        spread([run.training for run in runs], 0),
    ]


if __name__ == "__main__":
    main()
