"""Extractors: any ONNX backbone becomes one graph from `image` to `features`, or a clear error."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import external_data_helper, helper, numpy_helper

from silverprint import _core
from silverprint.errors import BackboneError, InvalidParameterError
from silverprint.features.extractor import CustomFeatureExtractor, FeatureExtractor
from silverprint.features.prints import REVISIONS, ScenePrint
from support import graphs
from support.graphs import PLAIN, backbone, saved

Make = Callable[..., CustomFeatureExtractor]


@pytest.fixture
def extractor(tmp_path: Path) -> Make:
    """Makes an extractor of a model; it normalises itself unless told otherwise."""

    def make(model: onnx.ModelProto, **options: Any) -> CustomFeatureExtractor:
        return CustomFeatureExtractor(saved(model, tmp_path / "model.onnx"), **(PLAIN | options))

    return make


def images(*shape: int, seed: int = 0) -> graphs.Floats:
    return np.random.default_rng(seed).integers(0, 256, shape).astype(np.float32)


def proto(extractor: FeatureExtractor) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(extractor.backbone.graph)


def shape_of(value: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]


# The feature graph


def test_a_backbone_becomes_a_graph_from_image_to_features(extractor: Make) -> None:
    made = extractor(backbone())
    onnx.checker.check_model(proto(made), full_check=True)
    (image,), (features,) = proto(made).graph.input, proto(made).graph.output
    assert (image.name, shape_of(image)) == ("image", ["batch", 3, 8, 8])
    assert (features.name, shape_of(features)) == ("features", ["batch", 5])
    assert made.dimension == 5
    assert made.rule.height == made.rule.width == 8
    assert made.backbone.record["tensor"] == "flat"


def test_features_are_those_of_the_file_run_by_stock_onnx_runtime(extractor: Make) -> None:
    model, tensor = backbone(), images(4, 3, 8, 8)
    (expected,) = graphs.run_stock(model.SerializeToString(), {"pixels": tensor})
    made = extractor(model)
    np.testing.assert_array_equal(made.function.run_tensor(tensor), expected)
    (composed,) = graphs.run_stock(made.backbone.graph, {"image": tensor})
    np.testing.assert_array_equal(composed, expected)


def test_the_graph_normalises(extractor: Make) -> None:
    mean, std = (100.0, 110.0, 120.0), (50.0, 60.0, 70.0)
    model, tensor = backbone(), images(2, 3, 8, 8)
    normalised = (tensor - np.float32(mean).reshape(3, 1, 1)) / np.float32(std).reshape(3, 1, 1)
    (expected,) = graphs.run_stock(model.SerializeToString(), {"pixels": normalised})
    found = extractor(model, mean=mean, std=std).function.run_tensor(tensor)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_bgr_backbones_see_blue_first(extractor: Make) -> None:
    model, tensor = backbone(), images(2, 3, 8, 8)
    made = extractor(model, mean=(10, 20, 30), channel_order="BGR")
    # `mean` and `std` are for red, green and blue all the same.
    blue_first = tensor[:, ::-1] - np.float32([30, 20, 10]).reshape(3, 1, 1)
    (expected,) = graphs.run_stock(model.SerializeToString(), {"pixels": blue_first})
    np.testing.assert_array_equal(made.function.run_tensor(tensor), expected)


def test_metadata_say_what_is_not_passed(extractor: Make) -> None:
    entries = {
        "mean": "[1, 2, 3]",
        "std": "127.5",
        "channel_order": "BGR",
        "input_size": "8",
        "licence": "MIT",
    }
    model = backbone(shape=["N", 3, "h", "w"], metadata=entries)
    made = extractor(model, mean=None, std=None)
    assert (made.rule.height, made.rule.width) == (8, 8)
    assert made.backbone.record["licence"] == "MIT"
    explicit = extractor(model, mean=(1, 2, 3), std=(127.5,) * 3, channel_order="BGR", size=(8, 8))
    assert made.backbone.graph == explicit.backbone.graph
    larger = extractor(model, size=(12, 16))
    assert (larger.rule.height, larger.rule.width) == (12, 16)


def test_a_map_is_averaged_over_height_and_width(extractor: Make) -> None:
    model, tensor = backbone(), images(3, 3, 8, 8)
    made = extractor(model, output_name="map")
    (maps,) = graphs.run_stock(
        _with_output(model, "map").SerializeToString(), {"pixels": tensor}, ["map"]
    )
    assert maps.shape == (3, 5, 8, 8)
    exact = maps.mean(axis=(2, 3), dtype=np.float64)
    np.testing.assert_allclose(made.function.run_tensor(tensor), exact, rtol=1e-6)
    assert made.dimension == 5


def _with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    copy.graph.output.append(graphs.value(name, None))
    return copy


def test_an_inner_tensor_has_the_values_of_the_full_model(shared_data: Path) -> None:
    file = shared_data / "weights" / "mobilenetv2_float.onnx"
    model, tensor = onnx.load(file), images(1, 3, 224, 224)
    made = CustomFeatureExtractor(file, output_name="stride16")
    plain = CustomFeatureExtractor(file, output_name="stride16", **PLAIN)
    (maps,) = graphs.run_stock(model.SerializeToString(), {"image": tensor}, ["stride16"])
    np.testing.assert_allclose(
        plain.function.run_tensor(tensor), maps.mean((2, 3), dtype=np.float64), rtol=1e-4, atol=1e-4
    )
    assert made.dimension == maps.shape[1]
    # What the tensor does not depend on is left out.
    assert len(made.backbone.graph) < 0.5 * file.stat().st_size


def test_names_that_clash_with_ours_are_no_problem(extractor: Make) -> None:
    tensor = images(2, 3, 8, 8)
    (expected,) = graphs.run_stock(backbone().SerializeToString(), {"pixels": tensor})
    for names in (
        {"map_name": "features", "output_name": "image"},
        {"map_name": "targetProbability", "output_name": "features"},
        {"map_name": "image", "output_name": "target_index"},
        {"input_name": "image", "map_name": "silverprint/pooled", "output_name": "features"},
        {"input_name": "features", "map_name": "silverprint/normalised", "output_name": "image"},
    ):
        model = backbone(**names)  # type: ignore[arg-type]
        made = extractor(model)
        np.testing.assert_array_equal(made.function.run_tensor(tensor), expected)
        pooled = extractor(model, output_name=names["map_name"])
        np.testing.assert_allclose(pooled.function.run_tensor(tensor), expected, rtol=1e-6)


def test_clashing_names_inside_nested_graphs_are_no_problem(extractor: Make) -> None:
    tensor = images(2, 3, 8, 8)
    for image, features in (("inner_in", "inner_out"), ("image", "features")):
        body = helper.make_graph(
            [
                helper.make_node("Identity", ["go"], ["go_on"]),
                # The loop's own state, and a tensor of the graph around it.
                helper.make_node("Add", [image, "flat"], [features]),
            ],
            "body",
            [
                graphs.value("round", [], onnx.TensorProto.INT64),
                graphs.value("go", [], onnx.TensorProto.BOOL),
                graphs.value(image, None),
            ],
            [graphs.value("go_on", [], onnx.TensorProto.BOOL), graphs.value(features, None)],
        )
        model = backbone()
        model.graph.initializer.append(numpy_helper.from_array(np.array(3), "rounds"))
        model.graph.node.append(
            helper.make_node("Loop", ["rounds", "", "flat"], ["out"], body=body)
        )
        model.graph.output.append(graphs.value("out", None))
        expected = graphs.run_stock(model.SerializeToString(), {"pixels": tensor}, ["out"])[0]
        found = extractor(model, output_name="out").function.run_tensor(tensor)
        np.testing.assert_array_equal(found, expected)


def test_equal_files_and_parameters_give_equal_graphs_and_fingerprints(tmp_path: Path) -> None:
    made = [
        CustomFeatureExtractor(saved(backbone(), tmp_path / name), **PLAIN)
        for name in ("one.onnx", "other.onnx")
    ]
    assert made[0].backbone == made[1].backbone
    changed = backbone()
    changed.graph.initializer[1].CopyFrom(graphs.weights("bias", 5, seed=9))
    other = CustomFeatureExtractor(saved(changed, tmp_path / "changed.onnx"), **PLAIN)
    assert other.backbone.record["fingerprint"] != made[0].backbone.record["fingerprint"]


def test_free_text_of_the_file_is_dropped(extractor: Make) -> None:
    secret = "/home/somebody/secret"
    inner = helper.make_graph(
        [helper.make_node("Identity", ["flat"], ["branch"], doc_string=secret)],
        "branch",
        [],
        [helper.make_tensor_value_info("branch", graphs.FLOAT, None, doc_string=secret)],
        doc_string=secret,
    )
    model = backbone(metadata={"source": secret})
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "condition"))
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["out"], then_branch=inner, else_branch=inner)
    )
    model.graph.output.append(graphs.value("out", None))
    model.doc_string = model.graph.doc_string = secret
    for part in (
        *model.graph.node,
        *model.graph.initializer,
        *model.graph.input,
        *model.graph.output,
    ):
        part.doc_string = secret
    for part in (model.graph, *model.graph.node, *model.graph.initializer):
        part.metadata_props.add(key="path", value=secret)
    for node in model.graph.node:
        for attribute in node.attribute:
            attribute.doc_string = secret
    made = extractor(model, output_name="out")
    assert b"secret" not in made.backbone.graph


# What it refuses


def one_node(operator: str, shape: list[Any], **options: Any) -> onnx.ModelProto:
    node = helper.make_node(operator, ["pixels"], ["out"])
    return graphs.model([node], inputs=[graphs.value("pixels", shape, **options)])


def two_inputs() -> onnx.ModelProto:
    shape = ["N", 3, 8, 8]
    node = helper.make_node("Add", ["pixels", "mask"], ["out"])
    return graphs.model([node], inputs=[graphs.value("pixels", shape), graphs.value("mask", shape)])


def flattened_map() -> onnx.ModelProto:
    model = backbone()
    stored = numpy_helper.from_array(np.array([0, 5, -1]), "shape")
    model.graph.initializer.append(stored)
    model.graph.node.append(helper.make_node("Reshape", ["map", "shape"], ["tokens"]))
    return model


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (one_node("Relu", ["N", 3]), {}, "'pixels' has rank 2; expected (N, 3, height, width)"),
        (one_node("Relu", ["N", 8, 8, 3]), {}, "export it with channels first"),
        (one_node("Relu", ["N", 1, 8, 8]), {}, "expected (N, 3, height, width)"),
        (
            one_node("Identity", ["N", 3, 8, 8], kind=onnx.TensorProto.UINT8),
            {},
            "'pixels' is UINT8; export it with a float32 image",
        ),
        (two_inputs(), {}, "expected one input, an image; found pixels, mask"),
        (backbone(shape=[4, 3, 8, 8]), {}, "takes batches of 4; export it with a free batch size"),
        (backbone(), {"output_name": "flatt"}, "no tensor 'flatt'; did you mean 'flat'?"),
        (backbone(), {"output_name": "nowhere"}, "its outputs are flat"),
        (backbone(), {"output_name": "kernel"}, "no tensor 'kernel'"),
        (backbone(), {"output_name": "pixels"}, "no tensor 'pixels'"),
        (backbone(shape=["N", 3, None, None]), {}, "leaves height and width free; pass size="),
        (backbone(), {"size": (16, 8)}, "takes pictures of 8 x 8 only, not 16 x 8"),
        (backbone(), {"mean": None}, "does not say mean; pass mean= and std="),
        (backbone(), {"std": None}, "does not say std; pass mean= and std="),
        (flattened_map(), {"output_name": "tokens"}, "tensor 'tokens' has shape [1, 5, 64]"),
        (one_node("Hallucinate", ["N", 3, 8, 8]), {}, "Hallucinate"),
    ],
)
def test_a_model_that_cannot_serve_says_why(
    extractor: Make, tmp_path: Path, model: onnx.ModelProto, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(BackboneError) as caught:
        extractor(model, **options)
    assert str(caught.value).startswith(str(tmp_path / "model.onnx"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"std": (1.0, -1.0, 1.0)}, "std"),
        ({"std": (1.0, 0.0, 1.0)}, "std"),
        ({"mean": (0.0, float("nan"), 0.0)}, "mean"),
        ({"mean": (0.0, 0.0)}, "mean"),
        ({"mean": 127.5}, "mean"),
        ({"mean": ("a", "b", "c")}, "mean"),
        ({"channel_order": "GBR"}, "channel_order"),
        ({"crop_and_scale": "zoom"}, "crop_and_scale"),
        ({"size": (8.0, 8.0)}, "size"),
        ({"size": (8,)}, "size"),
        ({"size": 8}, "size"),
    ],
)
def test_a_wrong_parameter_is_named(extractor: Make, options: dict[str, Any], name: str) -> None:
    with pytest.raises(InvalidParameterError, match=f"^{name}="):
        extractor(backbone(), **options)


def test_a_free_size_must_be_one_that_a_picture_can_have(extractor: Make) -> None:
    with pytest.raises(InvalidParameterError, match="height=0"):
        extractor(backbone(shape=["N", 3, "h", "w"]), size=(0, 8))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    with pytest.raises(BackboneError, match="No such file"):
        CustomFeatureExtractor(file, **PLAIN)
    with pytest.raises(BackboneError, match="cannot be read"):
        CustomFeatureExtractor(tmp_path, **PLAIN)
    whole = backbone().SerializeToString()
    for data in (b"", b"This is a text about models.\n" * 9, whole[:-20], whole[: len(whole) // 2]):
        file.write_bytes(data)
        with pytest.raises(BackboneError, match="not an ONNX file") as caught:
            CustomFeatureExtractor(file, **PLAIN)
        assert str(file) in str(caught.value)


# External weights


def external(tmp_path: Path, location: str = "weights.bin", **entries: object) -> onnx.ModelProto:
    """A backbone whose kernel and bias lie in a file; `entries` overrides those of the kernel."""
    model, offset = backbone(), 0
    file = tmp_path / "weights.bin"
    with file.open("wb") as stream:
        for tensor in model.graph.initializer:
            data = numpy_helper.to_array(tensor).tobytes()
            stream.write(data)
            external_data_helper.set_external_data(tensor, location, offset, len(data))
            tensor.ClearField("raw_data")
            offset += len(data)
    kernel = model.graph.initializer[0]
    for entry in kernel.external_data:
        entry.value = str(entries.get(entry.key, entry.value))
    return model


def test_weights_beside_the_model_are_taken_into_the_graph(extractor: Make, tmp_path: Path) -> None:
    inside = extractor(backbone())
    made = extractor(external(tmp_path))
    (tmp_path / "weights.bin").unlink()
    tensor = images(2, 3, 8, 8)
    np.testing.assert_array_equal(
        made.function.run_tensor(tensor), inside.function.run_tensor(tensor)
    )


def test_weights_may_lie_in_a_folder_below(extractor: Make, tmp_path: Path) -> None:
    model = external(tmp_path, "below/deeper/weights.bin")
    (tmp_path / "below" / "deeper").mkdir(parents=True)
    (tmp_path / "weights.bin").rename(tmp_path / "below" / "deeper" / "weights.bin")
    assert extractor(model).dimension == 5


@pytest.mark.parametrize(
    "location",
    [
        "/etc/hostname",
        "../weights.bin",
        "a/../../weights.bin",
        "..\\weights.bin",
        "",
        "a\0b",
        "\\\\host\\x",
    ],
)
def test_weights_outside_the_folder_are_refused(
    extractor: Make, tmp_path: Path, location: str
) -> None:
    with pytest.raises(BackboneError, match="must lie in the model's own folder") as caught:
        extractor(external(tmp_path, location))
    assert repr(location) in str(caught.value)


def test_weights_behind_a_link_are_refused(extractor: Make, tmp_path: Path) -> None:
    model = external(tmp_path, "linked.bin")
    (tmp_path / "linked.bin").symlink_to("weights.bin")
    with pytest.raises(BackboneError, match=r"linked\.bin: a link"):
        extractor(model)
    (tmp_path / "real").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "real" / "weights.bin")
    (tmp_path / "folder").symlink_to("real")
    with pytest.raises(BackboneError, match="folder: a link"):
        extractor(external_at(model, "folder/weights.bin"))


def external_at(model: onnx.ModelProto, location: str) -> onnx.ModelProto:
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    return model


def test_weights_in_something_else_than_a_file_are_refused(extractor: Make, tmp_path: Path) -> None:
    model = external(tmp_path, "other")
    (tmp_path / "other").mkdir()
    with pytest.raises(BackboneError, match="other: not a regular file"):
        extractor(model)
    (tmp_path / "other").rmdir()
    os.mkfifo(tmp_path / "other")
    with pytest.raises(BackboneError, match="other: not a regular file"):
        extractor(model)


def test_missing_weights_are_named(extractor: Make, tmp_path: Path) -> None:
    model = external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(BackboneError, match=r"weights\.bin: no such file; .* beside it"):
        extractor(model)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"length": 10**6}, "560 bytes, but model.onnx expects 'kernel' at bytes 0 to 1000000"),
        ({"offset": 200}, "cut short or belongs to another model"),
        ({"offset": -1}, "cut short or belongs to another model"),
        ({"offset": 2**70}, "cut short or belongs to another model"),
        ({"offset": "start"}, "unreadable offset or length"),
        ({"length": "1e3"}, "unreadable offset or length"),
        ({"length": 100}, "model.onnx: "),  # then ONNX Runtime's words, which differ by version
    ],
)
def test_weights_must_lie_within_their_file(
    extractor: Make, tmp_path: Path, entries: dict[str, object], message: str
) -> None:
    with pytest.raises(BackboneError) as caught:
        extractor(external(tmp_path, **entries))
    assert message in str(caught.value)


def outside(name: str, *dims: int, kind: int = graphs.FLOAT) -> onnx.TensorProto:
    """A tensor that claims to lie in a file outside the model's folder."""
    tensor = onnx.TensorProto(name=name, data_type=kind, dims=dims)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../outside.bin")
    return tensor


def constant(**attribute: Any) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["unused"], **attribute)


def sparse() -> onnx.SparseTensorProto:
    return helper.make_sparse_tensor(
        outside("values", 1), helper.make_tensor("indices", onnx.TensorProto.INT64, [1], [0]), [4]
    )


def sparse_indices() -> onnx.SparseTensorProto:
    values = helper.make_tensor("values", graphs.FLOAT, [1], [1.0])
    return helper.make_sparse_tensor(
        values, outside("indices", 1, kind=onnx.TensorProto.INT64), [4]
    )


def nested(node: onnx.NodeProto) -> onnx.NodeProto:
    body = helper.make_graph([node], "body", [], [])
    return helper.make_node("If", ["condition"], ["out"], then_branch=body, else_branch=body)


def in_a_node(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    model.graph.node.append(node)


def in_a_function(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    model.functions.add(name="f", domain="local").node.append(node)


@pytest.mark.parametrize("place", [in_a_node, in_a_function])
@pytest.mark.parametrize(
    "node",
    [
        constant(value=outside("t", 4)),
        constant(sparse_value=sparse()),
        constant(sparse_value=sparse_indices()),
        nested(constant(value=outside("t", 4))),
        nested(nested(constant(sparse_value=sparse()))),
    ],
    ids=["constant", "sparse values", "sparse indices", "nested", "nested twice"],
)
def test_weights_anywhere_in_the_model_are_checked(
    extractor: Make,
    place: Callable[[onnx.ModelProto, onnx.NodeProto], None],
    node: onnx.NodeProto,
) -> None:
    model = backbone()
    place(model, node)
    with pytest.raises(BackboneError, match="must lie in the model's own folder"):
        extractor(model)


@pytest.mark.parametrize("part", [sparse, sparse_indices])
def test_stored_sparse_weights_are_checked(
    extractor: Make, part: Callable[[], onnx.SparseTensorProto]
) -> None:
    model = backbone()
    model.graph.sparse_initializer.append(part())
    with pytest.raises(BackboneError, match="must lie in the model's own folder"):
        extractor(model)


def test_weights_in_a_nested_graphs_store_are_checked(extractor: Make) -> None:
    model = backbone()
    branch = helper.make_graph(
        [helper.make_node("Identity", ["t"], ["b"])], "branch", [], [], [outside("t", 4)]
    )
    model.graph.node.append(
        helper.make_node("If", ["condition"], ["out"], then_branch=branch, else_branch=branch)
    )
    with pytest.raises(BackboneError, match="must lie in the model's own folder"):
        extractor(model)


# Extractors are values


def test_the_newest_revision_is_resolved_at_once() -> None:
    made = ScenePrint()
    assert made.revision == REVISIONS[-1]
    assert made == ScenePrint(revision=REVISIONS[-1])
    assert made == eval(repr(made))
    assert made.backbone.record["revision"] == made.revision


@pytest.mark.parametrize("revision", [99, -1, "0", True, 0.0])
def test_a_revision_that_is_not_there_is_an_error(revision: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"revision=.*one of 0"):
        ScenePrint(revision=revision)


def test_the_built_in_print_is_a_backbone_like_any_other(shared_data: Path) -> None:
    file = shared_data / "weights" / "silverprint_preview.onnx"
    ours, custom = ScenePrint(revision=0), CustomFeatureExtractor(file)
    assert ours.backbone.graph == custom.backbone.graph
    assert ours.rule == custom.rule
    assert ours.dimension == custom.dimension


def test_reprs_can_be_pasted(extractor: Make) -> None:
    made = extractor(backbone(), output_name="map", crop_and_scale="scale_fit")
    assert made == eval(repr(made))


def test_pickles_carry_the_graph(extractor: Make, tmp_path: Path) -> None:
    made = extractor(backbone())
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    features = made.extract([picture])
    data = pickle.dumps(made)
    (tmp_path / "model.onnx").unlink()
    again = pickle.loads(data)
    assert again == made
    assert again.backbone == made.backbone
    np.testing.assert_array_equal(again.extract([picture]), features)


def test_a_built_in_print_pickles_as_its_name() -> None:
    made = ScenePrint(crop_and_scale="scale_fit")
    picture = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    features = made.extract([picture])
    data = pickle.dumps(made)
    assert len(data) < 1000
    np.testing.assert_array_equal(pickle.loads(data).extract([picture]), features)


@pytest.mark.parametrize("built_in", [True, False])
def test_with_crop_and_scale(extractor: Make, built_in: bool) -> None:
    made = ScenePrint() if built_in else extractor(backbone())
    default = made.rule.crop_and_scale
    assert made.with_crop_and_scale(None) is made
    assert made.with_crop_and_scale(default) is made
    other = made.with_crop_and_scale("scale_fit")
    assert type(other) is type(made)
    assert other.rule.crop_and_scale == "scale_fit"
    assert made.rule.crop_and_scale == default != "scale_fit"
    # The rule is no part of the graph, only of what is fed to it.
    assert other.backbone.graph == made.backbone.graph
    wide = np.zeros((16, 64, 3), np.uint8)
    wide[:, :20], wide[:, 44:] = 255, 90
    assert not np.array_equal(other.extract([wide]), made.extract([wide]))
    with pytest.raises(InvalidParameterError, match="did you mean 'center_crop'"):
        made.with_crop_and_scale("centre_crop")


def test_extractors_are_immutable(extractor: Make) -> None:
    for made in (ScenePrint(), extractor(backbone())):
        with pytest.raises(AttributeError):
            made.crop_and_scale = "scale_fit"  # type: ignore[misc]


def test_the_rule_decides_what_the_backbone_sees(extractor: Make) -> None:
    made = extractor(backbone(), crop_and_scale="center_crop")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    prepared = _core.image.prepare(pixels, 8, 8, "center_crop")
    np.testing.assert_array_equal(made.extract([pixels]), made.function.run_tensor(prepared[None]))
