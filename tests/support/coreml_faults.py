"""Faults planted in copies of saved Core ML files, each of which the proof must find.

Run as a script, it prints docs/coreml-proof.md.
"""

from __future__ import annotations

import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.proof.declared import check_declared
from silverprint.export.coreml.proof.description import check_description
from silverprint.export.coreml.proof.form import check_form
from silverprint.export.coreml.proof.numbers import execute_all
from silverprint.export.coreml.proof.oracle import Oracle
from silverprint.export.coreml.proof.structure import compare_structure
from silverprint.export.coreml.proof.subject import subject_of
from silverprint.export.coreml.reader import read_model
from support import coreml_form_faults  # noqa: F401 - registers its faults
from support.coreml_copies import BASES, Base, Copy, write_detector
from support.coreml_networks import detector, pictures
from support.coreml_planting import FAULTS, Fault, fault

Array = np.ndarray[Any, Any]

READING = "reading"
"""Stands for the reader, which refuses a damaged file before any check."""


# The description

_CLASSIFIERS = ("cnn", "cnn .mlmodel")


@fault("red and blue planes swapped", *_CLASSIFIERS)
def _(copy: Copy) -> None:
    copy.spec.description.input[0].type.imageType.colorSpace = 30


@fault("height and width swapped", *_CLASSIFIERS)
def _(copy: Copy) -> None:
    image = copy.spec.description.input[0].type.imageType
    image.height, image.width = image.width, image.height


def _texts(copy: Copy) -> Any:
    if copy.spec.WhichOneof("Type") == "mlProgram":
        (classify,) = copy.operations("classify")
        return classify.inputs["classes"].arguments[0].value.immediateValue.list.values
    return copy.network.stringClassLabels.vector


@fault("two labels swapped", "cnn")
def _(copy: Copy) -> None:
    first, second = (one.immediateValue.tensor.strings.values for one in _texts(copy)[:2])
    first[0], second[0] = second[0], first[0]


@fault("two labels swapped", "cnn .mlmodel")
def _(copy: Copy) -> None:
    labels = _texts(copy)
    labels[0], labels[1] = labels[1], labels[0]


@fault("a label left out", *_CLASSIFIERS)
def _(copy: Copy) -> None:
    del _texts(copy)[-1]


@fault("a label twice", "cnn .mlmodel")
def _(copy: Copy) -> None:
    _texts(copy)[1] = _texts(copy)[0]


@fault("another name of an output", *_CLASSIFIERS)
def _(copy: Copy) -> None:
    copy.spec.description.output[1].name = "targetProbabilities"


@fault("the image scaled once more", "cnn .mlmodel")
def _(copy: Copy) -> None:
    step = copy.network.preprocessing.add()
    step.featureName = "image"
    step.scaler.channelScale = 1 / 255


@fault("the image scaled once more", "cnn")
def _(copy: Copy) -> None:
    centred = copy.giving("centred")
    scaled = type(centred)()
    scaled.CopyFrom(centred)
    scaled.type = "mul"
    scaled.outputs[0].name = "scaled"
    copy.block.operations.insert(list(copy.block.operations).index(centred), scaled)
    centred.inputs["x"].arguments[0].name = "scaled"
    copy.set(scaled, "y", np.full(3, 1 / 255, np.float32))


# Weights


def _flip(numbers: Array, bit: int) -> None:
    numbers.reshape(-1)[:1].view(f"u{numbers.itemsize}")[:] ^= np.array(
        1 << bit, f"u{numbers.itemsize}"
    )


@fault("the lowest bit of a weight", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    _flip(copy.numbers(copy.giving("block1"), "weight"), 0)


@fault("an exponent bit of a weight", "cnn")
def _(copy: Copy) -> None:
    _flip(copy.numbers(copy.giving("block1"), "weight"), 26)


@fault("an exponent bit of a weight", "cnn float16")
def _(copy: Copy) -> None:
    _flip(copy.numbers(copy.giving("block1"), "weight"), 13)


@fault("the lowest bit of a weight", "vit", "vit float16")
def _(copy: Copy) -> None:
    _flip(copy.numbers(copy.operations("linear")[1], "weight"), 0)


@fault("the lowest bit of a weight", "cnn .mlmodel", "vit .mlmodel")
def _(copy: Copy) -> None:
    kind = "convolution" if len(copy.layers("convolution")) > 1 else "innerProduct"
    stored = copy.layers(kind)[1].weights.floatValue
    stored[0] = float(np.nextafter(np.float32(stored[0]), np.float32(9)))


@fault("an exponent bit of a weight", "cnn .mlmodel", "vit .mlmodel")
def _(copy: Copy) -> None:
    kind = "convolution" if len(copy.layers("convolution")) > 1 else "innerProduct"
    stored = copy.layers(kind)[1].weights.floatValue
    stored[0] = stored[0] * 16


@fault("weights of two blocks swapped", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    first, second = (copy.giving(name).inputs["weight"].arguments[0] for name in _TWO)
    first.name, second.name = second.name, first.name


_TWO = ("block1", "block2")


@fault("weights of two blocks swapped", "cnn .mlmodel")
def _(copy: Copy) -> None:
    first, second = (copy.layer(name).convolution.weights for name in _TWO)
    kept = list(first.floatValue)
    first.floatValue[:] = second.floatValue
    second.floatValue[:] = kept


@fault("weights of two blocks swapped", "vit", "vit float16")
def _(copy: Copy) -> None:
    norms = copy.operations("layer_norm")
    first, second = (norms[number].inputs["gamma"].arguments[0] for number in (0, 2))
    first.name, second.name = second.name, first.name


@fault("a square matrix transposed", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    numbers = copy.numbers(copy.giving("mixed"), "y")
    numbers[:] = numbers.T.copy()


@fault("a square matrix transposed", "vit", "vit float16")
def _(copy: Copy) -> None:
    squares = [copy.numbers(one, "weight") for one in copy.operations("linear")]
    numbers = next(one for one in squares if one.shape == (16, 16))
    numbers[:] = numbers.T.copy()


@fault("a square matrix transposed", "vit .mlmodel")
def _(copy: Copy) -> None:
    one = next(p for p in copy.layers("innerProduct") if p.inputChannels == p.outputChannels)
    matrix = np.array(one.weights.floatValue, np.float32).reshape(16, 16)
    one.weights.floatValue[:] = matrix.T.reshape(-1).tolist()


@fault("a bias left out", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    del copy.giving("depthwise").inputs["bias"]


@fault("a bias left out", "cnn .mlmodel")
def _(copy: Copy) -> None:
    copy.layer("depthwise").convolution.hasBias = False


@fault("mean and deviation of red and blue swapped", "cnn")
def _(copy: Copy) -> None:
    for name in ("centred", "_inversed_normalised"):
        operation = copy.giving(name)
        value = copy.source(operation, "y").attributes["val"]
        numbers = list(value.immediateValue.tensor.floats.values)
        copy.set(operation, "y", np.array(numbers[::-1], np.float32))


@fault("1/255 as 1/256 in the normalisation", "cnn")
def _(copy: Copy) -> None:
    operation = copy.giving("_inversed_normalised")
    value = copy.source(operation, "y").attributes["val"]
    numbers = np.array(value.immediateValue.tensor.floats.values, np.float32)
    copy.set(operation, "y", numbers * np.float32(255 / 256))


@fault("epsilon of a batch norm 1e-5 as 1e-3", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("batch_norm")[0], "epsilon", np.float32(1e-3))


@fault("epsilon of a batch norm 1e-5 as 1e-3", "cnn .mlmodel")
def _(copy: Copy) -> None:
    copy.layers("batchnorm")[0].epsilon = 1e-3


@fault("epsilon of a layer norm 1e-6 as 1e-5", "vit", "vit float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("layer_norm")[0], "epsilon", np.float32(1e-5))


@fault("epsilon of a layer norm 1e-6 as 1e-12", "vit", "vit float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("layer_norm")[0], "epsilon", np.float32(1e-12))


@fault("epsilon of a layer norm 1e-6 as 1e-5", "vit .mlmodel")
def _(copy: Copy) -> None:
    copy.layers("mvn")[0].epsilon = 1e-5


_EIGHT_BITS = ("vit 8 bits", "vit 8 bits iOS18")


@fault("one step of an 8-bit weight", *_EIGHT_BITS)
def _(copy: Copy) -> None:
    _, start = _quantised(copy)
    copy.weights[start] = (copy.weights[start] + 1) % 256


@fault("zero point of an 8-bit weight", "vit 8 bits")
def _(copy: Copy) -> None:
    operation, _ = _quantised(copy)
    operation.attributes["zero_point"].immediateValue.tensor.bytes.values = b"\x01"


@fault("an offset of an 8-bit weight", "vit 8 bits iOS18")
def _(copy: Copy) -> None:
    operation, _ = _quantised(copy)
    inputs = operation.inputs
    inputs["offset"].CopyFrom(inputs["scale"])
    offset = inputs["offset"].arguments[0].value
    count = inputs["scale"].arguments[0].value.type.tensorType.dimensions[0].constant.size
    offset.type.tensorType.dataType = 21  # MIL_pb2.DataType: int8
    offset.ClearField("blobFileValue")
    offset.immediateValue.tensor.bytes.values = b"\x01" * count


def _quantised(copy: Copy) -> tuple[Any, int]:
    """The first weight of 8 bits, and where its numbers begin in weight.bin."""
    operation = next(one for one in copy.block.operations if one.type.startswith("constexpr_"))
    old = "quantized_data" in operation.attributes
    return operation, _start(copy, operation, "quantized_data" if old else "data")


def _start(copy: Copy, operation: Any, parameter: str) -> int:
    """Up to iOS 17 what a compressed weight is made of are attributes, then inputs."""
    if parameter in operation.attributes:
        value = operation.attributes[parameter]
    else:
        value = operation.inputs[parameter].arguments[0].value
    return int(struct.unpack_from("<IIQQ", copy.weights, value.blobFileValue.offset)[3])


@fault("the scale of an 8-bit weight", *_EIGHT_BITS)
def _(copy: Copy) -> None:
    operation, _ = _quantised(copy)
    copy.weights[_start(copy, operation, "scale")] ^= 1


@fault("one step of an 8-bit weight", "vit .mlmodel 8 bits")
def _(copy: Copy) -> None:
    one = next(p.weights for p in copy.layers("convolution") if p.weights.rawValue)
    stored = bytearray(one.rawValue)
    stored[5] ^= 1
    one.rawValue = bytes(stored)


@fault("the scale of an 8-bit weight", "vit .mlmodel 8 bits")
def _(copy: Copy) -> None:
    one = next(p.weights for p in copy.layers("convolution") if p.weights.rawValue)
    linear = one.quantization.linearQuantization
    linear.scale[0] *= 2
    linear.bias[0] *= 2


# Parameters


@fault("padding 1, 1 as 0, 2", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.set(copy.giving("block1"), "pad", np.array([0, 2, 1, 1], np.int32))


@fault("padding 1, 1 as 0, 2", "cnn .mlmodel")
def _(copy: Copy) -> None:
    border = copy.layer("block1").convolution.valid.paddingAmounts.borderAmounts[0]
    border.startEdgeSize, border.endEdgeSize = 0, 2


@fault("relu6 as relu", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    operation = copy.giving("stem_act")
    operation.type = "relu"
    for parameter in ("alpha", "beta"):
        operation.inputs.pop(parameter, None)


@fault("relu6 as relu7", "cnn .mlmodel")
def _(copy: Copy) -> None:
    copy.layer("stem.act").clip.maxVal = 7


@fault("groups 2 as 4", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.set(copy.giving("grouped"), "groups", np.int32(4))


@fault("groups 2 as 4", "cnn .mlmodel")
def _(copy: Copy) -> None:
    copy.layer("grouped").convolution.nGroups = 4


@fault("padding counted in averages", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("avg_pool")[0], "exclude_padding_from_average", np.bool_(False))


@fault("padding counted in averages", "cnn .mlmodel")
def _(copy: Copy) -> None:
    copy.layer("average").pooling.avgPoolExcludePadding = False


@fault("the last windows of a pool left out", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("max_pool")[0], "ceil_mode", np.bool_(False))


@fault("the last windows of a pool left out", "cnn .mlmodel")
def _(copy: Copy) -> None:
    copy.layer("largest").pooling.valid.SetInParent()


@fault("softmax left out", "cnn")
def _(copy: Copy) -> None:
    (softmax,) = copy.operations("softmax")
    (classify,) = copy.operations("classify")
    classify.inputs["probabilities"].arguments[0].name = softmax.inputs["x"].arguments[0].name


@fault("softmax left out", "cnn .mlmodel")
def _(copy: Copy) -> None:
    softmax = next(one for one in copy.network.layers if "softmax" in one.WhichOneof("layer"))
    softmax.activation.linear.alpha = 1


@fault("softmax along another axis", "vit", "vit float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("softmax")[0], "axis", np.int32(-2))


@fault("softmax along another axis", "vit .mlmodel")
def _(copy: Copy) -> None:
    copy.layers("softmaxND")[0].axis = -2


@fault("GELU by tanh", "vit", "vit float16")
def _(copy: Copy) -> None:
    copy.set(copy.operations("gelu")[0], "mode", "TANH_APPROXIMATION")


@fault("GELU by tanh", "vit .mlmodel")
def _(copy: Copy) -> None:
    copy.layers("gelu")[0].mode = 1


@fault("class token 0 as 1", "vit", "vit float16")
def _(copy: Copy) -> None:
    (operation,) = copy.operations("slice_by_index")
    copy.set(operation, "begin", np.array([0, 1, 0], np.int32))
    copy.set(operation, "end", np.array([1, 2, 16], np.int32))


@fault("query, key and value in another order", "vit", "vit float16")
def _(copy: Copy) -> None:
    operation = next(
        one
        for one in copy.operations("transpose")
        if len(one.outputs[0].type.tensorType.dimensions) == 5
    )
    copy.set(operation, "perm", np.array([2, 0, 1, 3, 4], np.int32))


@fault("heads taken for places", "vit .mlmodel")
def _(copy: Copy) -> None:
    order = next(one.axes for one in copy.layers("transpose") if len(one.axes) == 5)
    order[:] = [2, 0, 1, 3, 4]


@fault("query and key swapped", "vit", "vit float16")
def _(copy: Copy) -> None:
    (split, *_) = copy.operations("split")
    first, second = split.outputs[0].name, split.outputs[1].name
    split.outputs[0].name, split.outputs[1].name = second, first


# The file


@fault("weight.bin cut short", "cnn", "vit float16")
def _(copy: Copy) -> None:
    del copy.weights[-40:]


@fault("a weight looked for 64 bytes further on", "cnn", "vit float16")
def _(copy: Copy) -> None:
    kind = "conv" if len(copy.operations("conv")) > 1 else "linear"
    value = copy.source(copy.operations(kind)[1], "weight").attributes["val"]
    value.blobFileValue.offset += 64


@fault("another sentinel before a weight", "cnn", "vit float16")
def _(copy: Copy) -> None:
    kind = "conv" if len(copy.operations("conv")) > 1 else "linear"
    value = copy.source(copy.operations(kind)[1], "weight").attributes["val"]
    copy.weights[value.blobFileValue.offset] ^= 1


# Detectors

_DETECTOR = "detector .mlmodel"


def _suppression(copy: Copy) -> Any:
    return copy.spec.pipeline.models[1].nonMaximumSuppression


@fault("confidence and coordinates swapped", _DETECTOR)
def _(copy: Copy) -> None:
    nms = _suppression(copy)
    nms.confidenceInputFeatureName = "raw_coordinates"
    nms.coordinatesInputFeatureName = "raw_confidence"


@fault("the outputs swapped", _DETECTOR)
def _(copy: Copy) -> None:
    nms = _suppression(copy)
    nms.confidenceOutputFeatureName = "coordinates"
    nms.coordinatesOutputFeatureName = "confidence"


@fault("another threshold of the overlap", _DETECTOR)
def _(copy: Copy) -> None:
    _suppression(copy).iouThreshold = 0.5


@fault("the two thresholds swapped", _DETECTOR)
def _(copy: Copy) -> None:
    nms = _suppression(copy)
    nms.iouThresholdInputFeatureName = "confidenceThreshold"
    nms.confidenceThresholdInputFeatureName = "iouThreshold"


@fault("suppression by label", _DETECTOR)
def _(copy: Copy) -> None:
    _suppression(copy).pickTop.perClass = True


@fault("two labels swapped", _DETECTOR)
def _(copy: Copy) -> None:
    labels = _suppression(copy).stringClassLabels.vector
    labels[0], labels[1] = labels[1], labels[0]


@fault("a threshold that must be given", _DETECTOR)
def _(copy: Copy) -> None:
    copy.spec.description.input[1].type.isOptional = False


def _rewritten(copy: Copy, **faults: bool) -> None:
    """The network of a graph with a fault in it."""
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / f"other{copy.path.suffix}"
        write_detector(other, detector(**faults), BASES[_DETECTOR].options)
        network = read_model(other).spec.pipeline.models[0]
    copy.spec.pipeline.models[0].CopyFrom(network)


fault("corners instead of centres of boxes", _DETECTOR)(partial(_rewritten, corners=True))
fault("boxes divided by the other side", _DETECTOR)(partial(_rewritten, wrong_side=True))


# What finds what


def findings(path: Path, base: Base) -> dict[str, str]:
    """By the letter of a check (or `READING`) what it says about the file at `path`."""
    try:
        saved = read_model(path)
    except ExportError as error:
        return {READING: str(error).replace(str(path), path.name)}
    reference, expected = base.network(), base.expected
    kind = "int8" if base.options.weights else base.options.precision

    def declared() -> None:
        check_declared(subject_of(saved, reference, expected).network)

    def structure() -> None:
        subject = subject_of(saved, reference, expected)
        compare_structure(subject.network, reference, subject.answers, subject.size)

    def execution() -> None:
        subject = subject_of(saved, reference, expected)
        oracle = Oracle(reference, subject.size, subject.answers.wanted)
        execute_all(subject.network, oracle, pictures(), subject.answers, kind)

    def form() -> None:
        check_form(saved.spec, own=True)

    def description() -> None:
        check_description(saved, expected)

    found: dict[str, str] = {}
    for check in (form, description, declared, structure, execution):
        try:
            check()
        except ExportError as error:
            found.setdefault(_letter(str(error)), str(error))
    return {READING: found[READING]} if READING in found else found


def _letter(text: str) -> str:
    return text[7] if text.startswith("check (") else READING


def planted(files: Mapping[str, Path], one: Fault, folder: Path) -> Path:
    copy = Copy(files[one.base], folder)
    one.change(copy)
    return copy.save()


def rows(files: Mapping[str, Path], folder: Path) -> Iterator[tuple[Fault, dict[str, str]]]:
    for one in FAULTS:
        yield one, findings(planted(files, one, folder), BASES[one.base])


def page(found: Mapping[str, list[str]]) -> str:
    """docs/coreml-proof.md, from the letters by the id of a fault."""
    whats = list(dict.fromkeys(one.what for one in FAULTS))
    lines = [
        "# Planted faults",
        "",
        "Each fault is made in a copy of a saved file; the proof must find every one. The letters",
        "are those of [the proof](coreml.md#the-proof): (a) execution, (b) shapes and types,",
        "(c) weights bit for bit, (d) parameters of operators, (e) the description, (f) the label",
        "of the largest probability; *reading* is the reader, which refuses a damaged file. Every",
        "check is run by itself: where only one letter stands, the others would have let the fault",
        "pass. The table is written by `tests/support/coreml_faults.py` and compared by the tests.",
        "",
        "| fault | file | found by |",
        "| --- | --- | --- |",
    ]
    for what in whats:
        for one in FAULTS:
            if one.what == what:
                letters = ", ".join(found[one.id])
                lines.append(f"| {what} | {one.base} | {letters} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        written = {}
        for name, base in BASES.items():
            (folder / name).mkdir()
            written[name] = base.write(folder / name)
        (folder / "copies").mkdir()
        table = {one.id: sorted(found) for one, found in rows(written, folder / "copies")}
    sys.stdout.write(page(table))
