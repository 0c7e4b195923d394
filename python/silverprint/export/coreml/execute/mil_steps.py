"""From the operations of a saved ML Program to steps that can be run."""

from __future__ import annotations

import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.execute.mil_operators import Operator, lookup
from silverprint.export.coreml.execute.mil_table import IOS17
from silverprint.export.coreml.reader import SavedModel, main_block, tensor_shape, value_of

_LISTS = {"values", "ref_tensors", "begins", "ends", "end_masks"}
"""Parameters that are given as several values."""

_FLOATS = {10: "float16", 11: "float32", 12: "float64"}  # MIL_pb2.DataType


@dataclass(frozen=True)
class Reference:
    """An argument that is an input of the program or the output of another operation."""

    name: str


@dataclass(frozen=True)
class Declared:
    """What an output is declared to be; `kind` and `shape` are None where it is no tensor."""

    name: str
    kind: int | None
    shape: tuple[int, ...] | None

    @property
    def float_name(self) -> str | None:
        return None if self.kind is None else _FLOATS.get(self.kind)


@dataclass(frozen=True)
class Step:
    """One operation. After it nothing needs the values that are `finished`."""

    label: str
    type: str
    compute: Callable[..., Any]
    arguments: Mapping[str, Any]
    outputs: tuple[Declared, ...]
    finished: tuple[str, ...]

    @property
    def makes_weight(self) -> bool:
        """Whether it needs no input of the program: it unpacks a compressed weight."""
        return self.type.startswith("constexpr_")


def declared(value: Any) -> Declared:
    """A ``NamedValueType`` of the program."""
    if value.type.WhichOneof("type") != "tensorType":
        return Declared(value.name, None, None)
    tensor = value.type.tensorType
    return Declared(value.name, tensor.dataType, tensor_shape(tensor))


def constant_values(saved: SavedModel) -> Iterator[tuple[Declared, Any]]:
    """Every ``const`` of the program and its value, as `reader.value_of` gives it.

    Raises ExportError: damaged weights, a ``const`` without value or with several names.
    """
    for operation in main_block(saved.spec).operations:
        if operation.type != "const":
            continue
        if len(operation.outputs) != 1 or "val" not in operation.attributes:
            raise ExportError(f"{_label(operation)} has no value or not one name")
        output = declared(operation.outputs[0])
        value = operation.attributes["val"]
        if value.type != operation.outputs[0].type:
            raise ExportError(f"{_label(operation)} has a value of another type than declared")
        yield output, value_of(saved, value, output.name)


def read_steps(saved: SavedModel) -> list[Step]:
    """The operations of the program, but for ``const``, in their order.

    Raises ExportError: operators that the executor does not know (one error names them all),
    missing or unknown parameters, values that nothing before computes, float16 and float32 in
    one operation, a compressed weight that depends on an input.
    """
    main, block = saved.spec.mlProgram.functions["main"], main_block(saved.spec)
    opset = _opset(main.opset)
    operators = _operators(block, opset)
    computed = {one.name: declared(one) for one in main.inputs}
    constants: dict[str, Declared] = {}
    keep = {*block.outputs, *computed}
    steps: list[Step] = []
    for operation in block.operations:
        outputs = [declared(one) for one in operation.outputs]
        for one in outputs:
            if one.name in computed or one.name in constants:
                raise ExportError(f"two values of the program are called {one.name!r}")
        if operation.type == "const":
            constants.update({one.name: one for one in outputs})
            continue
        label, operator = _label(operation), operators[operation.type]
        arguments = _arguments(saved, operation, operator, label)
        step = Step(label, operation.type, operator.compute, arguments, tuple(outputs), ())
        allowed = constants if step.makes_weight else ChainMap(constants, computed)
        for name in _references(arguments):
            if name not in allowed:
                what = "no constant" if name in computed else "computed by nothing before it"
                raise ExportError(f"{label} needs {name!r}, which is {what}")
        if not operator.mixes_floats:
            given = [allowed[name] for name in _references(arguments)]
            # From iOS 17 on a constant may be of another width; a number alone always may.
            strict = [one for one in given if one.name in computed or (opset < IOS17 and one.shape)]
            _check_floats(label, [*strict, *outputs])
        steps.append(step)
        (constants if step.makes_weight else computed).update({one.name: one for one in outputs})
    for name in block.outputs:
        if name not in computed and name not in constants:
            raise ExportError(f"the output {name!r} of the program is computed by nothing")
    return _with_finished(steps, keep)


def _opset(name: str) -> int:
    number = re.fullmatch(r"CoreML([5-9])", name)
    if number is None:
        raise ExportError(f"the program is written for the unknown operator set {name!r}")
    return int(number[1])


def _label(operation: Any) -> str:
    name = operation.outputs[0].name if operation.outputs else ""
    return f"{operation.type} {name!r}"


def _operators(block: Any, opset: int) -> dict[str, Operator]:
    found: dict[str, Operator] = {}
    unknown: dict[str, list[str]] = {}
    for operation in block.operations:
        operator = lookup(operation.type, opset)
        if operation.type == "const":
            continue
        if operator is None or operation.blocks:
            names = [repr(one.name) for one in operation.outputs] or ["no output"]
            unknown.setdefault(operation.type, []).extend(names)
        else:
            found[operation.type] = operator
    if unknown:
        lines = [f"  {kind}: {', '.join(names)}" for kind, names in sorted(unknown.items())]
        raise ExportError(
            "the executor does not know these operators, so that what the model computes cannot be "
            f"checked (operator set CoreML{opset}):\n" + "\n".join(lines)
        )
    return found


def _arguments(saved: SavedModel, operation: Any, operator: Operator, label: str) -> dict[str, Any]:
    """The parameters of `operation`: a Reference, a value, or a tuple of them."""
    arguments: dict[str, Any] = {
        name: _value(saved, value, f"{label}, {name}")
        for name, value in operation.attributes.items()
        if name != "name"
    }
    for name, argument in operation.inputs.items():
        bindings = tuple(
            Reference(one.name)
            if one.WhichOneof("binding") == "name"
            else _value(saved, one.value, f"{label}, {name}")
            for one in argument.arguments
        )
        if name in _LISTS and bindings:
            arguments[name] = bindings
        elif len(bindings) == 1:
            (arguments[name],) = bindings
        else:
            raise ExportError(f"{label} has {len(bindings)} values for {name}")
    lacking = sorted(operator.required - arguments.keys())
    strange = sorted(arguments.keys() - operator.allowed)
    if lacking or strange:
        what = f"lacks {', '.join(lacking)}" if lacking else f"has the unknown {strange}"
        raise ExportError(f"{label} {what}")
    return arguments


def _value(saved: SavedModel, value: Any, label: str) -> Any:
    """A value that stands in the operation itself, floats as float32."""
    found = value_of(saved, value, label)
    if isinstance(found, np.ndarray) and found.dtype.kind == "f":
        return found.astype(np.float32)
    return found


def _references(arguments: Mapping[str, Any]) -> Iterator[str]:
    for argument in arguments.values():
        for one in argument if isinstance(argument, tuple) else (argument,):
            if isinstance(one, Reference):
                yield one.name


def _check_floats(label: str, values: list[Declared]) -> None:
    """Core ML takes no operation whose inputs and outputs are floats of different widths."""
    names = {one.float_name for one in values} - {None}
    if len(names) > 1:
        raise ExportError(f"{label} mixes {' and '.join(sorted(str(one) for one in names))}")


def _with_finished(steps: list[Step], keep: set[str]) -> list[Step]:
    """The same steps; each says what it is the last to need, or makes though nothing needs it."""
    seen = set(keep)
    result = []
    for step in reversed(steps):
        touched = {*_references(step.arguments), *(one.name for one in step.outputs)}
        result.append(replace(step, finished=tuple(sorted(touched - seen))))
        seen |= touched
    return result[::-1]
