"""Compressed weights of an executed ML Program.

Whole models are compressed by coremltools and held against its own decompression; the order of
bits and blocks against the examples that its documentation prints.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silverprint.export.coreml import available
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.execute.mil_operators import lookup
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.reader import SavedModel, main_block, read_model
from support.mil import Array, assert_close, random, save_program

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

X = random(4, 32)
WEIGHT = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)


def compute(name: str, opset: int, **arguments: Any) -> Any:
    operator = lookup(name, opset)
    assert operator is not None
    return operator.compute(**arguments)


# Models that coremltools compressed


def linear(**options: Any) -> Callable[[Any, Any], Any]:
    def compress(optimize: Any, model: Any) -> Any:
        config = optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)
        return optimize.linear_quantize_weights(
            model, optimize.OptimizationConfig(global_config=config)
        )

    return compress


def palette(**options: Any) -> Callable[[Any, Any], Any]:
    def compress(optimize: Any, model: Any) -> Any:
        config = optimize.OpPalettizerConfig(mode="uniform", weight_threshold=0, **options)
        return optimize.palettize_weights(model, optimize.OptimizationConfig(global_config=config))

    return compress


def prune(optimize: Any, model: Any) -> Any:
    config = optimize.OpMagnitudePrunerConfig(target_sparsity=0.6, weight_threshold=0)
    return optimize.prune_weights(model, optimize.OptimizationConfig(global_config=config))


def prune_then(then: str, **options: Any) -> Callable[[Any, Any], Any]:
    def compress(optimize: Any, model: Any) -> Any:
        if then == "palette":
            config = optimize.OpPalettizerConfig(mode="uniform", weight_threshold=0, **options)
            step = optimize.palettize_weights
        else:
            config = optimize.OpLinearQuantizerConfig(weight_threshold=0, **options)
            step = optimize.linear_quantize_weights
        whole = optimize.OptimizationConfig(global_config=config)
        return step(prune(optimize, model), whole, joint_compression=True)

    return compress


BLOCKS = {"granularity": "per_block", "block_size": 8}
COMPRESSED: dict[str, tuple[str, Callable[[Any, Any], Any], str]] = {
    "8 bits": ("iOS16", linear(mode="linear_symmetric"), "constexpr_affine_dequantize"),
    "8 bits with zero": (
        "iOS16",
        linear(mode="linear", dtype="uint8"),
        "constexpr_affine_dequantize",
    ),
    "1 bit": ("iOS16", palette(nbits=1), "constexpr_lut_to_dense"),
    "4 bits": ("iOS16", palette(nbits=4), "constexpr_lut_to_dense"),
    "6 bits": ("iOS16", palette(nbits=6), "constexpr_lut_to_dense"),
    "sparse": ("iOS16", prune, "constexpr_sparse_to_dense"),
    "int4 blocks": (
        "iOS18",
        linear(mode="linear_symmetric", dtype="int4", **BLOCKS),
        "constexpr_blockwise_shift_scale",
    ),
    "uint4 blocks": (
        "iOS18",
        linear(mode="linear", dtype="uint4", **BLOCKS),
        "constexpr_blockwise_shift_scale",
    ),
    "2 bits, iOS 18": ("iOS18", palette(nbits=2), "constexpr_lut_to_dense"),
    "3 bits, iOS 18": ("iOS18", palette(nbits=3), "constexpr_lut_to_dense"),
    "4 bits in groups": (
        "iOS18",
        palette(nbits=4, granularity="per_grouped_channel", group_size=4),
        "constexpr_lut_to_dense",
    ),
    "sparse, iOS 18": ("iOS18", prune, "constexpr_sparse_to_dense"),
    "sparse 3 bits": ("iOS18", prune_then("palette", nbits=3), "constexpr_lut_to_sparse"),
    "sparse 8 bits": (
        "iOS18",
        prune_then("linear", mode="linear_symmetric"),
        "constexpr_sparse_blockwise_shift_scale",
    ),
}


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SavedModel]:
    def build(mb: Any, x: Any) -> Any:
        return mb.linear(x=x, weight=WEIGHT)

    folder = tmp_path_factory.mktemp("plain")
    return {
        target: save_program(folder / f"{target}.mlpackage", build, {"x": X}, target=target)
        for target in ("iOS16", "iOS18")
    }


def result(saved: SavedModel) -> Array:
    (value,) = execute(saved, {"x": X}).values()
    assert isinstance(value, np.ndarray)
    return value


@pytest.mark.parametrize("name", COMPRESSED)
def test_compressed_weights_are_what_coremltools_unpacks(
    plain: dict[str, SavedModel], tmp_path: Path, name: str
) -> None:
    target, compress, operator = COMPRESSED[name]
    with quiet():
        import coremltools as ct
        from coremltools.optimize import coreml as optimize

        model = ct.models.MLModel(str(plain[target].path), skip_model_load=True)
        small = compress(optimize, model)
        small.save(str(tmp_path / "small.mlpackage"))
        optimize.decompress_weights(small).save(str(tmp_path / "unpacked.mlpackage"))
    saved, unpacked = (read_model(tmp_path / f"{one}.mlpackage") for one in ("small", "unpacked"))
    assert operator in [one.type for one in main_block(saved.spec).operations]
    assert not [one for one in main_block(unpacked.spec).operations if "constexpr" in one.type]
    np.testing.assert_array_equal(result(saved), result(unpacked))
    assert (result(saved) != result(plain[target])).any()


# The examples of the documentation


def test_bits_are_counted_from_the_least_significant() -> None:
    """``constexpr_lut_to_dense``: i0 to i3 stand in byte 0 from its low end, i4 in byte 1."""
    packed = np.array([0b01_10_11_00, 0b11], np.uint8)
    lut = np.float32([10, 11, 12, 13])
    found = compute("constexpr_lut_to_dense", 6, indices=packed, lut=lut, shape=np.uint32([5]))
    assert found.tolist() == [10, 13, 12, 11, 13]
    mask = np.array([0b01100], np.uint8)
    found = compute(
        "constexpr_sparse_to_dense",
        6,
        nonzero_data=np.float32([7, 8]),
        mask=mask,
        shape=np.uint32([5]),
    )
    assert found.tolist() == [0, 0, 7, 8, 0]


def test_one_table_for_each_block_of_indices() -> None:
    """``constexpr_lut_to_dense`` of iOS 18, case 1."""
    indices = np.uint8([2, 3, 3, 0, 1, 0, 3, 0, 2, 1, 0, 3]).reshape(6, 2)
    lut = np.float32([1, 5, 9, 13, 2, 10, 18, 26]).reshape(2, 1, 4, 1)
    found = compute("constexpr_lut_to_dense", 8, indices=indices, lut=lut)
    assert found.tolist() == [[9, 13], [13, 1], [5, 1], [26, 2], [18, 10], [2, 26]]


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (
            1,
            [
                [[0, 0], [1, 1], [2, 2], [10, 0], [11, 1], [12, 2]],
                [[10, 10], [11, 11], [12, 12], [0, 0], [1, 1], [2, 2]],
            ],
        ),
        (
            2,
            [
                [[0, 1, 2, 0, 1, 2], [10, 11, 12, 0, 1, 2]],
                [[10, 11, 12, 10, 11, 12], [0, 1, 2, 0, 1, 2]],
            ],
        ),
    ],
)
def test_an_index_may_name_a_vector(axis: int, expected: list[Any]) -> None:
    """``constexpr_lut_to_dense`` of iOS 18, cases 2.1 and 2.2; a is 0 to 2, b is 10 to 12."""
    indices = np.uint8([[[0, 0], [1, 0]], [[1, 1], [0, 0]]])
    lut = np.float32([0, 1, 2, 10, 11, 12]).reshape(1, 1, 1, 2, 3)
    found = compute(
        "constexpr_lut_to_dense", 8, indices=indices, lut=lut, vector_axis=np.int32(axis)
    )
    assert found.tolist() == expected
    with pytest.raises(ValueError, match="vectors without a vector_axis"):
        compute("constexpr_lut_to_dense", 8, indices=indices, lut=lut)


def test_tables_of_sparse_indices() -> None:
    """``constexpr_lut_to_sparse``: its examples of scalars and of vectors."""
    rows = ["110000", "110001", "011010", "000100"]
    mask = np.uint8([[int(one) for one in row] for row in rows])
    indices = np.uint8([0, 1, 1, 0, 1, 1, 0, 0, 1])
    lut = np.float32([2, 3]).reshape(1, 1, 2, 1)
    found_mask, found = compute(
        "constexpr_lut_to_sparse", 8, indices_mask=mask, indices_nonzero_data=indices, lut=lut
    )
    np.testing.assert_array_equal(found_mask, mask)
    assert found.tolist() == [2, 3, 3, 2, 3, 3, 2, 2, 3]
    found_mask, found = compute(
        "constexpr_lut_to_sparse",
        8,
        indices_mask=mask,
        indices_nonzero_data=indices,
        lut=np.float32([2, 2, 3, 3]).reshape(1, 1, 2, 2),
        vector_axis=np.int32(0),
    )
    np.testing.assert_array_equal(found_mask, np.repeat(mask, 2, axis=0))
    dense = compute("constexpr_sparse_to_dense", 8, nonzero_data=found, mask=found_mask)
    assert dense[:, 0].tolist() == [2, 2, 3, 3, 0, 0, 0, 0]
    assert dense[:, 1].tolist() == [3, 3, 2, 2, 3, 3, 0, 0]


def test_scales_of_sparse_numbers() -> None:
    """``constexpr_sparse_blockwise_shift_scale``: scales and offsets lie along columns.

    The documentation prints the sums of its second row as if 3 and 4 were 10 and 11; the dense
    picture above them, which is what its formula gives, is taken here.
    """
    rows = ["1100", "1110", "0011", "1100"]
    found_mask, found = compute(
        "constexpr_sparse_blockwise_shift_scale",
        8,
        data_mask=np.uint8([[int(one) for one in row] for row in rows]),
        nonzero_data=np.int8([10, 11, 3, 4, 5, 6, 7, 8, 9]),
        scale=np.float32([[0.1, 0.2, 0.3, 0.4]]),
        offset=np.int8([[1, 2, 3, 4]]),
    )
    assert found_mask.sum() == 9
    assert_close(found, np.array([0.9, 1.8, 0.2, 0.4, 0.6, 0.9, 1.2, 0.7, 1.4]))


def test_affine_scales_lie_along_their_axis() -> None:
    data = np.int8([[1, -2, 3], [4, 5, -6]])
    found = compute(
        "constexpr_affine_dequantize",
        6,
        quantized_data=data,
        zero_point=np.int8([1, 2, 0]),
        scale=np.float32([0.5, 1, 2]),
        axis=np.int32(-1),
    )
    assert found.tolist() == [[0, -4, 6], [1.5, 3, -12]]


@pytest.mark.parametrize("target", ["iOS16", "iOS18"])
def test_weights_kept_in_half_the_width(tmp_path: Path, target: str) -> None:
    """``constexpr_cast``: stored as float16, used as float32."""
    half = WEIGHT.astype(np.float16)
    saved = save_program(
        tmp_path / "half.mlpackage",
        lambda mb, x: mb.linear(
            x=x, weight=mb.constexpr_cast(source_val=half, output_dtype="fp32")
        ),
        {"x": X},
        target=target,
    )
    assert "constexpr_cast" in [one.type for one in main_block(saved.spec).operations]
    assert_close(result(saved), X @ half.astype(np.float32).T)
