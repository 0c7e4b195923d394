"""From a MIL program to a NeuralNetwork, the format of ``.mlmodel``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from silverprint.errors import ExportError
from silverprint.export.coreml.names import IMAGE
from silverprint.export.coreml.options import ExportOptions
from silverprint.export.coreml.translate.mlprogram import apply_last_passes, apply_passes
from silverprint.export.coreml.translate.precision import HEAD_LIMIT, largest_in_head
from silverprint.export.coreml.translate.quantize import quantize_network

_HEAD = {
    *("softmax", "softmaxND", "innerProduct", "batchedMatmul", "activation", "add"),
    *("addBroadcastable", "multiply", "multiplyBroadcastable", "bias", "loadConstantND"),
}
"""Layers that a head may be made of, from the probabilities back to the features."""


def to_neural_network(
    program: Any,
    size: tuple[int, int],
    options: ExportOptions,
    *,
    labels: Sequence[str] | None,
) -> Any:
    """The Model protobuf of `program`, weights and all.

    Its input is an image of `size` (height, width). With `labels` it is a classifier; then the
    one output of `program` has the name of the probabilities. `program` is changed. To be called
    inside `library.quiet`.

    Raises ExportError: operations that a NeuralNetwork does not have (all of them).
    """
    from coremltools.converters.mil.backend.nn.load import load

    apply_passes(program, "neuralnetwork", options)
    large_head = largest_in_head(program) > HEAD_LIMIT
    apply_last_passes(program, "neuralnetwork")
    shapes = {
        value.name: [int(side) for side in value.shape]
        for value in program.functions["main"].outputs
    }
    _check_operations(program)
    spec = load(program)
    _take_image(spec, size, options)
    for output in spec.description.output:
        output.type.multiArrayType.shape[:] = shapes[output.name]
    if labels is not None:
        _make_classifier(spec, labels, options)
    layers = _network(spec).layers
    kept = _head_layers(layers) if large_head else set()
    quantize_network([layer for layer in layers if layer.name not in kept], options)
    return spec


def _check_operations(program: Any) -> None:
    from coremltools.converters.mil.backend.nn.op_mapping import MIL_TO_NN_MAPPING_REGISTRY

    missing: dict[str, list[str]] = {}
    for operation in program.functions["main"].operations:
        if operation.op_type not in MIL_TO_NN_MAPPING_REGISTRY or _repeats_partly(operation):
            missing.setdefault(operation.op_type, []).append(operation.name)
    if missing:
        lines = [f"  {kind}: {', '.join(names)}" for kind, names in sorted(missing.items())]
        raise ExportError(
            "these operations do not exist in a NeuralNetwork:\n"
            + "\n".join(lines)
            + "\nwrite a .mlpackage instead"
        )


def _repeats_partly(operation: Any) -> bool:
    """Whether it repeats pixels a part of a time, which no layer does."""
    if operation.op_type != "upsample_nearest_neighbor":
        return False
    factors = (operation.scale_factor_height.val, operation.scale_factor_width.val)
    return any(factor != round(float(factor)) for factor in factors)


def _take_image(spec: Any, size: tuple[int, int], options: ExportOptions) -> None:
    from coremltools.proto import FeatureTypes_pb2, NeuralNetwork_pb2

    (given,) = spec.description.input
    assert given.name == IMAGE
    given.ClearField("type")
    image = given.type.imageType
    image.height, image.width = size
    image.colorSpace = FeatureTypes_pb2.ImageFeatureType.ColorSpace.Value(options.layout)
    # Values keep the ranks that the program gives them; a picture is [1, 3, height, width].
    spec.neuralNetwork.arrayInputShapeMapping = NeuralNetwork_pb2.EXACT_ARRAY_MAPPING
    spec.neuralNetwork.imageInputShapeMapping = NeuralNetwork_pb2.RANK4_IMAGE_MAPPING


def _make_classifier(spec: Any, labels: Sequence[str], options: ExportOptions) -> None:
    from coremltools.proto import NeuralNetwork_pb2

    network = spec.neuralNetwork
    classifier = NeuralNetwork_pb2.NeuralNetworkClassifier(
        layers=network.layers,
        arrayInputShapeMapping=network.arrayInputShapeMapping,
        imageInputShapeMapping=network.imageInputShapeMapping,
        labelProbabilityLayerName=options.probability_name,
    )
    classifier.stringClassLabels.vector.extend(labels)
    spec.neuralNetworkClassifier.CopyFrom(classifier)
    description = spec.description
    del description.output[:]
    description.output.add(name=options.label_name).type.stringType.SetInParent()
    probabilities = description.output.add(name=options.probability_name)
    probabilities.type.dictionaryType.stringKeyType.SetInParent()
    description.predictedFeatureName = options.label_name
    description.predictedProbabilitiesName = options.probability_name


def _network(spec: Any) -> Any:
    return getattr(spec, spec.WhichOneof("Type"))


def _head_layers(layers: Sequence[Any]) -> set[str]:
    """Names of the layers between the features and the softmax at the end."""
    producers = {name: layer for layer in layers for name in layer.output}
    pending, found = [layers[-1]], set()
    while pending:
        layer = pending.pop()
        if layer.WhichOneof("layer") in _HEAD:
            found.add(layer.name)
            pending += [producers[name] for name in layer.input if name in producers]
    return found
