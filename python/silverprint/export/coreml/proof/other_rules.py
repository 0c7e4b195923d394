"""How a model answers where pictures are brought to size in other ways than its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.decode import decode
from silverprint.data.rule import PictureRule
from silverprint.export.coreml.proof.oracle import Floats
from silverprint.export.coreml.proof.report import Agreement

if TYPE_CHECKING:
    from PIL import Image

    from silverprint.data.decode import Picture

    Place = Callable[[Image.Image, tuple[int, int], tuple[float, float, float, float]], Image.Image]

_CROPS = {
    "center_crop": ("centre crop", ".centerCrop"),
    "scale_fill": ("scale to fill", ".scaleFill"),
    "scale_fit": ("scale to fit", ".scaleFit"),
}


def agreements(
    pictures: Sequence[Picture],
    rule: PictureRule,
    answer: Callable[[Floats], str],
    truth: Sequence[str] | None = None,
) -> tuple[Agreement, ...]:
    """Share of equal labels, and of right ones, under the own rule and each of the others.

    Args:
        pictures: of any size; each is decoded once.
        rule: of the model.
        answer: the label for a tensor float32 [1, 3, height, width].
        truth: the labels of the pictures, where they are known.

    Raises:
        InvalidDataError: a picture cannot be read.
    """
    from PIL import Image

    ways: list[tuple[str, str, Callable[[npt.NDArray[np.uint8]], Floats]]] = []
    for crop in (rule.crop_and_scale, *(one for one in _CROPS if one != rule.crop_and_scale)):
        name, option = _CROPS[crop]
        own = " (the model's own rule)" if crop == rule.crop_and_scale else ""
        swift = f"request.imageCropAndScaleOption = {option}"
        other = PictureRule(rule.height, rule.width, crop)
        ways.append((f"{name}{own}", swift, _prepared(other)))
    lanczos, bilinear = Image.Resampling.LANCZOS, Image.Resampling.BILINEAR
    ways.append(("no antialiasing", "", _placed(rule, _sampled(bilinear))))
    ways.append(("Lanczos resampling", "", _placed(rule, _resized(lanczos))))

    answers: list[list[str]] = [[] for _ in ways]
    for picture in pictures:
        pixels = decode(picture)
        for given, (_, _, tensor_of) in zip(answers, ways, strict=True):
            given.append(answer(tensor_of(pixels)))
    return tuple(
        Agreement(
            name,
            _share(given, answers[0]),
            None if truth is None else _share(given, truth),
            swift,
        )
        for given, (name, swift, _) in zip(answers, ways, strict=True)
    )


def _share(given: Sequence[str], wanted: Sequence[str]) -> float:
    equal = sum(one == other for one, other in zip(given, wanted, strict=True))
    return equal / len(given)


def _prepared(rule: PictureRule) -> Callable[[npt.NDArray[np.uint8]], Floats]:
    """silverprint's own resampling."""

    def tensor_of(pixels: npt.NDArray[np.uint8]) -> Floats:
        return _core.image.prepare(pixels, rule.height, rule.width, rule.crop_and_scale)[None]

    return tensor_of


def _placed(rule: PictureRule, place: Place) -> Callable[[npt.NDArray[np.uint8]], Floats]:
    """Pillow's, with the crop of `rule`."""

    def tensor_of(pixels: npt.NDArray[np.uint8]) -> Floats:
        from PIL import Image

        picture = Image.fromarray(pixels)
        size, box = _geometry(rule, picture.size)
        result = Image.new("RGB", (rule.width, rule.height))
        corner = ((rule.width - size[0]) // 2, (rule.height - size[1]) // 2)
        result.paste(place(picture, size, box), corner)
        planes = np.asarray(result, np.float32).transpose(2, 0, 1)
        return np.ascontiguousarray(planes[None])

    return tensor_of


def _geometry(
    rule: PictureRule, size: tuple[int, int]
) -> tuple[tuple[int, int], tuple[float, float, float, float]]:
    """(width, height) to fill, and the box of the picture that fills it."""
    width, height = size
    if rule.crop_and_scale == "scale_fill":
        return (rule.width, rule.height), (0, 0, width, height)
    scales = (rule.width / width, rule.height / height)
    if rule.crop_and_scale == "scale_fit":
        scale = min(scales)
        return (max(1, round(width * scale)), max(1, round(height * scale))), (0, 0, width, height)
    scale = max(scales)
    across, down = min(rule.width / scale, width), min(rule.height / scale, height)
    left, top = (width - across) / 2, (height - down) / 2
    return (rule.width, rule.height), (left, top, left + across, top + down)


def _resized(resampling: Any) -> Place:
    return lambda picture, size, box: picture.resize(size, resampling, box=box)


def _sampled(resampling: Any) -> Place:
    """One look at the picture for each pixel, however much smaller the result is."""
    from PIL import Image

    return lambda picture, size, box: picture.transform(
        size, Image.Transform.EXTENT, box, resampling
    )
