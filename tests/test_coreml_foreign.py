"""Any ONNX backbone or classifier as a Core ML file: input, normalisation, outputs.

Expected numbers come from ONNX Runtime on the file itself, fed with what it was made for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from silverprint.errors import BackboneError, ExportError
from silverprint.export.coreml import (
    ExportOptions,
    adopt_backbone,
    adopt_classifier,
    available,
    write_backbone,
    write_classifier,
)
from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.reader import read_model

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

PICTURE = np.random.default_rng(2).integers(0, 256, (1, 3, 12, 10)).astype(np.float32)
MEAN, STD = (10.0, 20.0, 30.0), (50.0, 60.0, 70.0)
NORMALISED = (PICTURE - np.reshape(MEAN, (1, 3, 1, 1))) / np.reshape(STD, (1, 3, 1, 1))
NORMALISED = NORMALISED.astype(np.float32)
RULE = {"height": 12, "width": 10, "crop_and_scale": "scale_fill", "version": 1}
FLOAT = TensorProto.FLOAT


def foreign(
    path: Path,
    *last: onnx.NodeProto,
    metadata: dict[str, str] | None = None,
    given: tuple[str, list[Any]] = ("pixels", ["n", 3, 12, 10]),
    outputs: tuple[str, ...] = ("scores:0",),
    names: dict[str, str] | None = None,
) -> Path:
    """A convolution, its mean, a linear layer to ``scores:0``, then `last`."""
    rng = np.random.default_rng(0)
    nodes = [
        helper.make_node("Conv", [given[0], "kernel"], ["block/conv"]),
        helper.make_node("Relu", ["block/conv"], ["block/relu"]),
        helper.make_node("GlobalAveragePool", ["block/relu"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["scores:0"]),
        *last,
    ]
    for one in nodes:
        one.input[:] = [(names or {}).get(name, name) for name in one.input]
        one.output[:] = [(names or {}).get(name, name) for name in one.output]
    body = helper.make_graph(
        nodes,
        "foreign",
        [helper.make_tensor_value_info(given[0], FLOAT, given[1])],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [
            numpy_helper.from_array(rng.normal(size=(4, 3, 3, 3)).astype(np.float32), "kernel"),
            numpy_helper.from_array(rng.normal(size=(4, 5)).astype(np.float32), "matrix"),
        ],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    return path


def stated(**more: str) -> dict[str, str]:
    return {"mean": str(list(MEAN)), "std": str(list(STD)), **more}


def original(path: Path, tensor: np.ndarray[Any, Any]) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path))
    results: list[Any] = session.run(None, {session.get_inputs()[0].name: tensor})
    return results


def composed(adopted: Any) -> dict[str, np.ndarray[Any, Any]]:
    session = onnxruntime.InferenceSession(adopted.graph.SerializeToString())
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, {"image": PICTURE}), strict=True))


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_normalisation_comes_from_the_metadata(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated(licence="CC0"))
    adopted = adopt_backbone(path)
    assert (adopted.height, adopted.width, adopted.licence) == (12, 10, "CC0")
    close(composed(adopted)["scores_0"], original(path, NORMALISED)[0])


def test_arguments_count_more_than_the_metadata(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated())
    adopted = adopt_backbone(path, mean=(0, 0, 0), std=(1, 1, 1))
    close(composed(adopted)["scores_0"], original(path, PICTURE)[0])


@pytest.mark.parametrize("how", ["argument", "metadata"])
def test_a_network_for_bgr_is_given_bgr(tmp_path: Path, how: str) -> None:
    """Mean and deviation are those of red, green and blue, in this order."""
    entries = stated(channel_order="BGR") if how == "metadata" else stated()
    path = foreign(tmp_path / "m.onnx", metadata=entries)
    adopted = adopt_backbone(path, channel_order="BGR" if how == "argument" else None)
    close(composed(adopted)["scores_0"], original(path, NORMALISED[:, ::-1].copy())[0])


def test_any_tensors_can_be_the_features(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated())
    wanted = ["flat", "block/relu", "scores:0"]
    adopted = adopt_backbone(path, outputs=wanted)
    found = composed(adopted)
    assert list(found) == ["flat", "block_relu", "scores_0"]
    assert found["block_relu"].shape == (1, 4, 10, 8)
    close(found["flat"], found["block_relu"].mean((2, 3)))


def test_names_in_the_file_do_no_harm(tmp_path: Path) -> None:
    """Its own tensors may be called as ours are, or alike when made names for Swift."""
    names = {
        "block/conv": "image",
        "block/relu": "silverprint/mean",
        "pooled": "targetProbability",
        "flat": "scores/0",
    }
    path = foreign(
        tmp_path / "m.onnx",
        metadata=stated(),
        names=names,
        outputs=("scores:0", "scores/0", "image"),
    )
    adopted = adopt_backbone(path)
    found = composed(adopted)
    assert list(found)[:2] == ["scores_0", "scores_0_"]
    for value, expected in zip(found.values(), original(path, NORMALISED), strict=True):
        close(value, expected)
    close(composed(adopt_classifier(path))["targetProbability"].sum(), 1)


def test_the_size_is_taken_from_the_graph_the_argument_or_the_metadata(tmp_path: Path) -> None:
    free = ("pixels", ["n", 3, "h", "w"])
    path = foreign(tmp_path / "m.onnx", metadata=stated(), given=free)
    adopted = adopt_backbone(path, size=(16, 20))
    assert (adopted.height, adopted.width) == (16, 20)
    path = foreign(tmp_path / "s.onnx", metadata=stated(input_size="24"), given=free)
    assert (adopt_backbone(path).height, adopt_backbone(path).width) == (24, 24)


@pytest.mark.parametrize(
    ("last", "scores"),
    [
        ([], None),
        ([], "logits"),
        ([helper.make_node("Softmax", ["scores:0"], ["p"])], None),
        ([helper.make_node("LogSoftmax", ["scores:0"], ["p"])], None),
        (
            [
                helper.make_node("Softmax", ["scores:0"], ["s"], axis=1),
                helper.make_node("Identity", ["s"], ["p"]),
            ],
            None,
        ),
    ],
)
def test_a_classifier_gives_probabilities(
    tmp_path: Path, last: list[onnx.NodeProto], scores: Any
) -> None:
    output = "p" if last else "scores:0"
    path = foreign(tmp_path / "m.onnx", *last, metadata=stated(), outputs=(output,))
    found = composed(adopt_classifier(path, scores=scores))
    logits = original(foreign(tmp_path / "logits.onnx"), NORMALISED)[0]
    odds = np.exp(logits - logits.max())
    assert list(found) == ["targetProbability"]
    close(found["targetProbability"], odds / odds.sum())


def test_maps_of_one_pixel_are_scores_too(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated(), outputs=("pooled",))
    probabilities = composed(adopt_classifier(path))["targetProbability"]
    assert probabilities.shape == (1, 4)
    close(probabilities.sum(), 1)


def test_the_scores_may_be_any_tensor(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated())
    assert composed(adopt_classifier(path, output="flat"))["targetProbability"].shape == (1, 4)


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_it_becomes_a_core_ml_file(tmp_path: Path, suffix: str) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated(channel_order="BGR"))
    options = ExportOptions(precision="float32", layout="BGR")
    features, answers = tmp_path / f"F{suffix}", tmp_path / f"A{suffix}"
    backbone = adopt_backbone(path, outputs=["flat", "scores:0"])
    classifier = adopt_classifier(path)
    write_backbone(backbone.graph, features, picture_rule=RULE, metadata={}, options=options)
    write_classifier(
        classifier.graph,
        answers,
        labels=list("abcde"),
        picture_rule=RULE,
        metadata={},
        options=options,
    )
    found = execute(read_model(features), {"image": PICTURE})
    for name, expected in composed(backbone).items():
        close(found[name], expected)
    answer = execute(read_model(answers), {"image": PICTURE})
    (expected,) = composed(classifier)["targetProbability"]
    close(list(answer["targetProbability"].values()), expected)
    assert answer["target"] == "abcde"[int(expected.argmax())]


BAD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {}, r"m\.onnx: its metadata has no mean of one or three numbers; pass mean= and std="),
    ({"metadata": {"mean": "[1, 2, 3]"}}, {}, "has no std of one or three"),
    ({}, {"mean": (0, 0), "std": (1, 1, 1)}, r"mean=\(0, 0\): expected three numbers"),
    ({}, {"mean": (0, 0, 0), "std": (1, 0, 1)}, "three positive numbers"),
    ({}, {"mean": ("a", 0, 0), "std": (1, 1, 1)}, "expected three numbers"),
    ({"metadata": stated(channel_order="GBR")}, {}, "channel_order='GBR'"),
    ({"metadata": stated()}, {"size": (13, 10)}, "takes pictures of 12 x 10 only, not 13 x 10"),
    ({"metadata": stated()}, {"size": (13.0, 10)}, r"expected \(height, width\)"),
    (
        {"metadata": stated(), "given": ("pixels", ["n", 3, "h", 10])},
        {},
        "leaves height and width free",
    ),
]


@pytest.mark.parametrize(("file", "arguments", "message"), BAD)
def test_what_is_missing_is_said(
    tmp_path: Path, file: dict[str, Any], arguments: dict[str, Any], message: str
) -> None:
    path = foreign(tmp_path / "m.onnx", **file)
    for adopt in (adopt_backbone, adopt_classifier):
        with pytest.raises(ExportError, match=message):
            adopt(path, **arguments)


def test_a_tensor_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated())
    with pytest.raises(ExportError, match="no tensor 'score:0'; did you mean 'scores:0'"):
        adopt_backbone(path, outputs=["score:0"])
    with pytest.raises(ExportError, match="no tensor 'kernel'"):
        adopt_classifier(path, output="kernel")
    with pytest.raises(ExportError, match="name at least one"):
        adopt_backbone(path, outputs=[])


def test_scores_of_single_labels_are_no_classifier(tmp_path: Path) -> None:
    last = helper.make_node("Sigmoid", ["scores:0"], ["p"])
    path = foreign(tmp_path / "m.onnx", last, metadata=stated(), outputs=("p",))
    with pytest.raises(ExportError, match="come from a sigmoid"):
        adopt_classifier(path)
    adopt_classifier(path, scores="logits")
    adopt_backbone(path)


def test_what_is_no_model_of_one_picture_is_a_backbone_error(tmp_path: Path) -> None:
    path = foreign(tmp_path / "m.onnx", metadata=stated(), given=("pixels", ["n", 12, 10, 3]))
    with pytest.raises(BackboneError, match="channels first"):
        adopt_backbone(path)
    with pytest.raises(BackboneError, match="cannot be read"):
        adopt_classifier(tmp_path / "missing.onnx")
