"""Photos as cameras make them, from small pictures: enlarged, with grain, JPEG quality 90."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SIZES = {"2 megapixels": (1632, 1224), "12 megapixels": (4000, 3000)}
_QUALITY = 90
_GRAIN = 4.0
"""Standard deviation of the grain, in levels of 255."""


def make_photos(data: Path, work: Path, name: str, count: int) -> list[Path]:
    """`count` photos of the size `name`; the same bytes every time. Made ones are kept."""
    sources = sorted((data / "distill").glob("coco_*.jpg"))[:count]
    if len(sources) < count:
        raise SystemExit(f"{data / 'distill'}: {len(sources)} pictures coco_*.jpg, not {count}")
    size = SIZES[name]
    folder = work / f"photos_{size[0]}x{size[1]}"
    folder.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    grain = np.rint(random.normal(0, _GRAIN, (size[1], size[0]))).astype(np.int16)
    paths = []
    for source in sources:
        path = folder / source.name
        shift = tuple(int(random.integers(side)) for side in grain.shape)
        if not path.exists():
            _enlarge(source, size, np.roll(grain, shift, (0, 1)), path)
        paths.append(path)
    return paths


def _enlarge(source: Path, size: tuple[int, int], grain: np.ndarray, path: Path) -> None:
    with Image.open(source) as image:
        large = ImageOps.fit(image.convert("RGB"), size, Image.Resampling.BICUBIC)
    noisy = np.clip(np.asarray(large) + grain[:, :, None], 0, 255).astype(np.uint8)
    unfinished = path.with_suffix(".part")
    Image.fromarray(noisy).save(unfinished, "JPEG", quality=_QUALITY)
    unfinished.rename(path)
