"""Small picture sets, drawn or shared, and child processes, for tests of the classifier."""

from __future__ import annotations

import csv
import hashlib
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from silverprint.data.source import DataSource
from support.children import run_python

COLOURS = {
    "red": (200, 40, 40),
    "green": (40, 190, 60),
    "blue": (40, 60, 200),
    "yellow": (210, 200, 50),
}
"""Labels that any extractor tells apart, and the colours of their pictures."""


def speckled(name: str, colour: Sequence[int], size: int = 40) -> npt.NDArray[np.uint8]:
    """A picture of about one colour, uint8 (size, size, 3), another one for every name."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
    noise = np.random.default_rng(seed).integers(-40, 41, (size, size, 3))
    return np.clip(np.asarray(colour) + noise, 0, 255).astype(np.uint8)


def draw(path: Path, colour: Sequence[int] = (128, 128, 128), *, size: int = 40) -> Path:
    """A picture file at `path`, whose bytes follow from its last two names."""
    path.parent.mkdir(parents=True, exist_ok=True)
    name = f"{path.parent.name}/{path.name}"
    Image.fromarray(speckled(name, colour, size)).save(path)
    return path


def draw_set(root: Path, counts: Mapping[str, int] | None = None, *, first: int = 0) -> Path:
    """A folder of label folders, each label of its own colour; files ``0.png``, ``1.png``, ..."""
    for label, count in (counts or dict.fromkeys(COLOURS, 8)).items():
        for i in range(first, first + count):
            draw(root / label / f"{i}.png", COLOURS.get(label, (128, 128, 128)))
    return root


def shared_part(shared_data: Path, name: str, part: str, per_label: int = 1000) -> DataSource:
    """The pictures of a shared set that its ``split.csv`` gives to `part`."""
    root = shared_data / "classification" / name
    found: dict[str, list[Path]] = {}
    with (root / "split.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["part"] == part and len(found.setdefault(row["label"], [])) < per_label:
                found[row["label"]].append(root / row["path"])
    return DataSource.files_by_label(found)


def command(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """The `silverprint` command in a process of its own."""
    code = "import sys; from silverprint.cli.main import main; sys.exit(main())"
    return run_python(code, *arguments, env=environment, check=False)
