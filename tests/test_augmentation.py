"""Augmentation: what each option does to a picture, that views are the same bytes everywhere, and
that they travel with their picture through extraction."""

from __future__ import annotations

import hashlib
import math
import threading
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from silverprint import _core
from silverprint.data.rule import CROP_AND_SCALE
from silverprint.errors import InvalidDataError, InvalidParameterError, TrainingCancelled
from silverprint.features.augmentation import AUGMENTATIONS, View, view_seed, views_of
from silverprint.features.extraction import FeatureBlock, extract_blocks
from silverprint.features.prints import ScenePrint
from support.children import run_python

Pixels = npt.NDArray[np.uint8]
Tensor = npt.NDArray[np.float32]

SIZE = 96
SEEDS = (1, 2, 3, 2**64 - 1)
every_option = pytest.mark.parametrize("option", AUGMENTATIONS)
every_view = pytest.mark.parametrize(("number", "seed"), list(enumerate(SEEDS, 1)))


def prepare(pixels: Pixels, view: tuple[str, int, int] | None = None, size: int = SIZE) -> Tensor:
    return _core.image.prepare(pixels, size, size, "scale_fill", view=view)


def scene(height: int = SIZE, width: int = SIZE) -> Pixels:
    """Smooth waves with some noise: every level occurs."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / 7 + y / 31), np.cos(y / 11), np.sin((x + 2 * y) / 17)]
    noise = np.random.default_rng(0).normal(0, 0.1, (height, width, 3))
    return np.clip(np.stack(waves, axis=-1) * 140 + 127.5 + 60 * noise, 0, 255).astype(np.uint8)


def draws(seed: int, count: int = 8) -> list[float]:
    """The first numbers in [0, 1) of SplitMix64, written anew from its published code."""
    found = []
    for _ in range(count):
        seed = (seed + 0x9E3779B97F4A7C15) % 2**64
        z = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        found.append(((z ^ (z >> 31)) >> 11) / 2**53)
    return found


def strength(low: float, high: float, number: int, seed: int) -> float:
    """How strong a view is: one of four evenly drawn from a quarter of the range each."""
    return low + (high - low) * (number - 1 + draws(seed)[0]) / 4


def test_the_generator_here_gives_the_published_numbers() -> None:
    # First outputs for seed 1234567, as rosettacode.org lists them.
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert draws(1234567, 3) == [(number >> 11) / 2**53 for number in expected]


# What each option does


@pytest.mark.parametrize("number", [1, 2, 3])
def test_flips_are_exact(number: int) -> None:
    pixels = scene(70, 50)
    flipped = {1: pixels[:, ::-1], 2: pixels[::-1], 3: pixels[::-1, ::-1]}[number]
    view = _core.image.prepare(pixels, 70, 50, "scale_fill", view=("flip", number, 5))
    np.testing.assert_array_equal(view, flipped.transpose(2, 0, 1))


@every_view
@pytest.mark.parametrize("rule", CROP_AND_SCALE)
def test_a_crop_is_a_part_of_the_picture_prepared_like_a_picture(
    number: int, seed: int, rule: str
) -> None:
    pixels = scene(300, 400)
    # Of the square that center_crop keeps; the part of it then fills the tensor.
    whole = pixels[:, 50:350] if rule == "center_crop" else pixels
    rows, columns = whole.shape[:2]
    _, aspect, coin, across, down, *_ = draws(seed)
    area, aspect = strength(0.6, 1, number, seed), 1 + 0.15 * aspect
    aspect = 1 / aspect if coin < 0.5 else aspect
    width = min(columns, int(columns * math.sqrt(area * aspect) + 0.5))
    height = min(rows, int(rows * math.sqrt(area / aspect) + 0.5))
    left, top = int(across * (columns - width + 1)), int(down * (rows - height + 1))
    part = whole[top : top + height, left : left + width]
    assert part.shape == (height, width, 3)
    assert 0.55 * rows * columns < height * width <= rows * columns
    np.testing.assert_array_equal(
        _core.image.prepare(pixels, SIZE, SIZE, rule, view=("crop", number, seed)),
        _core.image.prepare(part, SIZE, SIZE, "scale_fit" if rule == "scale_fit" else "scale_fill"),
    )


def test_a_crop_reads_any_channel_order_and_rows_at_any_distance() -> None:
    pixels = scene(60, 80)
    expected = prepare(pixels, ("crop", 1, 9))
    wide = np.zeros((60, 100, 4), np.uint8)
    wide[:, :80, :3] = pixels
    rgba = _core.image.prepare(wide[:, :80], SIZE, SIZE, "scale_fill", "rgba", ("crop", 1, 9))
    np.testing.assert_array_equal(rgba, expected)
    bgr = np.ascontiguousarray(pixels[:, :, ::-1])
    turned = _core.image.prepare(bgr, SIZE, SIZE, "scale_fill", "bgr", ("crop", 1, 9))
    np.testing.assert_array_equal(turned, expected)


@every_view
def test_rotation_is_pillows_bilinear_rotation(number: int, seed: int) -> None:
    pixels = scene()
    angle = strength(-20, 20, number, seed)
    rotated = Image.fromarray(pixels).rotate(angle, Image.Resampling.BILINEAR)
    expected = np.asarray(rotated, np.float32).transpose(2, 0, 1)
    view = prepare(pixels, ("rotation", number, seed))
    # The corners come from beyond the edges, where Pillow has nothing.
    inner = (slice(None), slice(16, -16), slice(16, -16))
    difference = np.abs(view[inner] - expected[inner])
    assert difference.max() <= 2  # Pillow truncates; the waves are steep
    assert difference.mean() < 0.7
    assert np.abs(prepare(pixels)[inner] - expected[inner]).mean() > 3


@every_view
def test_rotation_mirrors_the_picture_beyond_its_edges(number: int, seed: int) -> None:
    pixels = scene()
    angle = math.radians(strength(-20, 20, number, seed))
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    middle = np.array([SIZE - 1, SIZE - 1]) / 2
    expected = [
        ndimage.affine_transform(plane, turn, middle - turn @ middle, order=1, mode="reflect")
        for plane in prepare(pixels)
    ]
    difference = prepare(pixels, ("rotation", number, seed)) - np.array(expected)
    assert np.abs(difference).max() <= 1
    assert abs(difference.mean()) < 0.02


@every_view
@pytest.mark.parametrize("size", [96, 224, 320])
def test_blur_is_a_gaussian_that_grows_with_the_tensor(number: int, seed: int, size: int) -> None:
    pixels = scene(size, size)
    sigma = strength(0.5, 1.5, number, seed) * size / 224
    radius = math.ceil(3 * sigma)
    expected = ndimage.gaussian_filter(
        prepare(pixels, size=size), (0, sigma, sigma), mode="reflect", radius=(0, radius, radius)
    )
    difference = np.abs(prepare(pixels, ("blur", number, seed), size) - expected)
    assert difference.max() <= 1.01  # rounded to whole levels twice
    assert difference.mean() < 0.5


@every_view
def test_exposure_multiplies_light(number: int, seed: int) -> None:
    # Every level, by the formulas of sRGB (IEC 61966-2-1).
    levels = np.arange(256, dtype=np.uint8)
    pixels = np.repeat(levels.reshape(16, 16, 1), 3, axis=2)
    coded = levels / 255
    light = np.where(coded <= 0.04045, coded / 12.92, ((coded + 0.055) / 1.055) ** 2.4)
    light = np.minimum(1, light * 2 ** strength(-1, 1, number, seed))
    coded = np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)
    view = prepare(pixels, ("exposure", number, seed), 16).reshape(3, 256)
    assert np.abs(view - 255 * coded).max() <= 0.51
    assert (np.diff(view, axis=1) >= 0).all()


@every_view
def test_noise_is_gaussian_of_the_strength_drawn(number: int, seed: int) -> None:
    grey = np.full((224, 224, 3), 128, np.uint8)
    noise = prepare(grey, ("noise", number, seed), 224) - 128
    sigma = strength(2, 10, number, seed)
    assert abs(noise.mean()) < 5 * sigma / math.sqrt(noise.size)
    # To whole levels: a twelfth is added to the variance.
    assert math.isclose(noise.std(), math.sqrt(sigma**2 + 1 / 12), rel_tol=0.02)
    standard = noise / noise.std()
    assert abs((standard**3).mean()) < 0.05
    assert -0.4 < (standard**4).mean() - 3 < -0.2  # of four uniform numbers: -0.3
    # No pixel tells of its neighbour or of its other colours.
    for a, b in ((noise[:, :, 1:], noise[:, :, :-1]), (noise[:, 1:], noise[:, :-1]), noise[:2]):
        assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.02


def test_noise_stays_within_the_levels() -> None:
    for level in (0, 255):
        view = prepare(np.full((64, 64, 3), level, np.uint8), ("noise", 1, 3), 64)
        assert 0 <= view.min() < view.max() <= 255
        assert 0.4 < (view == level).mean() < 0.65


def test_other_seeds_make_other_views() -> None:
    pixels = scene(200, 300)
    for option in AUGMENTATIONS:
        found = {prepare(pixels, (option, 1, seed), 224).tobytes() for seed in range(20)}
        assert len(found) == (1 if option == "flip" else 20), option


# What holds for all


@settings(max_examples=200, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    rule=st.sampled_from(CROP_AND_SCALE),
    view=st.sampled_from(views_of(AUGMENTATIONS)),
    seed=st.integers(0, 2**64 - 1),
)
def test_views_are_whole_levels_of_the_rules_size(
    shape: tuple[int, int], size: tuple[int, int], rule: str, view: View, seed: int
) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)
    tensor = _core.image.prepare(pixels, *size, rule, view=(view.option, view.number, seed))
    assert tensor.shape == (3, *size)
    assert tensor.dtype == np.float32
    assert 0 <= tensor.min() <= tensor.max() <= 255
    np.testing.assert_array_equal(tensor, np.rint(tensor))


@every_option
@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (3000, 1), (2, 700)])
@pytest.mark.parametrize("size", [(1, 1), (1, 400), (400, 1), (64, 64)])
def test_extreme_pictures_and_tensors_of_one_colour_keep_it(
    option: str, shape: tuple[int, int], size: tuple[int, int]
) -> None:
    pixels = np.full((*shape, 3), (10, 128, 255), np.uint8)
    for seed in SEEDS:
        view = _core.image.prepare(pixels, *size, "scale_fill", view=(option, 1, seed))
        if option in ("crop", "rotation", "blur", "flip"):
            np.testing.assert_array_equal(view, _core.image.prepare(pixels, *size, "scale_fill"))


def test_every_instruction_set_makes_the_same_bytes() -> None:
    code = """
        import hashlib, numpy as np
        from silverprint import _core
        rng, digest = np.random.default_rng(0), hashlib.sha256()
        for shape in ((1, 1), (50, 33), (301, 207)):
            pixels = rng.integers(0, 256, (*shape, 3), np.uint8)
            for size in ((1, 1), (17, 30), (224, 224)):
                for option in ("crop", "rotation", "blur", "exposure", "noise", "flip"):
                    for seed in (1, 2**63, 77):
                        view = (option, 2, seed)
                        made = _core.image.prepare(pixels, *size, "center_crop", view=view)
                        digest.update(made.tobytes())
        print(_core.build.active_isa(), digest.hexdigest())
    """
    isas = _core.build.available_isas()
    answers = [run_python(code, env={"SILVERPRINT_ISA": isa}).stdout.split() for isa in isas]
    assert [isa for isa, _ in answers] == isas
    assert len({digest for _, digest in answers}) == 1


@every_option
def test_the_bytes_are_those_of_every_platform(option: str) -> None:
    # Recorded from this code when the tests above held; other bytes make other trained models.
    recorded = {
        "crop": "38ffb54e",
        "rotation": "ca9a8b45",
        "blur": "fe4b3322",
        "exposure": "a614c2db",
        "noise": "d6fe23a0",
        "flip": "30035c87",
    }
    y, x, channel = np.ogrid[0:120, 0:150, 0:3]
    pixels = ((x * x + 3 * x * y + 85 * channel) // 16 % 256).astype(np.uint8)
    made = hashlib.sha256()
    for seed in SEEDS:
        made.update(prepare(pixels, (option, 3, seed)).astype("<f4").tobytes())
    assert made.hexdigest()[:8] == recorded[option]


@pytest.mark.parametrize(
    ("view", "message"),
    [
        (("crop", 5, 0), "view 5 of crop: there are 1 to 4"),
        (("flip", 4, 0), "view 4 of flip: there are 1 to 3"),
        (("blur", 0, 0), "view 0 of blur"),
        (("shear", 1, 0), "view of 'shear': expected crop, rotation"),
    ],
)
def test_the_core_refuses_views_that_there_are_not(
    view: tuple[str, int, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        prepare(scene(), view)


# Options, views and seeds


def test_options_add_up_in_one_order() -> None:
    assert [(v.option, v.number) for v in views_of({"flip", "crop"})] == [
        *(("crop", number) for number in (1, 2, 3, 4)),
        *(("flip", number) for number in (1, 2, 3)),
    ]
    assert views_of(["crop", "flip", "crop"]) == views_of(("flip", "crop"))
    assert views_of(()) == ()
    assert len(views_of(AUGMENTATIONS)) == 23


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["rotate"], "augmentation='rotate': expected one of .* did you mean 'rotation'"),
        (["flips"], "did you mean 'flip'"),
        ([3], "augmentation=3: expected one of crop, rotation"),
        ([["flip"]], "expected one of crop, rotation"),
        ("flip", "augmentation='flip': expected a set of crop"),
        (None, "augmentation=None: expected a set of crop"),
    ],
)
def test_unknown_options_are_refused(options: Any, message: str) -> None:
    with pytest.raises(InvalidParameterError, match=message):
        views_of(options)


@pytest.mark.parametrize("number", [0, 4, 1.0, True, "1"])
def test_views_have_numbers(number: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"number=.*from 1 to 3 for flip"):
        View("flip", number)


def test_a_views_seed_is_a_hash_of_seed_picture_option_and_number() -> None:
    digest = hashlib.sha256(b"a picture").digest()
    by_hand = hashlib.sha256(b"silverprint view 7 crop 2\0" + digest).hexdigest()[:16]
    assert view_seed(7, digest, View("crop", 2)) == int(by_hand, 16)
    others = {
        view_seed(seed, picture, View(option, number))
        for seed in (7, 8)
        for picture in (digest, hashlib.sha256(b"another").digest())
        for option in ("crop", "blur")
        for number in (1, 2)
    }
    assert len(others) == 16


# Through extraction


class Means:
    """The mean colour of a picture's tensor, and of those of its views."""

    rule = ScenePrint().rule
    dimension = 3
    dtype = np.dtype(np.float32)

    def run(self, pixels: Pixels, cancel: Any) -> npt.NDArray[np.float32]:
        return self.run_views(pixels, cancel, ())[0]

    def run_views(self, pixels: Pixels, cancel: Any, views: Any) -> npt.NDArray[np.float32]:
        tensors = [prepare(pixels, view) for view in (None, *views)]
        return np.stack([tensor.mean(axis=(1, 2)) for tensor in tensors])


def pictures(count: int) -> list[Pixels]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (40 + i, 50, 3), np.uint8) for i in range(count)]


def one_block(given: list[Any], function: Any = None, **options: Any) -> FeatureBlock:
    function = function or Means()
    (block,) = extract_blocks(given, function, **({"block_size": 99, "threads": 2} | options))
    return block


def test_views_stand_beside_their_picture_in_the_order_asked_for() -> None:
    given, views = pictures(5), views_of({"flip", "noise"})
    block = one_block(given, views=views, seed=3)
    assert block.features.shape == (5, 3)
    assert block.views.shape == (5, 7, 3)
    assert block.views.dtype == np.float32
    assert len(block.digests) == 5
    for pixels, digest, rows in zip(given, block.digests, block.views, strict=True):
        for view, row in zip(views, rows, strict=True):
            seed = view_seed(3, digest, view)
            tensor = prepare(pixels, (view.option, view.number, seed))
            np.testing.assert_array_equal(row, tensor.mean(axis=(1, 2)))
    np.testing.assert_array_equal(block.features, one_block(given).features)


def test_without_views_there_are_none_and_no_digests() -> None:
    block = one_block(pictures(3))
    assert block.views.shape == (3, 0, 3)
    assert block.digests == []


def test_the_extractor_runs_the_graph_on_each_view() -> None:
    function = ScenePrint().function
    pixels = scene(300, 400)
    views = [View("crop", 2).seeded(0, b"x"), View("exposure", 4).seeded(0, b"x"), ("flip", 3, 0)]
    cancel = _core.runtime.CancelToken()
    rows = function.run_views(pixels, cancel, views)
    assert rows.shape == (4, function.dimension)
    assert rows[0].tobytes() == function.run(pixels, cancel).tobytes()
    rule = (function.rule.height, function.rule.width, function.rule.crop_and_scale)
    for row, view in zip(rows[1:], views, strict=True):
        tensor = _core.image.prepare(pixels, *rule, view=view)
        assert row.tobytes() == function.run_tensor(tensor[None])[0].tobytes()


def test_views_are_the_same_bytes_for_any_threads_and_order() -> None:
    given, views = pictures(7), views_of(AUGMENTATIONS)
    function = ScenePrint().function
    first = one_block(given, function, views=views)
    for threads in (1, 5):
        again = one_block(given, function, views=views, threads=threads)
        assert again.views.tobytes() == first.views.tobytes()
    turned = one_block(given[::-1], function, views=views[::-1])
    assert turned.views.tobytes() == first.views[::-1, ::-1].tobytes()
    assert one_block(given, function, views=views, seed=1).views.tobytes() != first.views.tobytes()


def test_views_go_by_the_bytes_of_the_file_not_by_its_name(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(scene()).save(tmp_path / name)
    block = one_block([tmp_path / "a.png", tmp_path / "b.png"], views=views_of({"crop"}))
    np.testing.assert_array_equal(block.views[0], block.views[1])


def test_pictures_that_cannot_be_read_have_no_views() -> None:
    given = pictures(4)
    block = one_block([*given[:2], b"not a picture", *given[2:]], views=views_of({"noise"}))
    assert block.positions.tolist() == [0, 1, 3, 4]
    np.testing.assert_array_equal(block.views, one_block(given, views=views_of({"noise"})).views)


def test_a_view_that_the_network_answers_with_nan_is_a_failure_of_its_picture() -> None:
    class Broken(Means):
        def run_views(self, pixels: Pixels, cancel: Any, views: Any) -> npt.NDArray[np.float32]:
            rows = super().run_views(pixels, cancel, views)
            rows[-1] = np.nan if pixels.shape[0] == 41 else 0
            return rows

    block = one_block(pictures(3), Broken(), views=views_of({"flip"}))
    assert block.positions.tolist() == [0, 2]
    ((position, error),) = block.failures
    assert position == 1
    assert isinstance(error, InvalidDataError)


def test_cancelling_stops_between_views() -> None:
    function, cancel = ScenePrint().function, _core.runtime.CancelToken()
    views = [("rotation", 1, seed) for seed in range(200_000)]  # minutes, if it did not stop
    timer = threading.Timer(0.2, cancel.cancel)
    timer.start()
    with pytest.raises(TrainingCancelled):
        function.run_views(scene(), cancel, views)
    timer.join()
