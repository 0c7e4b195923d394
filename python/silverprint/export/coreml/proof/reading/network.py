"""Reads a saved NeuralNetwork as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from silverprint.export.coreml.proof.expressions.values import (
    INPUT,
    Shape,
    Unreadable,
    Value,
    shapeless,
    unreadable,
)
from silverprint.export.coreml.proof.reading.layer import Layer
from silverprint.export.coreml.proof.reading.network_layers import LAYERS
from silverprint.export.coreml.proof.reading.network_moves import MOVES
from silverprint.export.coreml.proof.reading.network_windows import WINDOWS

_READERS = {**LAYERS, **WINDOWS, **MOVES}


def read_network(
    network: Any, inputs: Mapping[str, Value], shapes: Mapping[str, Shape]
) -> dict[str, Value]:
    """Every value of the network by its name.

    The file itself does not say the shape of what a layer gives: `shapes`, by name, has it for
    layers that are not known here.
    """
    values = dict(inputs)
    for place, layer in enumerate(network.layers):
        kind = layer.WhichOneof("layer") or ""
        given = [values[name] for name in layer.input if name in values]
        try:
            if kind not in _READERS or len(given) != len(layer.input) or any(map(shapeless, given)):
                raise Unreadable(kind)
            read = Layer(kind, getattr(layer, kind), given, list(layer.output), place)
            found = _READERS[kind](read)
            results = found if isinstance(found, list) else [found]
        except Exception:  # damaged parameters fail in as many ways as numpy has
            results = [
                unreadable(f"nn:{kind}", shapes.get(name, ()), given, name, place, number)
                for number, name in enumerate(layer.output)
            ]
        values.update(zip(layer.output, results, strict=False))
    return values


def network_inputs(spec: Any) -> dict[str, Value]:
    """The inputs of the network, as the description declares them."""
    found = {}
    for feature in spec.description.input:
        image = feature.type.imageType
        if feature.type.WhichOneof("Type") == "imageType":
            shape: tuple[int, ...] = (1, 3, int(image.height), int(image.width))
        else:
            shape = tuple(int(side) for side in feature.type.multiArrayType.shape)
        found[feature.name] = Value(INPUT, shape, name=feature.name)
    return found
