"""Cases of average precision, and what pycocotools says of them.

`python tests/support/coco.py` writes coco.json: of each of `adversarial_cases` the numbers of
pycocotools, for machines where it is not installed.
"""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

GOLDEN = Path(__file__).with_suffix(".json")

Row = list[float]


@dataclass(frozen=True)
class Picture:
    """Rows of found boxes (label, score, x0, y0, x1, y1) and of true ones (label, crowd, ...)."""

    found: list[Row]
    truth: list[Row]


@dataclass(frozen=True)
class Case:
    name: str
    classes: int
    pictures: list[Picture]


def random_case(seed: int, classes: int = 3, pictures: int = 12, most: int = 12) -> Case:
    """Boxes near the true ones, doubles of them, strangers; scores of few values; some crowds."""
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> npt.NDArray[np.float64]:
        low = rng.integers(0, 80, (count, 2))
        return np.hstack([low, low + rng.integers(1, 60, (count, 2))]).astype(np.float64)

    made = []
    for _ in range(pictures):
        count = int(rng.integers(0, most))
        true = boxes(count)
        labels = rng.integers(0, classes, count)
        crowd = rng.random(count) < 0.15
        near = true[rng.integers(0, count, 2 * count)] if count else true
        near = near + rng.integers(-4, 5, near.shape)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        found = np.vstack([near, boxes(int(rng.integers(0, 4)))])
        names = rng.integers(0, classes, len(found))
        scores = rng.integers(0, 8, len(found)) / 8 if seed % 2 else rng.random(len(found))
        made.append(
            Picture(
                np.column_stack([names, scores, found]).tolist(),
                np.column_stack([labels, crowd, true]).tolist(),
            )
        )
    return Case(f"random {seed}", classes, made)


def adversarial_cases() -> list[Case]:
    a, b = [0.0, 0.0, 10.0, 10.0], [20.0, 20.0, 30.0, 40.0]
    half, wide = [0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 20.0]

    def one(name: str, found: list[Row], truth: list[Row], classes: int = 1) -> Case:
        return Case(name, classes, [Picture(found, truth)])

    def found(score: float, box: Row, label: int = 0) -> Row:
        return [label, score, *box]

    def true(box: Row, crowd: int = 0, label: int = 0) -> Row:
        return [label, crowd, *box]

    steps = [[0.0, 0.0, 20.0, float(height)] for height in range(20, 8, -1)]
    return [
        one("perfect", [found(0.9, a), found(0.8, b)], [true(a), true(b)]),
        one("nothing found", [], [true(a)]),
        one("nothing there", [found(0.9, a)], []),
        one("nothing at all", [], []),
        one("doubles", [found(0.9, a), found(0.9, a), found(0.9, a)], [true(a)]),
        one("two equal true boxes", [found(0.9, a), found(0.8, a)], [true(a), true(a)]),
        one("exactly at the threshold", [found(0.9, half)], [true(a)]),
        one("at every threshold", [found(0.5, box) for box in steps], [true(steps[0])] * 12),
        one("empty found box", [found(0.9, [5.0, 5.0, 5.0, 5.0]), found(0.1, a)], [true(a)]),
        one("better box later", [found(0.9, half), found(0.8, a)], [true(a)]),
        one("only a crowd", [found(0.9, a)], [true(wide, crowd=1)]),
        one(
            "a crowd takes many",
            [found(0.9, a), found(0.8, half), found(0.7, b), found(0.6, a)],
            [true(wide, crowd=1), true(b)],
        ),
        one("a crowd and a box", [found(0.9, a), found(0.8, a)], [true(wide, crowd=1), true(a)]),
        one("another class", [found(0.9, a, 1)], [true(a)], classes=3),
        one(
            "over a hundred",
            [found(0.5, b)] * 100 + [found(0.5, a)] + [found(0.6, b)],
            [true(a), true(b)],
        ),
        Case(
            "equal scores over pictures",
            2,
            [
                Picture([found(0.5, b), found(0.5, a)], [true(a)]),
                Picture([found(0.5, a)], [true(a), true(b, label=1)]),
                Picture([found(0.5, b), found(0.5, b, 1)], []),
                Picture([found(0.5, a), found(0.9, b, 1)], [true(a), true(b, label=1)]),
            ],
        ),
    ]


def coco_numbers(case: Case) -> dict[str, Any]:
    """Average and recall (classes, 10), precision and scores (classes, 101) at IoU 0.50, -1 for
    classes without true boxes; and the mean average precision, at 0.50 and over all."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth: dict[str, Any] = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(case.pictures))],
        "categories": [{"id": c + 1, "name": str(c)} for c in range(case.classes)],
        "annotations": [],
    }
    results = []
    for number, picture in enumerate(case.pictures, 1):
        for label, crowd, x0, y0, x1, y1 in picture.truth:
            truth["annotations"].append(
                {
                    "id": len(truth["annotations"]) + 1,
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "area": (x1 - x0) * (y1 - y0),
                    "iscrowd": int(crowd),
                }
            )
        for label, score, x0, y0, x1, y1 in picture.found:
            results.append(
                {
                    "image_id": number,
                    "category_id": int(label) + 1,
                    "bbox": [x0, y0, x1 - x0, y1 - y0],
                    "score": score,
                }
            )
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        found = coco.loadRes(results) if results else _nothing_found(coco, COCO)
        evaluation = COCOeval(coco, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    return {
        "average": precision.mean(axis=1).T.tolist(),
        "recall": evaluation.eval["recall"][:, :, 0, 2].T.tolist(),
        "precision": precision[0].T.tolist(),
        "scores": evaluation.eval["scores"][0, :, :, 0, 2].T.tolist(),
        "mean": [float(evaluation.stats[1]), float(evaluation.stats[0])],
    }


def _nothing_found(coco: Any, kind: Any) -> Any:
    empty = kind()
    empty.dataset = {**coco.dataset, "annotations": []}
    empty.createIndex()
    return empty


def main() -> None:
    numbers = {case.name: coco_numbers(case) for case in adversarial_cases()}
    for record in numbers.values():
        # Curves are compared where pycocotools is installed; here the averages are enough.
        del record["precision"], record["scores"]
    lines = [f"{json.dumps(name)}: {json.dumps(record)}" for name, record in numbers.items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
