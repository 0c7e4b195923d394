"""Computes a NeuralNetwork or NeuralNetworkClassifier, as an ``.mlmodel`` file holds it.

After NeuralNetwork.proto, for tensors whose rank is that of their shape (``EXACT_ARRAY_MAPPING``
and ``RANK4_IMAGE_MAPPING``, from specification 4 on). Every tensor is float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.execute import (
    network_elementwise,
    network_linear,
    network_reduce,
    network_shape,
    network_spatial,
)
from silverprint.export.coreml.execute.features import (
    check_shape,
    classified,
    given,
    picture,
    tensor,
)
from silverprint.export.coreml.protobuf import COLOURS
from silverprint.export.coreml.reader import SavedModel

Array = npt.NDArray[Any]
Watch = Callable[[str, Array], None]

_LAYERS: Mapping[str, Callable[[Any, Sequence[Array]], Array | Sequence[Array]]] = {
    **network_elementwise.LAYERS,
    **network_linear.LAYERS,
    **network_reduce.LAYERS,
    **network_shape.LAYERS,
    **network_spatial.LAYERS,
}
_EXACT, _RANK4 = 1, 1  # NeuralNetworkMultiArrayShapeMapping, NeuralNetworkImageShapeMapping


def run_network(
    saved: SavedModel, inputs: Mapping[str, Any], *, watch: Watch | None = None
) -> dict[str, Any]:
    """Every output of the model by its name: float32 arrays, the label, label -> probability.

    An image input takes RGB planes [1, 3, height, width], 0..255; the colour layout and the
    preprocessing of the file are applied here. `watch` is told each layer's outputs by name.

    Raises ExportError: layers that are unknown here (all of them, by name), the shape mapping
    from before specification 4, a layer that does not fit its inputs, a missing input.
    """
    spec = saved.spec
    network = getattr(spec, spec.WhichOneof("Type"))
    _check_layers(network.layers)
    values = _inputs(spec, network, inputs)
    names = [feature.name for feature in spec.description.output]
    blob = _probabilities_name(network)
    with np.errstate(all="ignore"):
        _run(network.layers, values, [*names, blob], watch)
    outputs: dict[str, Any] = {}
    if blob:
        label, by_label = classified(_labels(network), _found(values, blob))
        outputs[spec.description.predictedFeatureName] = label
        outputs[spec.description.predictedProbabilitiesName or blob] = by_label
    for feature in spec.description.output:
        if feature.name not in outputs:
            outputs[feature.name] = _found(values, feature.name)
            check_shape(feature, outputs[feature.name])
    return outputs


def _check_layers(layers: Iterable[Any]) -> None:
    unknown: dict[str, list[str]] = {}
    for layer in layers:
        kind = layer.WhichOneof("layer") or "without a type"
        if kind not in _LAYERS:
            unknown.setdefault(kind, []).append(layer.name)
    if unknown:
        lines = [f"  {kind}: {', '.join(names)}" for kind, names in sorted(unknown.items())]
        raise ExportError("these layers cannot be executed here:\n" + "\n".join(lines))


def _inputs(spec: Any, network: Any, inputs: Mapping[str, Any]) -> dict[str, Array]:
    preprocessing = {one.featureName: one for one in network.preprocessing}
    values = {}
    for feature in spec.description.input:
        value, kind = given(inputs, feature.name), feature.type.WhichOneof("Type")
        if kind == "imageType":
            if network.imageInputShapeMapping != _RANK4:
                raise ExportError(_old_mapping(feature.name))
            planes = picture(feature, value)
            step = preprocessing.pop(feature.name, None)
            values[feature.name] = planes if step is None else _preprocessed(feature, step, planes)
        elif kind == "multiArrayType":
            if network.arrayInputShapeMapping != _EXACT:
                raise ExportError(_old_mapping(feature.name))
            values[feature.name] = tensor(feature, value)
        else:
            raise ExportError(f"the network's input {feature.name!r} is a {kind}")
    if preprocessing:
        raise ExportError(f"the file preprocesses {', '.join(preprocessing)}, which is no image")
    return values


def _old_mapping(name: str) -> str:
    return (
        f"the input {name!r} is mapped to rank 5, as before specification 4: convert the model "
        "again for iOS 13 or later"
    )


def _preprocessed(feature: Any, step: Any, planes: Array) -> Array:
    """``NeuralNetworkImageScaler``: scale, then one bias for each colour."""
    if step.WhichOneof("preprocessor") != "scaler":
        raise ExportError(f"{feature.name!r} is preprocessed with a mean image")
    scaler = step.scaler
    if not scaler.channelScale:
        raise ExportError(f"{feature.name!r} is multiplied by a channelScale of 0")
    biases = [scaler.redBias, scaler.greenBias, scaler.blueBias]
    if feature.type.imageType.colorSpace == COLOURS["BGR"]:
        biases.reverse()
    offset = np.array(biases, np.float32).reshape(3, 1, 1)
    result: Array = planes * np.float32(scaler.channelScale) + offset
    return result


def _run(
    layers: Sequence[Any], values: dict[str, Array], kept: Sequence[str], watch: Watch | None
) -> None:
    """Compute `layers` in their order into `values`; what no later layer needs is let go."""
    last = {name: at for at, layer in enumerate(layers) for name in layer.input}
    for at, layer in enumerate(layers):
        results = _computed(layer, [_found(values, name) for name in layer.input])
        for name, result in zip(layer.output, results, strict=True):
            if name in values and layer.WhichOneof("layer") != "copy":
                raise ExportError(f"two layers give {name!r}")
            values[name] = result
            if watch is not None:
                watch(name, result)
        for name in {*layer.input, *layer.output}:
            if last.get(name, -1) <= at and name not in kept:
                values.pop(name, None)


def _computed(layer: Any, inputs: Sequence[Array]) -> list[Array]:
    kind = layer.WhichOneof("layer")
    try:
        found = _LAYERS[kind](getattr(layer, kind), inputs)
        listed = [found] if isinstance(found, np.ndarray) else list(found)
        results = [np.asarray(one, np.float32) for one in listed]
    except ExportError as error:
        raise ExportError(f"layer {layer.name!r} ({kind}): {error}") from error
    except Exception as error:  # damaged parameters fail in as many ways as numpy has
        raise ExportError(f"layer {layer.name!r} ({kind}) cannot be computed: {error}") from error
    if len(results) != len(layer.output):
        raise ExportError(
            f"layer {layer.name!r} ({kind}) gives {len(results)} tensors, not {len(layer.output)}"
        )
    for name, tensor_type, result in zip(layer.output, layer.outputTensor, results, strict=False):
        sides = list(tensor_type.dimValue)
        fits = len(sides) == result.ndim and all(
            side in (-1, 0, found) for side, found in zip(sides, result.shape, strict=True)
        )
        if not fits:
            raise ExportError(
                f"layer {layer.name!r} ({kind}): {name!r} is declared as {sides} and is "
                f"{list(result.shape)}"
            )
    return results


def _found(values: Mapping[str, Array], name: str) -> Array:
    if name not in values:
        raise ExportError(f"no layer gives {name!r} before it is needed")
    return values[name]


def _probabilities_name(network: Any) -> str:
    """The tensor that a classifier chooses from; '' where `network` is no classifier."""
    if "labelProbabilityLayerName" not in network.DESCRIPTOR.fields_by_name:
        return ""
    name: str = network.labelProbabilityLayerName
    return name or (network.layers[-1].output[0] if network.layers else "")


def _labels(network: Any) -> list[Any]:
    kind = network.WhichOneof("ClassLabels")
    return list(getattr(network, kind).vector) if kind else []
