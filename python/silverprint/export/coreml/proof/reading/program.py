"""Reads a saved ML Program as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.proof.expressions.values import (
    INPUT,
    Value,
    constant,
    unreadable,
)
from silverprint.export.coreml.proof.reading.compressed import compressed
from silverprint.export.coreml.proof.reading.operation import Operation
from silverprint.export.coreml.proof.reading.program_layers import LAYERS
from silverprint.export.coreml.proof.reading.program_moves import MOVES
from silverprint.export.coreml.proof.reading.program_windows import WINDOWS
from silverprint.export.coreml.reader import SavedModel, main_block, tensor_shape, value_of

_NO_RESULT = {"classify"}


def read_program(saved: SavedModel, inputs: Mapping[str, Value]) -> dict[str, Value]:
    """Every value of the program by its name; `inputs` are those of the main function."""
    values: dict[str, Any] = dict(inputs)
    for place, operation in enumerate(main_block(saved.spec).operations):
        outputs = [one.name for one in operation.outputs]
        if operation.type == "const":
            values[outputs[0]] = _constant(saved, operation, outputs[0])
            continue
        if operation.type.startswith("constexpr_"):
            values[outputs[0]] = compressed(saved, operation, outputs[0], place)
            continue
        if operation.type in _NO_RESULT:
            continue
        read = _operation(saved, operation, values, outputs, place)
        for name, value in zip(outputs, _read(read), strict=True):
            values[name] = value
    return {name: value for name, value in values.items() if isinstance(value, Value)}


def program_inputs(saved: SavedModel) -> dict[str, Value]:
    """The inputs of the main function, as they are declared."""
    return {
        one.name: Value(INPUT, tensor_shape(one.type.tensorType), name=one.name)
        for one in saved.spec.mlProgram.functions["main"].inputs
    }


def probabilities_of(saved: SavedModel) -> str | None:
    """The name of what ``classify`` reads; None where the program is no classifier.

    Raises ExportError: it reads nothing.
    """
    for operation in main_block(saved.spec).operations:
        if operation.type == "classify":
            for argument in operation.inputs["probabilities"].arguments:
                return str(argument.name)
            raise ExportError("the operation classify has no probabilities")
    return None


def _constant(saved: SavedModel, operation: Any, name: str) -> Any:
    value = value_of(saved, operation.attributes["val"], name)
    return constant(value, name) if isinstance(value, np.ndarray) else value


def _operation(
    saved: SavedModel, operation: Any, values: Mapping[str, Any], outputs: list[str], place: int
) -> Operation:
    arguments: dict[str, list[Any]] = {}
    for parameter, binding in operation.inputs.items():
        found = []
        for argument in binding.arguments:
            if argument.WhichOneof("binding") == "name":
                found.append(values.get(argument.name))
            else:
                inline = value_of(saved, argument.value, parameter)
                found.append(constant(inline) if isinstance(inline, np.ndarray) else inline)
        arguments[parameter] = found
    shapes = [tensor_shape(one.type.tensorType) for one in operation.outputs]
    return Operation(operation.type, arguments, outputs, shapes, place)


_READERS = {**LAYERS, **WINDOWS, **MOVES}


def _read(operation: Operation) -> list[Value]:
    inputs = [
        one for found in operation.arguments.values() for one in found if isinstance(one, Value)
    ]
    try:
        found = _READERS[operation.kind](operation)
        values = found if isinstance(found, list) else [found]
        if [one.shape for one in values] == operation.shapes:
            return values
    except Exception:  # damaged parameters fail in as many ways as numpy has
        pass
    return [
        unreadable(f"mil:{operation.kind}", shape, inputs, name, operation.place, number)
        for number, (name, shape) in enumerate(
            zip(operation.outputs, operation.shapes, strict=True)
        )
    ]
