"""The C API against the bare ONNX Runtime, one thread, and its bytes against Python's.

Ready pixels have the size of the graph's input already; decoded ones are as Pillow gives them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import common
from common import note, say, spread, table

if TYPE_CHECKING:
    from silverprint import ImageClassifier

_ROOT = Path(__file__).resolve().parent.parent
_BLOCK = 100
"""Pictures that lie in memory at once."""

Pixels = npt.NDArray[np.uint8]


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    args = common.start(parser)
    pictures, rounds = (60, 2) if args.quick else (args.pictures, args.rounds)
    paths = sorted((args.data / "distill").glob("*.jpg"))[:pictures]
    if len(paths) < pictures:
        raise SystemExit(f"{args.data / 'distill'}: {len(paths)} pictures, not {pictures}")
    with common.work_folder(args) as work:
        program = _build(work)
        model = _train(args.data, work / "Embedding.onnx")
        say("## Embedding\n")
        rows = []
        for kind in ("ready", "decoded"):
            note(f"{kind} pixels")
            seconds = _measure(program, model, paths, kind, rounds, work)
            rows.append(_row(f"{kind} pixels", seconds[:, 0], seconds[:, 2], pictures))
        rows.append(_row("ready tensors", seconds[:, 1], seconds[:, 2], pictures))
        header = ["calls per second, one thread", "C API", "bare runtime", "ratio"]
        say(table(header, rows))
        say(f"Bytes equal to Python's on all {pictures} pictures, of either kind.\n")


def _build(work: Path) -> Path:
    """The core and the C program, compiled from this source tree."""
    prefix, build = work / "embedding-prefix", work / "embedding-build"
    program, source = work / "embedding", _ROOT / "benchmarks" / "embedding.c"
    include, lib = f"-I{prefix / 'include'}", prefix / "lib"
    link = [f"-L{lib}", f"-Wl,-rpath,{lib}", "-lsilverprint", "-ldl"]
    for command in (
        ["cmake", "-S", _ROOT, "-B", build, "-DCMAKE_INSTALL_LIBDIR=lib"],
        ["cmake", "--build", build, "--parallel", "2"],
        ["cmake", "--install", build, "--prefix", prefix],
        ["cc", "-std=c99", "-O2", source, include, *link, "-o", program],
    ):
        subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
    return program


def _train(data: Path, path: Path) -> Path:
    """A classifier on the built-in print; what it learned does not matter here."""
    import silverprint as sp

    folders = sorted(p for p in (data / "classification" / "flowers").rglob("*") if p.is_dir())
    by_label = {
        folder.name: found[:8]
        for folder in folders
        if len(found := sorted(folder.glob("*.jpg"))) > 7
    }
    sp.ImageClassifier(by_label, sp.ModelParameters(validation=None), progress=False).write(path)
    return path


def _measure(
    program: Path, model: Path, paths: Sequence[Path], kind: str, rounds: int, work: Path
) -> npt.NDArray[np.float64]:
    """Seconds of each way for all pictures, (rounds, 3); SystemExit where bytes differ."""
    import silverprint as sp
    from silverprint.features.runtime import library_path

    classifier = sp.load(model)
    seconds = np.zeros((rounds, 3))
    block, answers = work / "embedding-block", work / "embedding-answers"
    for first in range(0, len(paths), _BLOCK):
        pixels = []
        with block.open("wb") as stream:
            for picture, tensor in _prepared(paths[first : first + _BLOCK], classifier, kind):
                pixels.append(picture)
                stream.write(np.array(picture.shape[1::-1], np.uint32).tobytes())
                stream.write(picture.tobytes())
                stream.write(tensor.tobytes())
        command = [program, model, library_path(), block, answers, rounds]
        done = subprocess.run(
            list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True
        )
        seconds += [[float(cell) for cell in line.split()] for line in done.stdout.splitlines()]
        if answers.read_bytes() != classifier.probabilities(pixels).tobytes():
            raise SystemExit(f"pictures {first} to {first + _BLOCK}: bytes differ from Python's")
    return seconds


def _prepared(
    paths: Sequence[Path], classifier: ImageClassifier, kind: str
) -> Iterator[tuple[Pixels, npt.NDArray[np.float32]]]:
    from PIL import Image

    from silverprint import _core

    rule = classifier.record.rule
    for path in paths:
        pixels = np.asarray(Image.open(path).convert("RGB"))
        tensor = _core.image.prepare(pixels, rule.height, rule.width, rule.crop_and_scale)
        if kind == "ready":
            pixels = np.ascontiguousarray(tensor.transpose(1, 2, 0).astype(np.uint8))
        yield pixels, tensor


def _row(
    name: str, ours: npt.NDArray[np.float64], bare: npt.NDArray[np.float64], pictures: int
) -> list[str]:
    ratios = spread((bare / ours).tolist(), 3)
    return [
        name,
        spread((pictures / ours).tolist(), 1),
        spread((pictures / bare).tolist(), 1),
        ratios,
    ]


if __name__ == "__main__":
    main()
