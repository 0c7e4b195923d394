"""ML Program operators that move, pick or gather values, against ONNX Runtime.

Those that ONNX does not have are counted by hand on small arrays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from silverprint.export.coreml import available
from silverprint.export.coreml.execute.mil_operators import lookup
from support.mil import Array, assert_close, integers, onnx_run, random, run_programs

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

EXAMPLES = settings(deadline=None, max_examples=80, derandomize=True)
X = random(2, 3, 4, 5)
WHOLE = np.arange(24, dtype=np.int32).reshape(2, 3, 4)


def compute(name: str, opset: int = 5, **arguments: Any) -> Any:
    operator = lookup(name, opset)
    assert operator is not None
    with np.errstate(all="ignore"):
        return operator.compute(**arguments)


def longs(values: Any) -> Array:
    return np.array(values, np.int64)


# Slices


@st.composite
def slices(draw: st.DrawFn) -> dict[str, Any]:
    def masks() -> Array:
        return np.array([draw(st.booleans()) for _ in X.shape])

    begin, end, stride = [], [], []
    for side in X.shape:
        begin.append(draw(st.integers(-side, side - 1)))
        end.append(draw(st.integers(-side - 1, side + 1)))
        stride.append(draw(st.sampled_from([1, 1, 2, 3, -1, -2])))
    return {
        "begin": integers(begin),
        "end": integers(end),
        "stride": integers(stride),
        "begin_mask": masks(),
        "end_mask": masks(),
        "squeeze_mask": masks() & (draw(st.integers(0, 3)) == 0),
    }


@given(one=slices())
@EXAMPLES
def test_slice_by_index(one: dict[str, Any]) -> None:
    """ONNX has no masks: an open end is a place far beyond, a squeezed axis is gathered."""
    far = np.where(one["stride"] > 0, 99, -99)
    begin = np.where(one["begin_mask"], -far, one["begin"])
    end = np.where(one["end_mask"], far, one["end"])
    squeezed = np.flatnonzero(one["squeeze_mask"])
    kept = [axis for axis in range(X.ndim) if axis not in squeezed]
    expected = X
    if kept:
        ends = [longs(values)[kept] for values in (begin, end)]
        expected = onnx_run("Slice", X, *ends, longs(kept), longs(one["stride"])[kept])
    for axis in squeezed[::-1]:
        place = 0 if one["begin_mask"][axis] else int(one["begin"][axis])
        expected = onnx_run("Gather", expected, longs(place), axis=int(axis))
    found = compute("slice_by_index", x=X, **one)
    np.testing.assert_array_equal(found, expected)


@given(begin=st.tuples(*[st.integers(-side, side - 1) for side in X.shape]), rest=st.booleans())
@EXAMPLES
def test_slice_by_size(begin: tuple[int, ...], rest: bool) -> None:
    starts = [one + side if one < 0 else one for one, side in zip(begin, X.shape, strict=True)]
    size = [-1 if rest else 1] * 4
    stops = [side if rest else one + 1 for one, side in zip(starts, X.shape, strict=True)]
    expected = onnx_run("Slice", X, longs(starts), longs(stops))
    found = compute("slice_by_size", x=X, begin=integers(begin), size=integers(size))
    np.testing.assert_array_equal(found, expected)


def test_a_slice_beyond_the_end_is_not_defined() -> None:
    with pytest.raises(ValueError, match="a slice of 3 from 2 on in 4"):
        compute("slice_by_size", x=np.zeros(4), begin=integers([2]), size=integers([3]))


def test_slice_update() -> None:
    update = random(2, 1, 2, 5, seed=1)
    found = compute(
        "slice_update",
        8,
        x=X,
        update=update,
        begin=integers([0, 1, 0, 0]),
        end=integers([2, 2, 4, 5]),
        stride=integers([1, 1, 2, 1]),
    )
    rows = np.stack(np.meshgrid([0, 1], [1], [0, 2], indexing="ij"), -1)
    np.testing.assert_array_equal(found, onnx_run("ScatterND", X, longs(rows), update))


# Shapes


SHAPED: dict[str, tuple[dict[str, Any], Callable[[], Array]]] = {
    "transpose": (
        {"perm": integers([0, -1, 1, 2])},
        lambda: onnx_run("Transpose", X, perm=[0, 3, 1, 2]),
    ),
    "reshape": (
        {"shape": integers([0, -1, 2, 5])},
        lambda: onnx_run("Reshape", X, longs([0, -1, 2, 5])),
    ),
    "expand_dims": (
        {"axes": integers([0, -1, 2])},
        lambda: onnx_run("Unsqueeze", X, longs([0, -1, 2])),
    ),
    "flatten2d": ({"axis": np.int32(2)}, lambda: onnx_run("Flatten", X, axis=2)),
    "reverse": (
        {"axes": integers([1, -1])},
        lambda: onnx_run(
            "Slice", X, longs([-1, -1]), longs([-9, -9]), longs([1, 3]), longs([-1, -1])
        ),
    ),
    "tile": (
        {"reps": integers([1, 2, 1, 3])},
        lambda: onnx_run("Tile", X, longs([1, 2, 1, 3])),
    ),
    "pad": (
        {"pad": integers([1, 2, 0, 3]), "constant_val": np.float32(-7)},
        lambda: onnx_run("Pad", X, longs([0, 0, 1, 0, 0, 0, 2, 3]), np.float32(-7)),
    ),
    "pad reflect": (
        {"pad": integers([1, 2, 3, 0, 4, 3]), "mode": "reflect"},
        lambda: onnx_run("Pad", X, longs([0, 1, 3, 4, 0, 2, 0, 3]), mode="reflect"),
    ),
    "pad replicate": (
        {"pad": integers([3, 2, 4, 5]), "mode": "replicate"},
        lambda: onnx_run("Pad", X, longs([0, 0, 3, 4, 0, 0, 2, 5]), mode="edge"),
    ),
    "crop": (
        {"crop_height": integers([1, 2]), "crop_width": integers([0, 3])},
        lambda: onnx_run("Slice", X, longs([1, 0]), longs([2, 2]), longs([2, 3])),
    ),
    "shape": ({}, lambda: onnx_run("Shape", X)),
    "non_zero": ({}, lambda: onnx_run("NonZero", X).T),
}


@pytest.mark.parametrize("name", SHAPED)
def test_shapes(name: str) -> None:
    arguments, expected = SHAPED[name]
    np.testing.assert_array_equal(compute(name.split()[0], x=X, **arguments), expected())


@pytest.mark.parametrize(
    ("opset", "x", "shape", "expected"),
    [
        (5, (2, 50), [0, -1], (2, 50)),
        (5, (2, 3, 4), [0, 0, -1], (2, 3, 4)),
        (7, (2, 50), [1, 0, -1, 0], (1, 1, 2, 50)),
        (7, (2, 3, 4), [-1, 0], (6, 4)),
    ],
)
def test_a_zero_in_a_shape_keeps_a_side(
    opset: int, x: tuple[int, ...], shape: list[int], expected: tuple[int, ...]
) -> None:
    """From iOS 17 on counted from the right; its documentation has the third example."""
    found = compute("reshape", opset, x=np.zeros(x, np.float32), shape=integers(shape))
    assert found.shape == expected


def test_squeeze_leaves_sides_other_than_one() -> None:
    """As PyTorch: MIL's documentation names (2, 3, 4) with axes [0, 1]."""
    assert compute("squeeze", x=WHOLE, axes=integers([0, 1])).shape == (2, 3, 4)
    x = WHOLE.reshape(1, 2, 1, 12)
    assert compute("squeeze", x=x, axes=integers([0, -2])).shape == (2, 12)
    assert compute("squeeze", x=x).shape == (2, 12)


def test_reshape_like_takes_sides_of_others() -> None:
    """The example of MIL's documentation: (2, 3) of one tensor, (5, 6) of another."""
    found = compute(
        "reshape_like",
        6,
        x=np.zeros((6, 30), np.float32),
        ref_tensors=(np.zeros((2, 3, 4)), np.zeros((1, 5, 6))),
        begins=(np.int32(0), np.int32(1)),
        ends=(np.int32(2), np.int32(0)),
        end_masks=(np.bool_(False), np.bool_(True)),
    )
    assert found.shape == (2, 3, 5, 6)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_concat_stack_split(axis: int) -> None:
    y = random(*X.shape, seed=1)
    joined = onnx_run("Concat", X, y, axis=axis)
    place = np.int32(axis)
    np.testing.assert_array_equal(compute("concat", values=(X, y), axis=place), joined)
    new = longs([axis])
    stacked = onnx_run(
        "Concat", onnx_run("Unsqueeze", X, new), onnx_run("Unsqueeze", y, new), axis=axis
    )
    np.testing.assert_array_equal(compute("stack", values=(X, y), axis=place), stacked)
    for sizes in ([X.shape[axis]] * 2, [1, 2 * X.shape[axis] - 1]):
        parts = onnx_run("Split", joined, longs(sizes), axis=axis, outputs=2)
        found = compute("split", x=joined, axis=place, split_sizes=integers(sizes))
        for one, other in zip(found, parts, strict=True):
            np.testing.assert_array_equal(one, other)
    halves = compute("split", x=joined, axis=place, num_splits=np.int32(2))
    np.testing.assert_array_equal(halves[1], y)


def test_concat_takes_turns_when_interleaved() -> None:
    """The example of MIL's documentation."""
    first, second = integers([1, 2, 3, 4, 5, 6]), integers([7, 8, 9, 10, 11, 12])
    values = (first.reshape(3, 2), second.reshape(3, 2))
    found = compute("concat", values=values, axis=np.int32(0), interleave=np.bool_(True))
    assert found.tolist() == [[1, 2], [7, 8], [3, 4], [9, 10], [5, 6], [11, 12]]


def test_blocks_between_space_and_channels() -> None:
    x = random(2, 12, 3, 4)
    two = np.int32(2)
    deep = onnx_run("DepthToSpace", x, blocksize=2, mode="DCR")
    np.testing.assert_array_equal(compute("depth_to_space", x=x, block_size=two), deep)
    np.testing.assert_array_equal(compute("space_to_depth", x=deep, block_size=two), x)
    back = onnx_run("SpaceToDepth", deep, blocksize=2)
    np.testing.assert_array_equal(back, x)
    shuffled = onnx_run("DepthToSpace", x, blocksize=2, mode="CRD")
    np.testing.assert_array_equal(compute("pixel_shuffle", x=x, upscale_factor=two), shuffled)
    found = compute("pixel_unshuffle", 6, x=shuffled, downscale_factor=two)
    np.testing.assert_array_equal(found, x)


def test_blocks_between_space_and_batch() -> None:
    """TensorFlow's documentation of space_to_batch, its examples 3 and 1, channels first."""
    x = np.arange(1, 17, dtype=np.float32).reshape(1, 1, 4, 4)
    block, none = integers([2, 2]), np.zeros((2, 2), np.int32)
    found = compute("space_to_batch", x=x, block_shape=block, paddings=none)
    assert found[:, 0].tolist() == [
        [[1, 3], [9, 11]],
        [[2, 4], [10, 12]],
        [[5, 7], [13, 15]],
        [[6, 8], [14, 16]],
    ]
    np.testing.assert_array_equal(
        compute("batch_to_space", x=found, block_shape=block, crops=none), x
    )
    wide = integers([[0, 0], [2, 0]])
    padded = compute("space_to_batch", x=x, block_shape=block, paddings=wide)
    assert padded.shape == (4, 1, 2, 3)
    assert padded[0, 0].tolist() == [[0, 1, 3], [0, 9, 11]]
    np.testing.assert_array_equal(
        compute("batch_to_space", x=padded, block_shape=block, crops=wide), x
    )


def test_sliding_windows() -> None:
    x = np.arange(7, dtype=np.float32)
    found = compute("sliding_windows", x=x, axis=np.int32(0), size=np.int32(3), stride=np.int32(2))
    assert found.tolist() == [[0, 1, 2], [2, 3, 4], [4, 5, 6]]
    assert compute("sliding_windows", x=X, axis=np.int32(-2), size=np.int32(3)).shape == (
        *(2, 3, 2, 3, 5),
    )


@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_one_hot(axis: int) -> None:
    indices = integers([[0, 2, 1], [3, 0, 9]])
    expected = onnx_run("OneHot", longs(indices), longs(4), np.float32([-1, 5]), axis=axis)
    found = compute(
        "one_hot",
        indices=indices,
        one_hot_vector_size=np.int32(4),
        axis=np.int32(axis),
        on_value=np.float32(5),
        off_value=np.float32(-1),
    )
    np.testing.assert_array_equal(found, expected)


def test_filled_tensors() -> None:
    assert compute("fill", shape=integers([2, 1]), value=np.int32(3)).tolist() == [[3], [3]]
    found = compute("fill_like", 6, ref_tensor=X, value=np.float32(0.5))
    np.testing.assert_array_equal(found, np.full(X.shape, np.float32(0.5)))
    start, end, step = np.float32(1), np.float32(2), np.float32(0.25)
    found = compute("range_1d", start=start, end=end, step=step)
    np.testing.assert_array_equal(found, onnx_run("Range", start, end, step))


# Gathering


@pytest.mark.parametrize("opset", [5, 7])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("indices", [0, [1, 0], [[0, 1], [1, 1]]])
def test_gather(opset: int, axis: int, indices: Any) -> None:
    where = np.array(indices, np.uint16 if opset == 7 else np.int32)
    expected = onnx_run("Gather", X, longs(where), axis=axis)
    found = compute("gather", opset, x=X, indices=where, axis=np.int32(axis))
    np.testing.assert_array_equal(found, expected)


def test_negative_indices_count_from_the_end_before_ios_17() -> None:
    where = integers([-1, 0])
    expected = onnx_run("Gather", X, longs(where), axis=2)
    found = compute("gather", 6, x=X, indices=where, axis=np.int32(2))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ValueError, match="MIL does not define what stands at -1"):
        compute("gather", 7, x=X, indices=where, axis=np.int32(2))
    with pytest.raises(ValueError, match="MIL does not define what stands at 0 to 4 of 4"):
        compute("gather", 5, x=X, indices=integers([0, 4]), axis=np.int32(2))


@given(batch=st.integers(0, 2), depth=st.integers(1, 2), seed=st.integers(0, 99))
@EXAMPLES
def test_gather_nd(batch: int, depth: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    where = rng.integers(0, 2, (*X.shape[:batch], 3, depth)).astype(np.int32)
    expected = onnx_run("GatherND", X, longs(where), batch_dims=batch)
    found = compute("gather_nd", 6, x=X, indices=where, batch_dims=np.int32(batch))
    np.testing.assert_array_equal(found, expected)


def test_gather_in_batches_is_one_gather_each() -> None:
    where = integers([[2, 0, 1, 1], [0, 0, 2, 1]])
    found = compute("gather", 6, x=X, indices=where, axis=np.int32(1), batch_dims=np.int32(1))
    for one, at, expected in zip(X, where, found, strict=True):
        np.testing.assert_array_equal(onnx_run("Gather", one, longs(at), axis=0), expected)


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_gather_along_axis(axis: int) -> None:
    shape = list(X.shape)
    shape[axis] = 6
    where = np.random.default_rng(0).integers(0, X.shape[axis], shape).astype(np.int32)
    expected = onnx_run("GatherElements", X, longs(where), axis=axis)
    found = compute("gather_along_axis", x=X, indices=where, axis=np.int32(axis))
    np.testing.assert_array_equal(found, expected)


REDUCTIONS = {"update": "none", "add": "add", "mul": "mul", "max": "max", "min": "min"}


@pytest.mark.parametrize("mode", REDUCTIONS)
def test_scatter(mode: str) -> None:
    twice = mode != "update"
    reduction = REDUCTIONS[mode]
    places = [[0, 1], [1, 2], [0, 1] if twice else [1, 0]]
    updates = random(3, 4, 5, seed=1)
    expected = onnx_run("ScatterND", X, longs(places), updates, reduction=reduction)
    found = compute("scatter_nd", data=X, indices=integers(places), updates=updates, mode=mode)
    assert_close(found, expected)
    where = np.random.default_rng(2).permuted(np.tile(np.arange(4), (2, 3, 5, 1)), axis=-1)
    where = np.moveaxis(where, -1, 2)
    if twice:
        where = where // 2
    updates = random(*where.shape, seed=3)
    expected = onnx_run("ScatterElements", X, longs(where), updates, axis=2, reduction=reduction)
    found = compute(
        "scatter_along_axis",
        data=X,
        indices=where.astype(np.int32),
        updates=updates,
        axis=np.int32(2),
        mode=mode,
    )
    assert_close(found, expected)


def test_scatter_adds_rows() -> None:
    """The example of MIL's documentation."""
    found = compute(
        "scatter",
        data=integers([[1, 2, 3], [4, 5, 6]]),
        indices=integers([1, 0]),
        updates=integers([[5, 6, 7], [8, 9, 10]]),
        axis=np.int32(0),
        mode="add",
    )
    assert found.tolist() == [[9, 11, 13], [9, 11, 13]]


# Reductions and order

REDUCED = {
    "reduce_l1_norm": "ReduceL1",
    "reduce_l2_norm": "ReduceL2",
    "reduce_log_sum": "ReduceLogSum",
    "reduce_log_sum_exp": "ReduceLogSumExp",
    "reduce_max": "ReduceMax",
    "reduce_mean": "ReduceMean",
    "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd",
    "reduce_sum": "ReduceSum",
    "reduce_sum_square": "ReduceSumSquare",
}


@pytest.mark.parametrize("axes", [[1], [-1, 0], [2, 3], None])
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("name", REDUCED)
def test_reductions(name: str, keep: bool, axes: list[int] | None) -> None:
    x = np.abs(X) + 0.5 if name == "reduce_log_sum" else X
    over = None if axes is None else longs(axes)
    expected = onnx_run(REDUCED[name], x, over, keepdims=int(keep))
    given_axes = None if axes is None else integers(axes)
    found = compute(name, x=x, axes=given_axes, keep_dims=np.bool_(keep))
    assert_close(np.asarray(found), expected)


def test_large_and_empty_sums_of_powers() -> None:
    x = np.float32([[900, 901], [-np.inf, -np.inf]])
    expected = onnx_run("ReduceLogSumExp", x, longs([1]))[:, 0]
    np.testing.assert_array_equal(compute("reduce_log_sum_exp", x=x, axes=integers([1])), expected)


def test_integers_are_summed_and_not_averaged() -> None:
    assert compute("reduce_sum", x=WHOLE).dtype == np.int32
    assert compute("reduce_sum", x=WHOLE).item() == 276
    with pytest.raises(ValueError, match="how reduce_mean rounds integers"):
        compute("reduce_mean", x=WHOLE)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keep", [True, False])
def test_places_of_extremes(axis: int, keep: bool) -> None:
    for name, operator in (("reduce_argmax", "ArgMax"), ("reduce_argmin", "ArgMin")):
        expected = onnx_run(operator, X, axis=axis, keepdims=int(keep))
        found = compute(name, x=X, axis=np.int32(axis), keep_dims=np.bool_(keep))
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, expected)
    assert compute("reduce_argmax", 7, x=X, output_dtype="uint16").dtype == np.uint16


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("ascending", [True, False])
def test_topk_and_argsort(axis: int, ascending: bool) -> None:
    side = X.shape[axis]
    for k in (1, side):
        values, places = onnx_run(
            "TopK", X, longs([k]), axis=axis, largest=int(not ascending), outputs=2
        )
        order = {"axis": np.int32(axis), "ascending": np.bool_(ascending)}
        found = compute("topk", x=X, k=np.int32(k), **order)
        np.testing.assert_array_equal(found[0], values)
        np.testing.assert_array_equal(found[1], places)
        assert found[1].dtype == np.int32
        alone = compute("topk", 6, x=X, k=np.int32(k), return_indices=np.bool_(False), **order)
        np.testing.assert_array_equal(alone, values)
    np.testing.assert_array_equal(compute("argsort", x=X, **order), places)
    everything = compute("topk", 7, x=X, k=np.int32(-1), output_indices_dtype="uint16", **order)
    np.testing.assert_array_equal(everything[0], values)
    assert everything[1].dtype == np.uint16


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("backwards", [True, False])
def test_cumsum(exclusive: bool, backwards: bool) -> None:
    flags = {"exclusive": exclusive, "reverse": backwards}
    expected = onnx_run("CumSum", X, longs(1), **{key: int(flag) for key, flag in flags.items()})
    masks = {key: np.bool_(flag) for key, flag in flags.items()}
    assert_close(compute("cumsum", x=X, axis=np.int32(1), **masks), expected)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("pad", {"pad": integers([5, 0]), "mode": "reflect"}, "'reflect' by 5 where a side is 5"),
        ("pad", {"pad": integers([6, 0]), "mode": "replicate"}, "by 6 where a side is 5"),
        ("pad", {"pad": integers([1, 0]), "mode": "circular"}, "the mode 'circular'"),
        ("tile", {"reps": integers([2, 2])}, r"tile of \[2, 3, 4, 5\] by \[2, 2\]"),
        ("split", {"axis": np.int32(1), "num_splits": np.int32(2)}, "split of 3 into 2 parts"),
        ("split", {"axis": np.int32(1), "split_sizes": integers([1, 1])}, r"into \[1, 1\]"),
        ("reshape", {"shape": integers([0, -1])}, "a 0 in the shape"),
        ("topk", {"k": np.int32(9)}, "the 9 largest of 5"),
    ],
)
def test_what_mil_does_not_define_is_refused(
    name: str, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        compute(name, x=X, **arguments)


# Through a file


def test_shapes_of_a_saved_program(tmp_path_factory: pytest.TempPathFactory) -> None:
    builds: dict[str, Callable[..., Any]] = {
        "reshape": lambda mb, x: mb.reshape(x=x, shape=[2, -1, 5]),
        "transpose": lambda mb, x: mb.transpose(x=x, perm=[3, 0, 2, 1]),
        "concat": lambda mb, x: mb.concat(values=[x, x], axis=1),
        "stack": lambda mb, x: mb.stack(values=[x, x], axis=0),
        "split": lambda mb, x: mb.split(x=x, split_sizes=[1, 2], axis=1),
        "slice": lambda mb, x: mb.slice_by_index(
            x=x,
            begin=[0, 0, 3, 0],
            end=[2, 3, 0, 4],
            stride=[1, 1, -2, 1],
            end_mask=[False, False, True, False],
            squeeze_mask=[True, False, False, False],
        ),
        "gather": lambda mb, x: mb.gather(x=x, indices=[2, 0], axis=1),
        "gather by input": lambda mb, x, where: mb.gather(x=x, indices=where, axis=2),
        "topk": lambda mb, x: mb.topk(x=x, k=2, axis=3),
        "argmax": lambda mb, x: mb.reduce_argmax(x=x, axis=1),
        "sum": lambda mb, x: mb.reduce_sum(x=x, axes=[0, 1, 2, 3], keep_dims=False),
    }
    where = integers([3, 1])
    found = run_programs(
        tmp_path_factory.mktemp("shapes"), builds, {"x": X, "where": where}, target="iOS15"
    )
    expected = {
        "reshape": onnx_run("Reshape", X, longs([2, -1, 5])),
        "transpose": onnx_run("Transpose", X, perm=[3, 0, 2, 1]),
        "concat": onnx_run("Concat", X, X, axis=1),
        "stack": np.stack([X, X]),
        "split": X[:, :1],
        "slice": X[0, :, ::-2, :4],
        "gather": onnx_run("Gather", X, longs([2, 0]), axis=1),
        "gather by input": onnx_run("Gather", X, longs([3, 1]), axis=2),
        "topk": onnx_run("TopK", X, longs([2]), axis=3, outputs=2)[0],
        "argmax": onnx_run("ArgMax", X, axis=1, keepdims=0),
        "sum": onnx_run("ReduceSum", X, keepdims=0),
    }
    for name, value in expected.items():
        assert_close(found[name], np.asarray(value))
