"""Draw augmentation.jpg beside this file: a drawn picture, and every view of it.

python docs/augmentation_sheet.py
"""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from silverprint import _core
from silverprint.data.decode import decode
from silverprint.demo.draw import draw_pictures
from silverprint.features.augmentation import AUGMENTATIONS, SeededView, views_of

_OUTPUT = Path(__file__).with_name("augmentation.jpg")
_LABEL = "bicycle"
_SIZE, _GAP, _NAMES = 160, 6, 74


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        draw_pictures(folder, per_label=1)
        picture = (Path(folder) / _LABEL / f"{_LABEL}_001.jpg").read_bytes()
    pixels, digest = decode(picture), hashlib.sha256(picture).digest()
    step = _SIZE + _GAP
    sheet = Image.new("RGB", (_NAMES + 5 * step, len(AUGMENTATIONS) * step + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for row, option in enumerate(AUGMENTATIONS):
        top = _GAP + row * step
        draw.text((_GAP, top + _SIZE // 2), option, "black", ImageFont.load_default(15), "lm")
        views = [view.seeded(0, digest) for view in views_of({option})]
        for column, view in enumerate((None, *views)):
            sheet.paste(_tile(pixels, view), (_NAMES + column * step, top))
    sheet.save(_OUTPUT, "JPEG", quality=70, optimize=True)
    print(f"{_OUTPUT}: {_OUTPUT.stat().st_size / 1000:.0f} kB")


def _tile(pixels: npt.NDArray[np.uint8], view: SeededView | None) -> Image.Image:
    """What the network sees, a little smaller."""
    tensor = _core.image.prepare(pixels, 224, 224, "center_crop", view=view)
    seen = Image.fromarray(tensor.transpose(1, 2, 0).astype(np.uint8))
    return seen.resize((_SIZE, _SIZE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
