"""Holds the operators and weights of a saved file against the reference: checks (c) and (d)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.proof.expressions.layers import elementwise
from silverprint.export.coreml.proof.expressions.pairing import Pairing, pair
from silverprint.export.coreml.proof.expressions.values import Constant, Value, moved
from silverprint.export.coreml.proof.names import by_saved_name
from silverprint.export.coreml.proof.numbers import Answers
from silverprint.export.coreml.proof.reading.layer import single
from silverprint.export.coreml.proof.reading.network import network_inputs, read_network
from silverprint.export.coreml.proof.reading.program import (
    probabilities_of,
    program_inputs,
    read_program,
)
from silverprint.export.coreml.proof.reading.reference import read_reference
from silverprint.export.coreml.protobuf import COLOURS
from silverprint.export.coreml.reader import SavedModel

if TYPE_CHECKING:
    import onnx

_SHOWN = 5


@dataclass(frozen=True)
class Structure:
    """What matched: operators, constants, single numbers in them; what could not be matched.

    `types` are those of the weights, the finest first.
    """

    operators: int
    constants: int
    numbers: int
    types: tuple[str, ...]
    unproven: tuple[str, ...]

    @property
    def coarsest(self) -> str:
        """The type that decides how much execution may differ."""
        return self.types[-1]


def compare_structure(
    saved: SavedModel, reference: onnx.ModelProto, answers: Answers, size: tuple[int, int]
) -> Structure:
    """Match every operator of `saved` with one of `reference` and compare all that they hold.

    Raises ExportError naming the first layer (in the order of the file) whose weights or
    parameters are not those of the reference.
    """
    wanted = read_reference(reference, answers.image, (1, 3, *size))
    names = {saved: wanted[name] for saved, name in by_saved_name(wanted).items()}
    found, outputs = _read(saved, answers, names)
    pairs = []
    for name, source in outputs.items():
        if name not in found or source not in wanted:
            raise ExportError(f"the saved file has no value {name!r} for {source!r}")
        pairs.append((found[name], wanted[source]))
    result = pair(pairs, names)
    _raise_first(result)
    return Structure(
        result.matched, result.numbers, result.count, _types(result), tuple(result.unproven)
    )


def _read(
    saved: SavedModel, answers: Answers, names: Mapping[str, Value]
) -> tuple[dict[str, Value], dict[str, str]]:
    """The values of the file; and which of them is which value of the reference."""
    spec = saved.spec
    kind = spec.WhichOneof("Type")
    outputs = dict(answers.tensors)
    if kind == "mlProgram":
        inputs = program_inputs(saved)
        name = probabilities_of(saved)
    else:
        inputs = network_inputs(spec)
        network = getattr(spec, kind)
        name = getattr(network, "labelProbabilityLayerName", "") or answers.probabilities
    if answers.reference and name:
        outputs[name] = answers.reference
    inputs = {one: _as_given(spec, one, value) for one, value in inputs.items()}
    if kind == "mlProgram":
        return read_program(saved, inputs), outputs
    shapes = {name: value.shape for name, value in names.items()}
    return read_network(getattr(spec, kind), inputs, shapes), outputs


def _as_given(spec: Any, name: str, planes: Value) -> Value:
    """What the program sees of RGB `planes`: their colour layout and scale as described."""
    value = planes
    for feature in spec.description.input:
        if feature.name == name and feature.type.imageType.colorSpace == COLOURS["BGR"]:
            value = moved(value, lambda index: index[:, ::-1], name)
    network = getattr(spec, spec.WhichOneof("Type"))
    for step in getattr(network, "preprocessing", []):
        if step.featureName in ("", name):
            scaler = step.scaler
            biases = np.array([scaler.redBias, scaler.greenBias, scaler.blueBias], np.float32)
            value = elementwise("mul", [value, single(scaler.channelScale, "channelScale")], name)
            value = elementwise("add", [value, Constant(biases.reshape(3, 1, 1), "bias")], name)
    return value


def _raise_first(result: Pairing) -> None:
    if not result.differences:
        return
    first = result.differences[0]
    more = len({one.layer for one in result.differences}) - 1
    others = f" ({more} more layers differ)" if more else ""
    raise ExportError(
        f"check ({first.check}): layer {first.layer!r} of the saved file {first.what}{others}"
    )


def _types(result: Pairing) -> tuple[str, ...]:
    order = ("float32", "float16", "int8")
    return tuple(one for one in order if one in result.types) or ("float32",)
