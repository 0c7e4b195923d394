"""Feature maps: any convolutional ONNX backbone becomes one graph from `image` to maps at strides
8, 16 and 32, whose numbers a picture turns into as one row of half precision."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper, numpy_helper

from silverprint import _core
from silverprint.errors import BackboneError, InvalidParameterError
from silverprint.features.map_extractors import CustomMapExtractor, ObjectPrint
from silverprint.features.maps import MapExtractor
from silverprint.features.scene_views import scene_views
from support import graphs
from support.graphs import PLAIN, constant_map, map_backbone, saved

Make = Callable[..., CustomMapExtractor]
Pixels = npt.NDArray[np.uint8]

NAMES = ["stride8", "stride16", "stride32"]


@pytest.fixture
def extractor(tmp_path: Path) -> Make:
    """Makes an extractor of a model, for small pictures; it normalises itself unless told
    otherwise."""

    def make(model: onnx.ModelProto | None = None, **options: Any) -> CustomMapExtractor:
        path = saved(model or map_backbone(), tmp_path / "model.onnx")
        return CustomMapExtractor(path, **({"size": (64, 96)} | PLAIN | options))

    return make


def random_picture(height: int = 50, width: int = 70, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def run(made: MapExtractor, pixels: Pixels) -> npt.NDArray[np.float16]:
    return made.function.run(pixels, _core.runtime.CancelToken())


def stock_row(model: bytes, pixels: Pixels, size: tuple[int, int], **names: Any) -> Any:
    """The row as stock ONNX Runtime and NumPy make it."""
    tensor = _core.image.prepare(pixels, *size, "scale_fill")[None]
    feeds = {names.pop("input", "pixels"): tensor}
    maps = graphs.run_stock(model, feeds, names.pop("outputs", NAMES))
    return np.concatenate([values.ravel() for values in maps]).astype(np.float16)


# The graph


def test_a_backbone_becomes_a_graph_from_image_to_maps(extractor: Make) -> None:
    made = extractor()
    graph = onnx.ModelProto.FromString(made.backbone.graph)
    onnx.checker.check_model(graph, full_check=True)
    shapes = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in [*graph.graph.input, *graph.graph.output]
    }
    assert shapes == {
        "image": ["batch", 3, 64, 96],
        "stride8": ["batch", 4, 8, 12],
        "stride16": ["batch", 5, 4, 6],
        "stride32": ["batch", 6, 2, 3],
    }
    assert made.maps == {8: (4, 8, 12), 16: (5, 4, 6), 32: (6, 2, 3)}
    assert made.dimension == 4 * 8 * 12 + 5 * 4 * 6 + 6 * 2 * 3
    assert (made.rule.height, made.rule.width) == (64, 96)
    assert made.rule.crop_and_scale == "scale_fill"


def test_a_row_is_the_maps_of_stock_onnx_runtime_in_half_precision(extractor: Make) -> None:
    model, pixels = map_backbone(shape=["N", 3, "h", "w"]), random_picture()
    row = run(extractor(model), pixels)
    assert row.dtype == np.float16
    expected = stock_row(model.SerializeToString(), pixels, (64, 96))
    np.testing.assert_array_max_ulp(row, expected, maxulp=1, dtype=np.float16)


def test_the_graph_normalises_first(extractor: Make) -> None:
    mean, std = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
    model, pixels = map_backbone(shape=["N", 3, "h", "w"]), random_picture()
    tensor = _core.image.prepare(pixels, 64, 96, "scale_fill")[::-1]  # blue first
    tensor = (tensor - np.float32(mean[::-1]).reshape(3, 1, 1)) / np.float32(std[::-1])[
        :, None, None
    ]
    maps = graphs.run_stock(model.SerializeToString(), {"pixels": tensor[None]}, NAMES)
    expected = np.concatenate([values.ravel() for values in maps])
    row = run(extractor(model, mean=mean, std=std, channel_order="BGR"), pixels)
    np.testing.assert_allclose(row.astype(np.float32), expected, rtol=1e-3, atol=1e-3)


def test_convolutions_take_another_size_than_the_file_declares(extractor: Make) -> None:
    declared = extractor(map_backbone(shape=[1, 3, 32, 32]))
    free = extractor(map_backbone(shape=[1, 3, "h", "w"]))
    assert declared.backbone == free.backbone
    np.testing.assert_array_equal(run(declared, random_picture()), run(free, random_picture()))
    assert (
        declared.backbone.record["fingerprint"]
        != (extractor(size=(96, 96)).backbone.record["fingerprint"])
    )


def test_tensors_may_have_any_names_and_be_inner_ones(extractor: Make) -> None:
    names = ("image", "silverprint/scaled", "features/raw")  # two of them clash with ours
    model = map_backbone(names=names)
    del model.graph.output[1:]
    made = extractor(model, map_names=list(names))
    np.testing.assert_array_equal(run(made, random_picture()), run(extractor(), random_picture()))
    assert list(made.backbone.record["tensors"].values()) == list(names)
    outputs = onnx.ModelProto.FromString(made.backbone.graph).graph.output
    assert [value.name for value in outputs] == list(made.backbone.tensors.values())


def test_fewer_strides_make_a_shorter_row_and_a_smaller_graph(extractor: Make) -> None:
    whole, pixels = extractor(), random_picture()
    coarse = whole.with_strides((16, 32))
    assert coarse.maps == {16: (5, 4, 6), 32: (6, 2, 3)}
    np.testing.assert_array_equal(run(coarse, pixels), run(whole, pixels)[-coarse.dimension :])
    fine = whole.with_strides([8])
    assert len(fine.backbone.graph) < len(coarse.backbone.graph) < len(whole.backbone.graph)
    assert coarse == extractor(strides=(16, 32))
    assert whole.strides == (8, 16, 32)


def test_the_record_says_what_the_maps_are_of(extractor: Make) -> None:
    model = map_backbone()
    helper.set_model_props(model, {"licence": "MIT"})
    record = extractor(model).backbone.record
    assert len(record.pop("fingerprint")) == 64
    assert record == {
        "name": "custom",
        "licence": "MIT",
        "tensors": {"8": "stride8", "16": "stride16", "32": "stride32"},
        "maps": {"8": [4, 8, 12], "16": [5, 4, 6], "32": [6, 2, 3]},
    }


def test_the_built_in_print_has_maps() -> None:
    made = ObjectPrint()
    assert made == ObjectPrint(revision=0, size=(416, 416)) == eval(repr(made))
    assert made.maps == {8: (40, 52, 52), 16: (80, 26, 26), 32: (128, 13, 13)}
    record = made.backbone.record
    assert (record["name"], record["revision"], record["licence"]) == (
        "ObjectPrint",
        0,
        "Apache-2.0",
    )
    assert ObjectPrint(size=(64, 32)).maps[32] == (128, 2, 1)


@pytest.mark.parametrize(
    ("name", "channels"),
    [("mobilenetv2_float", (32, 96, 320)), ("efficientnetv2b0_teacher", (48, 112, 192))],
)
def test_real_backbones_at_416(shared_data: Path, name: str, channels: tuple[int, ...]) -> None:
    file = shared_data / "weights" / f"{name}.onnx"  # declares 224 x 224
    made = CustomMapExtractor(file)
    assert [(c, h, w) for c, h, w in made.maps.values()] == [
        (c, 416 // s, 416 // s) for c, s in zip(channels, (8, 16, 32), strict=True)
    ]
    assert made.backbone.record["licence"].startswith("Apache-2.0")
    row = run(made, random_picture(300, 400))
    assert row.nbytes == made.dimension * 2 == {"m": 411_008, "e": 475_904}[name[0]]
    expected = stock_row(made.backbone.graph, random_picture(300, 400), (416, 416), input="image")
    np.testing.assert_array_max_ulp(row, expected, maxulp=1, dtype=np.float16)
    # And the file itself, in its own size, on pixels that it takes normalised.
    small = CustomMapExtractor(file, size=(224, 224), **PLAIN)
    expected = stock_row(file.read_bytes(), random_picture(), (224, 224), input="image")
    found = run(small, random_picture()).astype(np.float32)
    scale = np.abs(expected[np.isfinite(expected)].astype(np.float32)).max()
    np.testing.assert_allclose(found, expected.astype(np.float32), rtol=0.01, atol=1e-3 * scale)


# Half precision


def test_numbers_are_rounded_to_the_nearest_half_and_to_even(extractor: Make) -> None:
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float32)
    middles = (halves[:-1] + halves[1:]) / 2
    near = [np.nextafter(middles, np.float32(end)) for end in (0, np.inf)]
    positive = np.unique(np.concatenate([halves, middles, *near]))
    values = np.concatenate([positive, -positive[1:]])
    made = extractor(constant_map(values), size=(32, 32), strides=(32,))
    found = run(made, random_picture())
    np.testing.assert_array_equal(found.view(np.uint16), values.astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("value", [65505.0, -70000.0, 1e30])
def test_a_number_beyond_half_precision_names_its_tensor(extractor: Make, value: float) -> None:
    made = extractor(constant_map(np.float32([1, value, 2])), size=(32, 32), strides=(32,))
    with pytest.raises(BackboneError, match=r"tensor 'stride32' reaches -?\d+ .* 65504: choose"):
        run(made, random_picture())


def test_the_largest_half_is_kept_and_what_is_not_finite_stays_so(extractor: Make) -> None:
    values = np.float32([65504, -65504, np.inf, -np.inf, np.nan])
    made = extractor(constant_map(values), size=(32, 32), strides=(32,))
    np.testing.assert_array_equal(run(made, random_picture()), values.astype(np.float16))


# Views


def test_a_row_for_the_picture_and_one_for_each_view(extractor: Make) -> None:
    made, pixels = extractor(), random_picture()
    views = [view.seeded(0, b"digest") for view in scene_views(6)]
    rows = made.function.run_views(pixels, _core.runtime.CancelToken(), views)
    assert rows.shape == (6, made.dimension)
    assert rows.dtype == np.float16
    assert rows[0].tobytes() == run(made, pixels).tobytes()
    for row, view in zip(rows[1:], views, strict=True):
        tensor = _core.image.prepare(pixels, 64, 96, "scale_fill", view=view)
        maps = made.function.run_tensor(tensor[None])
        assert list(maps) == [8, 16, 32]
        expected = np.concatenate([values.ravel() for values in maps.values()]).astype(np.float16)
        assert row.tobytes() == expected.tobytes()


# What cannot serve


def test_a_tensor_that_is_not_there_is_named(extractor: Make) -> None:
    with pytest.raises(
        BackboneError, match=r"no tensor 'stride8'.*pass map_names=, the tensors at"
    ):
        extractor(map_backbone(names=("a", "b", "c")))


def test_a_map_of_another_stride_is_named(extractor: Make) -> None:
    with pytest.raises(
        BackboneError, match=r"'stride16' has shape \[1, 5, 4, 6\] .* \[1, c, 8, 12\]"
    ):
        extractor(map_names=("stride16", "stride16", "stride32"))
    with pytest.raises(BackboneError, match=r"'features' has shape \[1, 6\]"):
        extractor(map_names=("stride8", "stride16", "features"))


def test_a_backbone_for_one_size_only_says_so(extractor: Make) -> None:
    model = map_backbone(shape=["N", 3, 64, 64])
    model.graph.initializer.append(numpy_helper.from_array(np.int64([-1, 3, 64, 64]), "shape"))
    model.graph.node.insert(0, helper.make_node("Reshape", ["pixels", "shape"], ["shaped"]))
    model.graph.node[1].input[0] = "shaped"
    assert extractor(model, size=(64, 64)).maps[32] == (6, 2, 2)
    with pytest.raises(BackboneError, match=r"cannot be run on pictures of 64 x 96; .* pass size="):
        extractor(model)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        *(({"size": size}, "size") for size in ((64, 100), (0, 64), (64,), 64, (64.0, 64.0))),
        *(({"strides": s}, "strides") for s in ((), (16, 8), (8, 8), (64,), 8, "8")),
        *(({"map_names": names}, "map_names") for names in (("a", "b"), ("a", "b", 3), 5)),
        ({"mean": (1, 2)}, "mean"),
        ({"std": (0, 1, 1)}, "std"),
        ({"channel_order": "GBR"}, "channel_order"),
    ],
)
def test_a_wrong_parameter_is_named(extractor: Make, options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"^{name}="):
        extractor(**options)
    if name in ("size", "strides"):
        with pytest.raises(InvalidParameterError, match=f"^{name}="):
            ObjectPrint(**options)


@pytest.mark.parametrize("revision", [99, "0", True])
def test_a_revision_that_is_not_there_is_an_error(revision: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"revision=.*one of 0"):
        ObjectPrint(revision=revision)


# Extractors are values


def test_pickles_carry_the_graph_of_a_file_and_the_name_of_a_print(
    extractor: Make, tmp_path: Path
) -> None:
    made, pixels = extractor(), random_picture()
    row = run(made, pixels)
    data = pickle.dumps(made)
    (tmp_path / "model.onnx").unlink()
    again = pickle.loads(data)
    assert again == made
    np.testing.assert_array_equal(run(again, pixels), row)
    built_in = ObjectPrint(size=(64, 64))
    row = run(built_in, pixels)
    data = pickle.dumps(built_in)
    assert len(data) < 1000
    np.testing.assert_array_equal(run(pickle.loads(data), pixels), row)


def test_extractors_are_immutable_and_print_as_what_makes_them(extractor: Make) -> None:
    made = extractor(strides=[8, 16])
    assert made == eval(repr(made))
    for each in (made, ObjectPrint()):
        with pytest.raises(AttributeError):
            each.size = (32, 32)  # type: ignore[misc]
