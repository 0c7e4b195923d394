"""Feature extraction with MobileNetV2: ours against the best plain Pillow + onnxruntime.

Reads picture files, writes features. Three sets: trashnet as it is, and photos of 2 and 12
megapixels made from shared pictures. Every setting of the rival is tried first; its best with full
decode, its best with scaled decode and the naive way then run against ours, A B A B.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

import common
from common import note, ratios, say, spread, table
from photos import make_photos
from plain_extraction import NaiveExtractor, PlainExtractor, Setting, load_network, settings

_COUNTS = {"trashnet": 480, "2 megapixels": 96, "12 megapixels": 48}
_QUICK_COUNTS = {"trashnet": 48, "2 megapixels": 16, "12 megapixels": 8}
_LEAST_COSINE = 0.97
"""Scaled decode is another, better antialiased picture; anything below is another computation."""


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="rounds of A B A B")
    parser.add_argument("--sets", nargs="+", choices=list(_COUNTS), default=list(_COUNTS))
    args = common.start(parser)
    counts = _QUICK_COUNTS if args.quick else _COUNTS
    say(f"## Extraction, MobileNetV2, {args.threads} threads\n")
    with common.work_folder(args) as work:
        for name in args.sets:
            if name == "trashnet":
                everything = sorted((args.data / "classification" / name).glob("*/*.jpg"))
                paths = everything[:: len(everything) // counts[name]][: counts[name]]
            else:
                note(f"making {counts[name]} photos of {name}")
                paths = make_photos(args.data, work, name, counts[name])
            compare(name, paths, args.data, args.threads, 2 if args.quick else args.rounds)


def compare(name: str, paths: list[Path], data: Path, threads: int, rounds: int) -> None:
    """Print the comparison on one set of pictures."""
    from silverprint.features.extractor import CustomFeatureExtractor

    backbone = data / "weights" / "mobilenetv2_float.onnx"
    network = load_network(backbone)
    ours = CustomFeatureExtractor(backbone, "features", crop_and_scale="scale_fill")
    naive = NaiveExtractor(network)
    rivals = {setting: PlainExtractor(network, setting) for setting in settings(threads)}
    say(f"### {name}: {len(paths)} pictures\n")
    check_agreement(ours.extract(paths, threads=threads), rivals, naive, paths)

    note(f"{name}: the rival's {len(rivals)} settings")
    tried = common.interleaved(
        {str(setting): lambda e=e: e.extract(paths) for setting, e in rivals.items()}, 2
    )
    best = {
        draft: min((s for s in rivals if s.draft == draft), key=lambda s: min(tried[str(s)]))
        for draft in (False, True)
    }
    rows = [(s, f"{len(paths) / min(tried[str(s)]):.1f}") for s in rivals]
    say("Settings of the rival (best of 2 passes):\n")
    say(table(["callers × threads of the session", "pictures/s"], rows))

    note(f"{name}: {rounds} rounds")
    alone = stages_alone(ours, paths, threads)
    functions: dict[str, Callable[[], object]] = {
        "silverprint": lambda: ours.extract(paths, threads=threads),
        "full": lambda: rivals[best[False]].extract(paths),
        "scaled": lambda: rivals[best[True]].extract(paths),
        "naive": lambda: naive.extract(paths),
        **{stage: function for stage, (function, _) in alone.items()},
    }
    seconds = common.interleaved(functions, rounds)
    titles = {
        "silverprint": "silverprint",
        "full": f"best full decode: {best[False]}",
        "scaled": f"best scaled decode: {best[True]}",
        "naive": "naive: one loop, onnxruntime's defaults, full decode",
    }
    say(f"{rounds} rounds, median (lowest–highest); the ratio is taken pair by pair:\n")
    rows = [
        (
            title,
            spread([len(paths) / s for s in seconds[key]], 1),
            spread(ratios(seconds["silverprint"], seconds[key]), 2, "×"),
        )
        for key, title in titles.items()
    ]
    say(table(["", "pictures/s", "silverprint is faster by"], rows))
    per_picture = {
        stage: [s / count for s in seconds[stage]] for stage, (_, count) in alone.items()
    }
    say_efficiency(per_picture, [s / len(paths) for s in seconds["silverprint"]], threads)


def check_agreement(
    features: np.ndarray,
    rivals: dict[Setting, PlainExtractor],
    naive: NaiveExtractor,
    paths: Sequence[Path],
) -> None:
    """Stop unless all compute the same features; warms everything up on the way."""
    few = paths[:16]
    cosines = {}
    for name, extractor in {"naive": naive, **{str(s): e for s, e in rivals.items()}}.items():
        other = extractor.extract(few)
        norms = np.linalg.norm(features[:16], axis=1) * np.linalg.norm(other, axis=1)
        cosines[name] = float(((features[: len(few)] * other).sum(axis=1) / norms).min())
    worst = min(cosines, key=lambda name: cosines[name])
    if cosines[worst] < _LEAST_COSINE:
        raise SystemExit(f"features differ: cosine {cosines[worst]:.4f} against {worst}")
    full = min(cosine for name, cosine in cosines.items() if "scaled" not in name)
    scaled = min(cosine for name, cosine in cosines.items() if "scaled" in name)
    say(f"Least cosine to the rival's features: {full:.4f} full, {scaled:.4f} scaled decode.\n")


def stages_alone(
    ours: object, paths: Sequence[Path], threads: int
) -> dict[str, tuple[Callable[[], object], float]]:
    """Decode alone and run alone, by 1 thread and by all at once.

    Each is (function, pictures that one thread works through in it): two busy cores may be clocked
    lower than one, and share caches and memory, which no pipeline can undo.
    """
    from silverprint import _core
    from silverprint.data.decode import decode

    rule, function = ours.rule, ours.function
    files = [path.read_bytes() for path in paths]
    shape = (rule.height, rule.width, rule.crop_and_scale)
    tensors = [_core.image.prepare(decode(file, rule), *shape)[None] for file in files[:32]]
    # As many runs as pictures, up to what gives a steady figure.
    runs = [tensors[i % len(tensors)] for i in range(min(len(files), 160))]
    stages: dict[str, tuple[Callable[[], object], float]] = {}
    for workers in dict.fromkeys((1, threads)):
        stages[f"decode {workers}"] = (
            lambda w=workers: _share(files, lambda file: decode(file, rule), w),
            len(files) / workers,
        )
        stages[f"run {workers}"] = (
            lambda w=workers: _share(runs, function.run_tensor, w),
            len(runs) / workers,
        )
    for stage, _ in stages.values():
        stage()
    return stages


def _share(items: Sequence[object], function: Callable[[object], object], workers: int) -> None:
    def work(first: int) -> None:
        for item in items[first::workers]:
            function(item)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def say_efficiency(
    per_picture: dict[str, list[float]], achieved: Sequence[float], threads: int
) -> None:
    rows = []
    for workers in dict.fromkeys((1, threads)):
        decode, run = per_picture[f"decode {workers}"], per_picture[f"run {workers}"]
        efficiency = [(d + r) / threads / a for d, r, a in zip(decode, run, achieved, strict=True)]
        rows.append(
            (
                f"{workers} at once",
                spread([1000 * s for s in decode], 2, " ms"),
                spread([1000 * s for s in run], 2, " ms"),
                f"{spread(efficiency, 3)}",
            )
        )
    say("Decode alone (bytes to pixels) and run alone (ready tensors), per picture and thread,")
    say("in the same rounds; efficiency is the rate achieved / (threads / (decode + run)):\n")
    say(table(["threads measured alone", "decode", "run", "efficiency"], rows))


if __name__ == "__main__":
    main()
