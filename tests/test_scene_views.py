"""Views for object detection: what each shows, its pixels, that boxes follow, and that they are the
same bytes everywhere."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from silverprint import _core
from silverprint.errors import InvalidParameterError
from silverprint.features.augmentation import View, view_seed
from silverprint.features.scene_views import (
    SceneView,
    scene_geometry,
    scene_views,
    views_for,
)
from support.children import run_python

Pixels = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.float32]

GREY = 114
seeds = st.integers(0, 2**64 - 1)


def prepare(
    pixels: Pixels, view: tuple[str, int, int] | None, size: tuple[int, int] = (96, 96)
) -> Tensor:
    return _core.image.prepare(pixels, *size, "scale_fill", view=view)


def picture(height: int, width: int) -> Pixels:
    """Smooth waves: every level occurs."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 17 + y / 31), np.cos(y / 21), np.sin((x + 2 * y) / 27)]
    return np.clip(np.stack(waves, axis=-1) * 140 + 127.5, 0, 255).astype(np.uint8)


class Drawn(NamedTuple):
    """What a random view is, as the documentation says, from SplitMix64's published code."""

    left: float
    top: float
    right: float
    bottom: float
    flip: bool
    cropped: bool
    brightness: float
    contrast: float
    saturation: float


def uniform(seed: int) -> Iterator[float]:
    while True:
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        yield ((z ^ (z >> 31)) >> 11) / 2**53


def drawn(seed: int) -> Drawn:
    random = uniform(seed)
    flip, cropped = next(random) < 0.5, next(random) < 0.7
    if cropped:
        area, aspect = 0.35 + 0.65 * next(random), 1 + next(random) / 3
        aspect = 1 / aspect if next(random) < 0.5 else aspect
        width, height = min(1.0, math.sqrt(area * aspect)), min(1.0, math.sqrt(area / aspect))
    else:
        width = height = 1 + 0.6 * next(random)
    left, top = (1 - width) * next(random), (1 - height) * next(random)
    factors = [round((0.7 + 0.6 * next(random)) * 256) / 256 for _ in range(3)]
    return Drawn(left, top, left + width, top + height, flip, cropped, *factors)


# What a view shows


def test_the_first_two_are_the_picture_and_its_mirror_image() -> None:
    pixels = picture(70, 50)
    for number, expected in ((0, pixels), (1, pixels[:, ::-1])):
        made = prepare(pixels, ("scene", number, 9), (70, 50))
        np.testing.assert_array_equal(made, expected.transpose(2, 0, 1))
        assert _core.image.scene_geometry(number, 9) == (0, 0, 1, 1, number == 1)


@settings(max_examples=300, deadline=None)
@given(number=st.integers(2, 2**31 - 1), seed=seeds)
def test_geometry_is_drawn_as_documented_whatever_the_number(number: int, seed: int) -> None:
    *rectangle, flip = _core.image.scene_geometry(number, seed)
    expected = drawn(seed)
    np.testing.assert_allclose(rectangle, expected[:4], rtol=0, atol=1e-15)
    assert flip == expected.flip


def test_random_views_are_spread_over_what_is_documented() -> None:
    shown = np.array([_core.image.scene_geometry(2, seed) for seed in range(4000)])
    left, top, right, bottom, flip = shown.T
    width, height = right - left, bottom - top
    cropped = width * height < 1
    assert abs(flip.mean() - 0.5) < 0.03
    assert abs(cropped.mean() - 0.7) < 0.03
    inside = shown[cropped]
    assert inside[:, :2].min() >= 0
    assert inside[:, 2:4].max() <= 1 + 1e-15
    area, aspect = (width * height)[cropped], (width / height)[cropped]
    assert 0.35 <= area.min() < 0.36 < 0.98 < area.max() < 1
    assert 0.75 - 1e-9 <= aspect.min() < 0.76 < 1.32 < aspect.max() <= 4 / 3 + 1e-9
    zoom = width[~cropped]
    np.testing.assert_allclose(zoom, height[~cropped])
    assert 1 <= zoom.min() < 1.01 < 1.59 < zoom.max() <= 1.6
    assert left[~cropped].max() <= 0
    assert right[~cropped].min() >= 1


# Pixels


def resampled(plane: npt.NDArray[np.float64], begin: float, end: float, outputs: int) -> Any:
    """Antialiased bilinear along the first axis; rows of NaN where the centre is beyond it."""
    scale = (end - begin) / outputs
    support, inputs = max(scale, 1.0), np.arange(len(plane)) + 0.5
    made = np.full((outputs, *plane.shape[1:]), np.nan)
    for i in range(outputs):
        center = begin + (i + 0.5) * scale
        if 0 <= center < len(plane):
            share = np.maximum(0, 1 - abs(inputs - center) / support)
            made[i] = np.tensordot(share / share.sum(), plane, 1)
    return made


def enhanced(part: npt.NDArray[np.float64], view: Drawn) -> npt.NDArray[np.float64]:
    """What Pillow's ImageEnhance does, without rounding."""

    def blend(around: Any, levels: npt.NDArray[np.float64], factor: float) -> Any:
        return np.clip(around + (levels - around) * factor, 0, 255)

    def grey(levels: npt.NDArray[np.float64]) -> Any:
        return (levels @ [0.299, 0.587, 0.114])[..., None]

    part = blend(0, part, view.brightness)
    part = blend(grey(part).mean(), part, view.contrast)
    return np.asarray(blend(grey(part), part, view.saturation))


@pytest.mark.parametrize("seed", range(20))
def test_pixels_are_those_of_the_rectangle_with_other_colours(seed: int) -> None:
    pixels, size = picture(300, 400), (96, 128)
    view = drawn(seed)
    across = resampled(
        pixels.transpose(1, 0, 2).astype(np.float64), view.left * 400, view.right * 400, size[1]
    )
    exact = resampled(across.transpose(1, 0, 2), view.top * 300, view.bottom * 300, size[0])
    beyond = np.isnan(exact).any(axis=2)
    assert beyond.any() != view.cropped
    expected = np.full((*size, 3), GREY, np.float64)
    expected[~beyond] = enhanced(exact[~beyond], view)
    made = prepare(pixels, ("scene", 2, seed), size).transpose(1, 2, 0)
    made = made[:, ::-1] if view.flip else made
    np.testing.assert_array_equal(made[beyond], GREY)
    difference = made - expected
    assert np.abs(difference).max() <= 3  # rounded five times, and enlarged three times
    assert np.abs(difference).mean() < 0.6
    assert abs(difference.mean()) < 0.3


@pytest.mark.parametrize("seed", [s for s in range(30) if drawn(s).cropped][:8])
def test_a_crop_is_what_pillow_makes_of_it(seed: int) -> None:
    pixels, view = picture(300, 400), drawn(seed)
    box = (view.left * 400, view.top * 300, view.right * 400, view.bottom * 300)
    image = Image.fromarray(pixels).resize((96, 96), Image.Resampling.BILINEAR, box)
    image = ImageEnhance.Brightness(image).enhance(view.brightness)
    image = ImageEnhance.Contrast(image).enhance(view.contrast)
    image = ImageEnhance.Color(image).enhance(view.saturation)
    made = prepare(pixels, ("scene", 2, seed)).transpose(1, 2, 0)
    made = made[:, ::-1] if view.flip else made
    # Pillow cuts fractions off, three times, where this rounds: it is darker by about 1.5 levels.
    difference = made - np.asarray(image, np.float64)
    assert difference.min() >= -1
    assert difference.max() <= 5
    assert difference.mean() < 1.7


@settings(max_examples=300, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    number=st.integers(0, 9),
    seed=seeds,
)
@example(shape=(1, 3000), size=(1, 1), number=2, seed=3)
@example(shape=(3000, 1), size=(64, 1), number=2, seed=8)
def test_any_picture_and_size_gives_whole_levels(
    shape: tuple[int, int], size: tuple[int, int], number: int, seed: int
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    made = prepare(pixels, ("scene", number, seed), size)
    assert made.shape == (3, *size)
    assert made.dtype == np.float32
    assert 0 <= made.min() <= made.max() <= 255
    np.testing.assert_array_equal(made, np.rint(made))


def test_any_channel_order_and_rows_at_any_distance() -> None:
    pixels = picture(60, 80)
    for seed in range(6):
        expected = prepare(pixels, ("scene", 2, seed))
        wide = np.zeros((60, 100, 4), np.uint8)
        wide[:, :80, :3] = pixels
        for other, order in ((wide[:, :80], "rgba"), (pixels[:, :, ::-1].copy(), "bgr")):
            made = _core.image.prepare(other, 96, 96, "scale_fill", order, ("scene", 2, seed))
            np.testing.assert_array_equal(made, expected)


# Boxes


@settings(max_examples=400, deadline=None)
@given(
    shape=st.tuples(st.integers(60, 500), st.integers(60, 500)),
    corners=st.tuples(*[st.floats(0, 1) for _ in range(4)]),
    size=st.sampled_from([(96, 96), (96, 160), (224, 128)]),
    number=st.integers(0, 3),
    seed=seeds,
)
def test_boxes_moved_by_the_geometry_lie_on_their_objects(
    shape: tuple[int, int],
    corners: tuple[float, float, float, float],
    size: tuple[int, int],
    number: int,
    seed: int,
) -> None:
    height, width = shape
    x0, x1 = sorted(round(c * width) for c in corners[:2])
    y0, y1 = sorted(round(c * height) for c in corners[2:])
    assume(x1 - x0 >= 4 and y1 - y0 >= 4)
    pixels = np.full((height, width, 3), 90, np.uint8)
    pixels[y0:y1, x0:x1] = (140, 60, 60)  # within the levels in all colours it may get

    left, top, right, bottom, flip = _core.image.scene_geometry(number, seed)
    xs = (np.array([x0, x1]) / width - left) / (right - left)
    ys = (np.array([y0, y1]) / height - top) / (bottom - top)
    xs = 1 - xs[::-1] if flip else xs
    xs, ys = np.clip(xs, 0, 1) * size[1], np.clip(ys, 0, 1) * size[0]
    assume(xs[1] - xs[0] >= 5 and ys[1] - ys[0] >= 5)

    made = prepare(pixels, ("scene", number, seed), size)
    redness = made[0] - made[2]  # grey has none, however bright
    found = redness > redness.max() / 2
    for expected, axis in ((xs, 0), (ys, 1)):
        inside = np.flatnonzero(found.any(axis=axis))
        assert abs(inside[0] - expected[0]) <= 1
        assert abs(inside[-1] + 1 - expected[1]) <= 1


# The same bytes everywhere


def test_every_instruction_set_makes_the_same_bytes() -> None:
    code = """
        import hashlib, numpy as np
        from silverprint import _core
        rng, digest = np.random.default_rng(0), hashlib.sha256()
        for shape in ((1, 1), (50, 33), (301, 207)):
            pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
            for size in ((1, 1), (17, 30), (224, 224)):
                for seed in (*range(8), 2**63):
                    view = ("scene", 2, seed)
                    made = _core.image.prepare(pixels, *size, "scale_fill", view=view)
                    digest.update(made.tobytes())
        print(_core.build.active_isa(), digest.hexdigest())
    """
    isas = _core.build.available_isas()
    answers = [run_python(code, env={"SILVERPRINT_ISA": isa}).stdout.split() for isa in isas]
    assert [isa for isa, _ in answers] == isas
    assert len({digest for _, digest in answers}) == 1


def test_the_bytes_are_those_of_every_platform() -> None:
    # Recorded from this code when the tests above held; other bytes make other trained models.
    y, x, channel = np.ogrid[0:120, 0:150, 0:3]
    pixels = ((x * x + 3 * x * y + 85 * channel) // 16 % 256).astype(np.uint8)
    made = hashlib.sha256()
    for seed in range(8):
        made.update(prepare(pixels, ("scene", 2, seed)).astype("<f4").tobytes())
    assert made.hexdigest()[:8] == "81770763"


# Views of pictures


def test_a_view_is_seeded_by_the_training_the_picture_and_its_number() -> None:
    digest = hashlib.sha256(b"picture").digest()
    by_hand = hashlib.sha256(b"silverprint view 7 scene 3\0" + digest).hexdigest()[:16]
    assert SceneView(3).seeded(7, digest) == ("scene", 3, int(by_hand, 16))
    assert SceneView(3).seeded(7, digest)[2] == view_seed(7, digest, SceneView(3))
    assert view_seed(7, digest, View("crop", 3)) != view_seed(7, digest, SceneView(3))


def test_scene_views_count_the_picture_itself() -> None:
    assert scene_views(4) == (SceneView(1), SceneView(2), SceneView(3))
    assert scene_views(1) == ()


def test_the_geometry_of_many_pictures_stands_in_one_array() -> None:
    digests = [hashlib.sha256(bytes([i])).digest() for i in range(5)]
    views = scene_views(4)
    shown = scene_geometry(digests, views, 3)
    assert shown.shape == (5, 4, 5)
    assert shown.dtype == np.float32
    np.testing.assert_array_equal(shown[:, 0], [[0, 0, 1, 1, 0]] * 5)
    np.testing.assert_array_equal(shown[:, 1], [[0, 0, 1, 1, 1]] * 5)
    for digest, rows in zip(digests, shown, strict=True):
        expected = drawn(SceneView(3).seeded(3, digest)[2])
        np.testing.assert_allclose(rows[3], expected[:5], atol=1e-7)
    # Other pictures, and other views, change nothing.
    np.testing.assert_array_equal(
        scene_geometry(digests[3:], views[1:], 3), shown[3:][:, [0, 2, 3]]
    )
    assert not np.array_equal(scene_geometry(digests, views, 4), shown)
    assert scene_geometry([], views, 0).shape == (0, 4, 5)


@pytest.mark.parametrize("number", [-1, 2**31, True, 1.0, "2"])
def test_a_number_that_is_none_is_named(number: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"^number="):
        SceneView(number)


def test_the_core_refuses_views_that_there_are_not() -> None:
    pixels = picture(20, 20)
    with pytest.raises(ValueError, match="view -1 of scene"):
        prepare(pixels, ("scene", -1, 0))
    for rule in ("center_crop", "scale_fit"):
        with pytest.raises(ValueError, match="it needs scale_fill"):
            _core.image.prepare(pixels, 8, 8, rule, view=("scene", 2, 0))


# A budget on disk


@pytest.mark.parametrize(
    ("limit", "views", "text"),
    [
        (None, 8, "8 views of each picture: 960.0 MB of feature maps"),
        (960_000_000, 8, "8 views of each picture: 960.0 MB of feature maps"),
        (
            959_999_999,
            7,
            "7 views of each picture instead of 8 views: 840.0 MB of feature maps, within LIMIT",
        ),
        (
            1_000_000,
            1,
            "each picture once instead of 8 views: 120.0 MB of feature maps, more than LIMIT",
        ),
    ],
)
def test_views_are_as_many_as_fit(limit: int | None, views: int, text: str) -> None:
    plan = views_for(limit, 300, 400_000)
    text = text.replace("LIMIT", f"the cache_limit of {(limit or 0) / 1e6:.1f} MB")
    assert (plan.views, plan.bytes, plan.text) == (views, views * 120_000_000, text)


def test_one_may_want_fewer_or_more_views() -> None:
    assert views_for(None, 10, 10, wanted=1).text.startswith("each picture once: ")
    assert views_for(10**9, 10, 10, wanted=20).views == 20
    assert views_for(10**9, 0, 10).views == 8


@pytest.mark.parametrize(
    ("options", "name"),
    [({"cache_limit": 0}, "cache_limit"), ({"cache_limit": "4GB"}, "cache_limit")]
    + [({"wanted": value}, "views") for value in (0, True, 2.0)],
)
def test_a_wrong_budget_is_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"^{name}="):
        views_for(**({"cache_limit": None, "pictures": 1, "bytes_per_view": 1} | options))
