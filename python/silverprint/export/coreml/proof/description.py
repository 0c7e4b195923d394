"""What a saved file says about itself, held against what it was written from: check (e)."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from silverprint.export.coreml.describe import STANDARD
from silverprint.export.coreml.names import COREMLTOOLS, IMAGE, OURS, PICTURE_RULE, PREVIEW_TYPE
from silverprint.export.coreml.options import ExportOptions
from silverprint.export.coreml.proof.detector import Detector, check_detector
from silverprint.export.coreml.proof.same import same
from silverprint.export.coreml.protobuf import ARRAYS, COLOURS, FLOAT16, FLOAT32, STRING
from silverprint.export.coreml.reader import SavedModel, main_block, tensor_shape

_VERSIONS = {"iOS15": 6, "iOS16": 7, "iOS17": 8, "iOS18": 9, "iOS26": 10}


@dataclass(frozen=True)
class Expected:
    """What a file was written from.

    Attributes:
        picture_rule: with ``height``, ``width``, ``crop_and_scale`` and ``version``.
        labels: of a classifier or detector, in order; None for a feature extractor.
        outputs: names of the tensors that a feature extractor gives.
        metadata, details: as given to `write_classifier`; None for `metadata` compares neither.
        options: how it was to be written.
        detector: thresholds of a detector; None for anything else.
    """

    picture_rule: Mapping[str, Any]
    labels: tuple[str, ...] | None = None
    outputs: tuple[str, ...] = ()
    metadata: Mapping[str, str] | None = field(default_factory=dict)
    details: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    options: ExportOptions = field(default_factory=ExportOptions)
    detector: Detector | None = None


def check_description(saved: SavedModel, expected: Expected) -> int:
    """Compare all that the description of `saved` says; how many things were compared.

    Raises ExportError naming the first difference: image input (name, colour layout, size),
    outputs, predicted features, labels and their order, names of values, metadata, precision,
    thresholds and wiring of a detector.
    """
    spec = saved.spec
    size = (int(expected.picture_rule["height"]), int(expected.picture_rule["width"]))
    count = _check_image(spec, size, expected)
    if expected.metadata is not None:
        count += _check_metadata(spec, expected, expected.metadata)
    labels = expected.labels
    if labels is not None:
        spelled = Counter(unicodedata.normalize("NFC", label) for label in labels)
        same("labels that occur twice", [one for one, n in spelled.items() if n > 1], [])
    if expected.detector is not None:
        same("a model of the kind", spec.WhichOneof("Type"), "pipeline")
        return count + check_detector(spec, labels or (), expected.detector)
    kind = spec.WhichOneof("Type")
    if saved.path.suffix in (".mlpackage", ".mlmodel"):
        count += _check_kind(spec, saved.path.suffix, expected)
    count += _check_outputs(spec, expected)
    if kind == "mlProgram":
        return count + _check_program(spec, size, expected)
    return count + _check_network(getattr(spec, kind), expected)


def _check_kind(spec: Any, suffix: str, expected: Expected) -> int:
    network = "neuralNetwork" if expected.labels is None else "neuralNetworkClassifier"
    kinds = {".mlpackage": "mlProgram", ".mlmodel": network}
    same("a model of the kind", spec.WhichOneof("Type"), kinds[suffix])
    return 1


def _check_image(spec: Any, size: tuple[int, int], expected: Expected) -> int:
    names = [feature.name for feature in spec.description.input]
    same("the inputs", names[:1] if expected.detector else names, [IMAGE])
    image = spec.description.input[0].type
    same("an input of the type", image.WhichOneof("Type"), "imageType")
    same("the colour space", image.imageType.colorSpace, COLOURS[expected.options.layout])
    same("the image size", (image.imageType.height, image.imageType.width), size)
    same("flexible sizes", image.imageType.WhichOneof("SizeFlexibility"), None)
    return 5


def _check_outputs(spec: Any, expected: Expected) -> int:
    description, options = spec.description, expected.options
    outputs = list(description.output)
    names = [feature.name for feature in outputs]
    if expected.labels is None:
        same("the outputs", names, list(expected.outputs))
        for feature in outputs:
            kind = feature.type.WhichOneof("Type")
            same(f"the output {feature.name!r} of the type", kind, "multiArrayType")
            number = ARRAYS.get(feature.type.multiArrayType.dataType)
            same(f"the output {feature.name!r} with numbers of the type", number, FLOAT32)
        same("a predicted feature", description.predictedFeatureName, "")
        return 2 + 2 * len(outputs)
    same("the outputs", names, [options.label_name, options.probability_name])
    types = [feature.type.WhichOneof("Type") for feature in outputs]
    same("outputs of the types", types, ["stringType", "dictionaryType"])
    keys = outputs[1].type.dictionaryType.WhichOneof("KeyType")
    same("probabilities with keys of the type", keys, "stringKeyType")
    same("the predicted feature", description.predictedFeatureName, options.label_name)
    predicted = description.predictedProbabilitiesName
    same("the predicted probabilities", predicted, options.probability_name)
    return 5


def _check_program(spec: Any, size: tuple[int, int], expected: Expected) -> int:
    options = expected.options
    if options.target is not None:
        same("the specification version", spec.specificationVersion, _VERSIONS[options.target])
    inputs = [
        (value.name, tensor_shape(value.type.tensorType))
        for value in spec.mlProgram.functions["main"].inputs
    ]
    same("the program input", inputs, [(IMAGE, (1, 3, *size))])
    block = main_block(spec)
    operations = list(block.operations)
    names = Counter(value.name for operation in operations for value in operation.outputs)
    names[IMAGE] += 1
    same("values of one name", [name for name, count in names.items() if count > 1], [])
    if options.precision == "float32":
        rounded = [
            value.name
            for operation in operations
            for value in operation.outputs
            if value.type.tensorType.dataType == FLOAT16
        ]
        same("float16 values in a float32 file", rounded[:1], [])
    if expected.labels is None:
        same("the program outputs", list(block.outputs), list(expected.outputs))
        return 5
    results = [options.label_name, options.probability_name]
    same("the program outputs", list(block.outputs), results)
    same("a last operation", [one.type for one in operations[-1:]], ["classify"])
    last = operations[-1]
    same("results", [value.name for value in last.outputs], results)
    same("the labels", _classes(last), list(expected.labels))
    sources = {argument.name for argument in last.inputs["probabilities"].arguments}
    shapes = [
        tensor_shape(value.type.tensorType)
        for operation in operations
        for value in operation.outputs
        if value.name in sources
    ]
    same("probabilities of the shape", shapes, [(1, len(expected.labels))])
    return 8 + len(expected.labels)


def labels_of(spec: Any) -> list[str]:
    """The labels of a classifier, of either format, as the file has them."""
    if spec.WhichOneof("Type") == "mlProgram":
        found = [one for one in main_block(spec).operations if one.type == "classify"]
        return [label for one in found for label in _classes(one)]
    return list(getattr(spec, spec.WhichOneof("Type")).stringClassLabels.vector)


def _classes(classify: Any) -> list[str]:
    return [
        text
        for argument in classify.inputs["classes"].arguments
        for value in argument.value.immediateValue.list.values
        if value.type.tensorType.dataType == STRING
        for text in value.immediateValue.tensor.strings.values
    ]


def _check_network(network: Any, expected: Expected) -> int:
    for step in network.preprocessing:
        scaler = step.scaler
        found = (scaler.channelScale, scaler.redBias, scaler.greenBias, scaler.blueBias)
        same("a scale and biases of the image beside the network's own", found, (1, 0, 0, 0))
    same("an image mapped to", network.imageInputShapeMapping, 1)
    same("arrays mapped to", network.arrayInputShapeMapping, 1)
    outputs = Counter(name for layer in network.layers for name in layer.output)
    same("values of one name", [name for name, count in outputs.items() if count > 1], [])
    if expected.labels is None:
        return 4
    same("labels of the kind", network.WhichOneof("ClassLabels"), "stringClassLabels")
    same("the labels", list(network.stringClassLabels.vector), list(expected.labels))
    source = network.labelProbabilityLayerName
    same("probabilities from", source, expected.options.probability_name)
    return 6 + len(expected.labels)


def _check_metadata(spec: Any, expected: Expected, metadata: Mapping[str, str]) -> int:
    written = spec.description.metadata
    for key, attribute in STANDARD.items():
        same(f"the {key}", getattr(written, attribute), metadata.get(key, ""))
    found = {
        key: value for key, value in written.userDefined.items() if not key.startswith(COREMLTOOLS)
    }
    rule = found.pop(PICTURE_RULE, "{}")
    same("the user-defined metadata: the picture rule", _json(rule), dict(expected.picture_rule))
    for key, record in expected.details.items():
        text = found.pop(OURS + key, "{}")
        same(f"the user-defined metadata: {key}", _json(text), _json(json.dumps(record)))
    kind = found.pop(PREVIEW_TYPE, None)
    classifier = expected.labels is not None and expected.detector is None
    same("the preview type", kind, "imageClassifier" if classifier else None)
    extras = {key: value for key, value in metadata.items() if key not in STANDARD}
    if expected.detector is not None:
        extras["classes"] = ",".join(expected.labels or ())
    same("the user-defined metadata", found, extras)
    return len(STANDARD) + 3 + len(extras) + len(expected.details)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
