"""How an executed ML Program resamples, against ONNX Runtime where it has the same rule.

Other rules are held against the numbers that coremltools' documentation and tests print.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from silverprint.export.coreml import available
from silverprint.export.coreml.execute.mil_operators import lookup
from support.mil import Array, assert_close, integers, onnx_run, random, run_programs

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

X = random(2, 3, 5, 7)
SIZES = [(5, 7), (10, 14), (9, 8), (3, 4), (1, 1), (13, 2)]
RULES = {
    "UNALIGN_CORNERS": "half_pixel",
    "STRICT_ALIGN_CORNERS": "align_corners",
    "DEFAULT": "asymmetric",
}
PAIR = np.float32([[[0, 1]]])


def compute(name: str, opset: int = 5, **arguments: Any) -> Any:
    operator = lookup(name, opset)
    assert operator is not None
    with np.errstate(all="ignore"):
        return operator.compute(**arguments)


def onnx_resize(x: Array, size: tuple[int, ...], rule: str, **attributes: Any) -> Array:
    sizes = np.array([*x.shape[:2], *size], np.int64)
    found: Array = onnx_run(
        "Resize", x, None, None, sizes, coordinate_transformation_mode=rule, **attributes
    )
    return found


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("mode", RULES)
def test_bilinear_to_a_size(mode: str, size: tuple[int, int]) -> None:
    expected = onnx_resize(X, size, RULES[mode], mode="linear")
    found = compute(
        "resize_bilinear",
        x=X,
        target_size_height=np.int32(size[0]),
        target_size_width=np.int32(size[1]),
        sampling_mode=mode,
    )
    assert_close(found, expected)
    found = compute(
        "resize", 7, x=X, shape=integers([9, *size]), resized_dims=np.uint32(2), sampling_mode=mode
    )
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("mode", "side", "expected"),
    [
        ("UNALIGN_CORNERS", 5, [0, 0.1, 0.5, 0.9, 1]),
        ("STRICT_ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", 5, [0, 0.25, 0.5, 0.75, 1]),
        ("ALIGN_CORNERS", 1, [0.5]),
        ("STRICT_ALIGN_CORNERS", 1, [0]),
        ("DEFAULT", 5, [0, 0.4, 0.8, 1, 1]),
        ("OFFSET_CORNERS", 5, [0.1, 0.3, 0.5, 0.7, 0.9]),
        ("OFFSET_CORNERS", 6, [1 / 12, 0.25, 5 / 12, 7 / 12, 0.75, 11 / 12]),
    ],
)
def test_places_as_the_documentation_prints_them(
    mode: str, side: int, expected: list[float]
) -> None:
    found = compute(
        "resize_bilinear",
        x=PAIR,
        target_size_height=np.int32(1),
        target_size_width=np.int32(side),
        sampling_mode=mode,
    )
    np.testing.assert_allclose(found, [[expected]], atol=1e-6)


@pytest.mark.parametrize("factors", [(2, 3), (1, 1), (2.5, 1.5), (0.6, 2)])
def test_upsample_bilinear(factors: tuple[float, float]) -> None:
    """The scale that counts is that of the sizes: PyTorch's recompute_scale_factor."""
    size = (int(5 * factors[0]), int(7 * factors[1]))
    scales: dict[str, Any] = {
        "scale_factor_height": np.float32(factors[0]),
        "scale_factor_width": np.float32(factors[1]),
    }
    aligned, off = np.bool_(True), np.bool_(False)
    found = compute("upsample_bilinear", x=X, **scales, align_corners=aligned)
    assert_close(found, onnx_resize(X, size, "align_corners", mode="linear"))
    found = compute("upsample_bilinear", x=X, **scales, align_corners=off)
    assert_close(found, onnx_resize(X, size, "half_pixel", mode="linear"))
    found = compute(
        "upsample_bilinear", 6, x=X, **scales, align_corners=off, half_pixel_centers=off
    )
    assert_close(found, onnx_resize(X, size, "asymmetric", mode="linear"))
    with pytest.raises(ValueError, match="align_corners and half_pixel_centers"):
        compute("upsample_bilinear", 6, x=X, align_corners=aligned, half_pixel_centers=aligned)


@pytest.mark.parametrize("size", SIZES)
def test_nearest_to_a_size(size: tuple[int, int]) -> None:
    """Pixel floor(i * input / output), as in PyTorch."""
    expected = onnx_resize(X, size, "asymmetric", mode="nearest", nearest_mode="floor")
    found = compute(
        "resize_nearest_neighbor",
        x=X,
        target_size_height=np.int32(size[0]),
        target_size_width=np.int32(size[1]),
    )
    np.testing.assert_array_equal(found, expected)


def test_upsample_nearest() -> None:
    scales = {"scale_factor_height": np.int32(2), "scale_factor_width": np.float32(3)}
    found = compute("upsample_nearest_neighbor", x=X, **scales)
    expected = onnx_resize(X, (10, 21), "asymmetric", mode="nearest", nearest_mode="floor")
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match=r"whether the scale 1\.7"):
        compute("upsample_nearest_neighbor", x=X, scale_factor_width=np.float32(1.7))


def test_resize_to_the_nearest_place() -> None:
    """The numbers are those of coremltools' test of the operator: places 0, 2/3 and 4/3."""
    x = np.float32([[[[1], [2]]]])
    nearest: dict[str, Any] = {
        "interpolation_mode": "NEAREST_NEIGHBOR",
        "resized_dims": np.uint32(2),
    }
    found = compute("resize", 7, x=x, shape=integers([1, 3, 2]), **nearest)
    assert found.tolist() == [[[[1, 1], [2, 2], [2, 2]]]]
    doubled = compute(
        "resize", 7, x=X, shape=integers([10, 0]), **nearest, sampling_mode="UNALIGN_CORNERS"
    )
    np.testing.assert_array_equal(doubled, np.repeat(X, 2, axis=2))
    with pytest.raises(ValueError, match="half-way between them"):
        compute("resize", 7, x=X, shape=integers([10, 7]), **nearest)


def test_resized_dimensions_are_the_last_ones() -> None:
    expected = onnx_resize(X, (5, 9), "half_pixel", mode="linear")
    found = compute(
        "resize",
        7,
        x=X,
        shape=integers([4, 9]),
        resized_dims=np.uint32(1),
        sampling_mode="UNALIGN_CORNERS",
    )
    assert_close(found, expected)


def test_unknown_modes_are_refused() -> None:
    with pytest.raises(ValueError, match="resizing in the mode 'CUBIC'"):
        compute("resize_bilinear", x=X, sampling_mode="CUBIC")


def test_resizing_in_a_saved_program(tmp_path_factory: pytest.TempPathFactory) -> None:
    builds: dict[str, Any] = {
        "size": lambda mb, x: mb.resize_bilinear(
            x=x, target_size_height=9, target_size_width=8, sampling_mode="UNALIGN_CORNERS"
        ),
        "scale": lambda mb, x: mb.upsample_bilinear(
            x=x, scale_factor_height=2, scale_factor_width=2, align_corners=True
        ),
        "nearest": lambda mb, x: mb.upsample_nearest_neighbor(
            x=x, scale_factor_height=2, scale_factor_width=3
        ),
        "resize": lambda mb, x: mb.resize(
            x=x,
            shape=[9, 8],
            resized_dims=np.uint32(2),
            interpolation_mode="LINEAR",
            sampling_mode="DEFAULT",
        ),
    }
    found = run_programs(tmp_path_factory.mktemp("resize"), builds, {"x": X}, target="iOS17")
    assert_close(found["size"], onnx_resize(X, (9, 8), "half_pixel", mode="linear"))
    assert_close(found["scale"], onnx_resize(X, (10, 14), "align_corners", mode="linear"))
    np.testing.assert_array_equal(found["nearest"], np.repeat(np.repeat(X, 2, 2), 3, 3))
    assert_close(found["resize"], onnx_resize(X, (9, 8), "asymmetric", mode="linear"))
