"""The proof of a Core ML file: what it compares, what it reports, and where it stops.

The float16 numbers are those that coremltools 9.0 writes (its pass `add_fp16_cast`): numpy's
rounding, but small parameters never become zero.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from silverprint.errors import ExportError
from silverprint.export.coreml import ExportOptions, available, write_backbone, write_classifier
from silverprint.export.coreml.proof import Expected, Proof, prove
from silverprint.export.coreml.proof.expressions.values import Constant
from silverprint.export.coreml.proof.expressions.weights import (
    as_float16,
    difference,
    quantised,
)
from silverprint.export.coreml.proof.numbers import execute_all
from silverprint.export.coreml.proof.oracle import Floats, Oracle
from silverprint.export.coreml.proof.subject import subject_of
from silverprint.export.coreml.reader import read_model
from support.coreml_copies import Copy
from support.coreml_networks import (
    HEIGHT,
    LABELS,
    RULE,
    WIDTH,
    Sketch,
    convolutional,
    pictures,
)

needs_coreml = pytest.mark.skipif(available() is not None, reason=str(available()))

FORMATS = Path(__file__).resolve().parent / "formats"
FLOAT32 = ExportOptions(precision="float32")


def written(
    path: Path,
    graph: onnx.ModelProto,
    options: ExportOptions = FLOAT32,
    expected: Mapping[str, Any] | None = None,
) -> Proof:
    """Write `graph`, a classifier of `LABELS` or with features, and prove it.

    `expected` changes what the description is to say.
    """
    outputs = tuple(value.name for value in graph.graph.output)
    labels = LABELS if outputs == ("targetProbability",) else None
    wanted = Expected(RULE, labels, outputs if labels is None else (), options=options)
    wanted = replace(wanted, **(expected or {}))
    common: dict[str, Any] = {"picture_rule": RULE, "metadata": {}, "options": options}

    def proof(file: Path) -> Proof:
        return prove(file, graph, pictures(), expected=wanted)

    if labels is None:
        found = write_backbone(graph, path, prove=proof, **common).proof
    else:
        found = write_classifier(graph, path, labels=labels, prove=proof, **common).proof
    assert isinstance(found, Proof)
    return found


# The report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Proof:
    if available() is not None:
        pytest.skip(str(available()))
    return written(
        tmp_path_factory.mktemp("report") / "P.mlpackage", convolutional(), ExportOptions()
    )


def test_a_proof_says_what_was_compared(report: Proof) -> None:
    counts = {check.letter: check.compared for check in report.checks}
    weights = sum(
        int(np.prod(tensor.dims))
        for tensor in convolutional().graph.initializer
        if tensor.name not in ("zero", "six")
    )
    assert counts["c"] > weights, "every weight, and parameters such as epsilon"
    assert counts["d"] == 23, "operators of the program that compute something"
    assert (counts["b"], counts["f"]) == (3, 3)
    assert report.unproven == ()
    assert report.types == ("float16",)


def test_a_float16_file_is_executed_in_both_arithmetics(report: Proof) -> None:
    plain, rounded = report.numbers
    assert (plain.arithmetic, rounded.arithmetic) == ("float32", "float16")
    assert 0 < plain.worst <= plain.gate == 2e-2
    assert 0 < rounded.worst <= rounded.gate


def test_a_proof_can_be_read_and_kept(report: Proof) -> None:
    text = str(report)
    for said in ("(a) executed in float16", "(c) ", "not proven: the phone's own crop"):
        assert said in text
    kept = json.loads(json.dumps(report.to_dict()))
    assert kept["numbers"][0]["gate"] == 2e-2
    assert kept["not_proven"]


def test_core_ml_itself_runs_on_a_mac_only(report: Proof) -> None:
    assert report.core_ml == "not asked: Core ML runs on macOS only"


# Weights


def test_float16_is_numpys_rounding_but_small_parameters_stay() -> None:
    smallest = 2.0**-24
    few = np.array([1e-12, -1e-9, 1e-8, 0, 6e-8, 0.1, 70000, -3e38], np.float32)
    expected = [smallest, -smallest, smallest, 0, smallest, 0.0999755859375, np.inf, -np.inf]
    assert as_float16(few).tolist() == expected
    assert as_float16(np.full(400, 1e-12, np.float32)).tolist() == [0] * 400


def test_eight_bits_are_steps_of_a_scale_for_each_channel() -> None:
    weight = np.array([[127, -254, 1], [0, 0, 0], [0.5, -1, 0.3]], np.float32)
    steps, scale = quantised(weight, 0)
    assert scale.ravel().tolist() == [2, 1, np.float32(1 / 127)]
    assert steps.tolist() == [[64, -127, 0], [0, 0, 0], [64, -127, 38]]


@pytest.mark.parametrize(
    ("saved", "reference", "said"),
    [
        ([1.0, 2.0], [1.0, 2.0], None),
        (2.0, [2.0, 2.0], None),
        ([0.0], [-0.0], None),
        ([1.0, 2.0], [1.0, np.nextafter(np.float32(2), np.float32(3))], "at [1] is 2.0"),
        ([1.0, np.nan], [1.0, 2.0], "1 of 2 numbers differ"),
        ([1.0, 2.0, 3.0], [1.0, 2.0], "has the shape [3]"),
    ],
)
def test_numbers_are_compared_bit_for_bit(
    saved: object, reference: object, said: str | None
) -> None:
    sides = [Constant(np.asarray(one, np.float32), "w") for one in (saved, reference)]
    found = difference("y", *sides, (2,))
    assert (found is None) if said is None else (found is not None and said in found)


@pytest.mark.parametrize(
    ("key", "neutral", "other"),
    [("bias", 0.0, 0.1), ("gamma", 1.0, 0.9), ("epsilon", 1e-45, 1e-12), ("high", np.inf, 6.0)],
)
def test_what_is_missing_says_the_neutral_number(key: str, neutral: float, other: float) -> None:
    for number, equal in ((neutral, True), (other, False)):
        constant = Constant(np.full(3, number, np.float32), "w")
        assert (difference(key, constant, None, (3,)) is None) == equal
        assert (difference(key, None, constant, (3,)) is None) == equal


# Numbers


def features(change: Any = None) -> onnx.ModelProto:
    """A convolution and its mean, with `change` (a function of sketch and value) between."""
    s = Sketch(4)
    x = s.conv("first", s.normalised(), 6, 3, 3, pads=[1, 1, 1, 1])
    x = x if change is None else change(s, x)
    return s.model(s.add("Flatten", "features", s.add("GlobalAveragePool", "pooled", x)))


@needs_coreml
def test_a_number_that_float16_cannot_hold_is_an_error_with_its_layer(tmp_path: Path) -> None:
    def change(s: Sketch, x: str) -> str:
        large = s.add("Mul", "large", s.add("Relu", "act", x), s.weight("up", 6e4))
        return str(s.add("Mul", "small", s.add("Relu", "act2", large), s.weight("down", 1e-3)))

    graph = features(change)
    with pytest.raises(ExportError, match=r"layer 'large_cast_fp16' .* float16 ends at 65504"):
        written(tmp_path / "P.mlpackage", graph, ExportOptions())
    assert not list(tmp_path.iterdir())
    assert written(tmp_path / "P.mlpackage", graph).largest[0] == "large"


@needs_coreml
@pytest.mark.parametrize("mask", [-1e9, float(np.finfo(np.float32).min)])
def test_masked_places_before_a_softmax_may_be_beyond_float16(tmp_path: Path, mask: float) -> None:
    def change(s: Sketch, x: str) -> str:
        column = np.zeros((1, 1, 1, WIDTH), np.float32)
        column[..., WIDTH // 2 :] = mask
        return str(s.add("Softmax", "shares", s.add("Add", "masked", x, s.weight("m", column))))

    assert written(tmp_path / "P.mlpackage", features(change), ExportOptions()).unproven == ()


@needs_coreml
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_weight_that_is_no_number_is_an_error(tmp_path: Path, number: float) -> None:
    graph = features()
    (weight,) = (one for one in graph.graph.initializer if one.name == "first.bias")
    weight.CopyFrom(onnx.numpy_helper.from_array(np.full(6, number, np.float32), weight.name))
    with pytest.raises(ExportError, match=r"first.*(is not finite|NaN)"):
        written(tmp_path / "P.mlpackage", graph)


@needs_coreml
def test_a_number_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no numbers"):
        written(tmp_path / "P.mlpackage", features(lambda s, x: s.add("Log", "logarithm", x)))


def tied(apart: float) -> onnx.ModelProto:
    """A classifier whose last two labels are best and have nearly the same score."""
    s = Sketch(5)
    x = s.add("Flatten", "features", s.add("GlobalAveragePool", "pooled", s.normalised()), axis=1)
    weight = np.zeros((len(LABELS), 3), np.float32)
    bias = np.array([0, 0, 0, 2, 2 + apart], np.float32)
    scores = s.add("Gemm", "scores", x, s.weight("w", weight), s.weight("b", bias), transB=1)
    return s.model(s.add("Softmax", "targetProbability", scores, axis=1))


@needs_coreml
def test_a_near_tie_is_reported_and_no_error(tmp_path: Path) -> None:
    """1e-4 apart is apart in float32 and the same in float16, where the first label wins."""
    for options in (FLOAT32, ExportOptions()):
        proof = written(tmp_path / "P.mlpackage", tied(1e-4), options)
        answers = [(tie.label, tie.answer) for tie in proof.near_ties]
        assert answers == ([] if options is FLOAT32 else [(LABELS[4], LABELS[3])] * 3)
        assert all(0 < tie.margin < 1e-4 for tie in proof.near_ties)
        assert str(proof).count("near tie") == len(answers)


@needs_coreml
def test_equal_scores_are_a_near_tie_whoever_wins(tmp_path: Path) -> None:
    proof = written(tmp_path / "P.mlpackage", tied(0))
    assert [tie.margin for tie in proof.near_ties] == [0, 0, 0]


class Moved(Oracle):
    """A reference that is off by a share of each number, and moves by itself by another."""

    def __init__(self, graph: onnx.ModelProto, off: float, moves: float) -> None:
        super().__init__(graph, (HEIGHT, WIDTH), ["features"])
        self._off, self._moves = off, moves

    def __call__(self, tensor: Floats) -> dict[str, Floats]:
        found = super().__call__(tensor)
        return {name: (value * (1 + self._off)).astype(np.float32) for name, value in found.items()}

    def unrest(self, tensor: Floats, step: float, times: int = 3) -> Mapping[str, float]:
        return {"features": self._moves}


@needs_coreml
@pytest.mark.parametrize(
    ("off", "moves", "passes"),
    [
        (1e-6, 0, True),
        (1e-3, 0, False),
        (1e-3, 1e-6, False),
        (1e-3, 1e-3, True),
    ],
)
def test_rounding_that_a_network_amplifies_is_no_error(
    tmp_path: Path, off: float, moves: float, passes: bool
) -> None:
    """Where the last bit of the picture moves the reference as much, no file can come closer."""
    graph = features()
    written(tmp_path / "P.mlpackage", graph)
    subject = subject_of(read_model(tmp_path / "P.mlpackage"), graph)

    def run() -> None:
        oracle = Moved(graph, off, moves)
        execute_all(subject.network, oracle, pictures(), subject.answers, "float32")

    if passes:
        run()
    else:
        with pytest.raises(ExportError, match=r"check \(a\).*differs by 0\.001"):
            run()


@needs_coreml
def test_the_reference_moves_with_the_last_bit_of_a_picture() -> None:
    def steep(s: Sketch, x: str) -> str:
        return str(s.add("Sin", "waves", s.add("Mul", "many", x, s.weight("steps", 1e4))))

    (picture,) = pictures(1)
    calm = Oracle(features(), (HEIGHT, WIDTH), ["features"]).unrest(picture, 2.0**-23)
    restless = Oracle(features(steep), (HEIGHT, WIDTH), ["features"]).unrest(picture, 2.0**-23)
    assert calm["features"] < 1e-6 < restless["features"]


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_what_has_no_counterpart_is_listed_and_executed(tmp_path: Path, suffix: str) -> None:
    def change(s: Sketch, x: str) -> str:
        weight = s.normal("up.weight", 6, 6, 3, 3)
        return str(s.add("ConvTranspose", "up", x, weight, strides=[2, 2], output_shape=[49, 65]))

    proof = written(tmp_path / f"P{suffix}", features(change))
    assert proof.unproven
    assert any("up" in one for one in proof.unproven)
    assert "proven by execution alone" in str(proof)
    assert proof.numbers[0].worst < 2e-5


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
@pytest.mark.parametrize(
    "equation",
    ["nchw,ndhw->ncdh", "nchw,ndhw->nchd", "nchw,nchd->nhwd", "nchw,ndhe->ndc", "nchw,mchv->wmv"],
)
def test_an_einstein_sum_is_proven(tmp_path: Path, suffix: str, equation: str) -> None:
    """Whole batches, sums over one letter or several, letters that stand in one tensor alone."""

    def change(s: Sketch, x: str) -> str:
        y = s.add("Relu", "act", x)
        return str(s.add("Einsum", "sums", x, y, equation=equation))

    s = Sketch(6)
    x = change(s, s.conv("first", s.normalised(), 6, 3, 8, strides=[8, 8]))
    graph = s.model(s.add("Tanh", "features", s.add("Mul", "small", x, s.weight("share", 1e-3))))
    assert written(tmp_path / f"P{suffix}", graph).unproven == ()


@needs_coreml
@pytest.mark.parametrize(
    ("last", "message"),
    [
        ((("Identity", {}),), "one is -"),
        ((("Sigmoid", {}),), "they sum to 2"),
        ((("Softmax", {"axis": 0}),), "they sum to 5"),
    ],
)
def test_scores_that_are_no_probabilities_are_an_error(
    tmp_path: Path, last: Any, message: str
) -> None:
    s = Sketch(7)
    x = s.add("Flatten", "features", s.add("GlobalAveragePool", "pooled", s.normalised()))
    x = s.add("Mul", "scores", s.dense("d", x, len(LABELS), 3), s.weight("share", 0.1))
    for operator, attributes in last:
        x = s.add(operator, "targetProbability", x, **attributes)
    with pytest.raises(ExportError, match=rf'no probabilities .*{message}.*scores="logits"'):
        written(tmp_path / "P.mlpackage", s.model(x))


# The description


@needs_coreml
@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({"picture_rule": {**RULE, "crop_and_scale": "scale_fit"}}, "the picture rule"),
        ({"picture_rule": {**RULE, "height": 25}}, r"image size \(24, 32\) instead of \(25, 32\)"),
        ({"metadata": {"author": "Ada"}}, "author '' instead of 'Ada'"),
        ({"metadata": {"note": "x"}}, "user-defined metadata"),
        ({"details": {"training": {"counts": 3}}}, "training"),
        ({"labels": LABELS[::-1]}, "the labels"),
        ({"labels": ("é", "b", "c", "d", "e\u0301")}, "labels that occur twice"),
        ({"options": replace(FLOAT32, layout="BGR")}, "colour space 20 instead of 30"),
        ({"options": replace(FLOAT32, target="iOS17")}, "specification version 6 instead of 8"),
        ({"options": replace(FLOAT32, label_name="classLabel")}, "the outputs"),
    ],
)
def test_the_description_must_say_what_was_asked_for(
    tmp_path: Path, expected: dict[str, Any], message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        written(tmp_path / "P.mlpackage", convolutional(), expected=expected)


@needs_coreml
def test_a_file_of_another_tool_may_have_a_newer_version(tmp_path: Path) -> None:
    """Also where it is compared with what silverprint's model says."""
    graph, path = convolutional(), tmp_path / "P.mlpackage"
    written(path, graph)
    copy = Copy(path, tmp_path)
    copy.spec.specificationVersion += 1
    expected = Expected(RULE, LABELS, options=FLOAT32)
    assert prove(copy.save(), graph, pictures(), expected=expected, own=False).unproven == ()
    for own in (True, None):
        with pytest.raises(ExportError, match="the specification version 7 instead of 6"):
            prove(copy.path, graph, pictures(), expected=expected, own=own)


@needs_coreml
def test_float16_in_a_float32_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="float16 values in a float32 file"):
        written(tmp_path / "P.mlpackage", convolutional(), ExportOptions(), {"options": FLOAT32})


@needs_coreml
@pytest.mark.parametrize("suffix", [".mlpackage", ".mlmodel"])
def test_bgr_planes_are_followed_through_the_normalisation(tmp_path: Path, suffix: str) -> None:
    options = ExportOptions(precision="float32", layout="BGR")
    assert written(tmp_path / f"P{suffix}", convolutional(), options).unproven == ()
