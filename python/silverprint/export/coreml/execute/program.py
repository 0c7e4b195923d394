"""Runs an ML Program as the definitions of its operators say, from the saved file alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np

from silverprint.errors import ExportError, nearest
from silverprint.export.coreml.execute.features import check_shape, given, picture
from silverprint.export.coreml.execute.mil_steps import (
    Declared,
    Reference,
    Step,
    constant_values,
    declared,
    read_steps,
)
from silverprint.export.coreml.execute.mil_table import Array
from silverprint.export.coreml.reader import ELEMENT_TYPES, SavedModel, main_block

Rounding = Literal["none", "float16"]
Watch = Callable[[str, Array], None]

_KINDS: dict[str, type] = {
    "dictionaryType": dict,
    "imageType": np.ndarray,
    "int64Type": int,
    "multiArrayType": np.ndarray,
    "stringType": str,
}
"""What the executor gives for each kind of feature."""


class Program:
    """The ML Program of a saved model, made ready to run any number of times.

    With the `rounding` "none" all floats are computed in float32, whatever type they are declared
    to have; with "float16" each value that is declared as float16 is rounded to it as soon as it
    is computed.

    Raises ExportError: operators that the executor does not know (all of them are named), values
    that nothing computes, damaged weights, float16 and float32 in one operation.
    """

    def __init__(self, saved: SavedModel, *, rounding: Rounding = "none") -> None:
        self._rounds = rounding == "float16"
        self._features = list(saved.spec.description.input)
        self._results = list(saved.spec.description.output)
        steps = read_steps(saved)
        self._inputs = {
            one.name: declared(one) for one in saved.spec.mlProgram.functions["main"].inputs
        }
        _check_names("input", {one.name for one in self._features}, set(self._inputs))
        if len(self._features) != len(self._inputs):
            raise ExportError(f"the program needs {sorted(self._inputs)}, not all are described")
        results = {one.name for one in self._results}
        _check_names("output", results, set(main_block(saved.spec).outputs))
        self._constants = {
            one.name: self._conforming(f"const {one.name!r}", one, value)
            for one, value in constant_values(saved)
        }
        for step in steps:
            if step.makes_weight:
                self._constants.update(self._computed(step, self._constants))
        self._steps = [step for step in steps if not step.makes_weight]

    def run(self, inputs: Mapping[str, Any], *, watch: Watch | None = None) -> dict[str, Any]:
        """Every output of the description by its name; see `execute`."""
        values = dict(self._constants)
        for name in inputs:
            if name not in self._inputs:
                hint = nearest(name, self._inputs)
                raise ExportError(f"the model has no input {name!r}{hint}")
        for feature in self._features:
            value = given(inputs, feature.name)
            if feature.type.WhichOneof("Type") == "imageType":
                value = picture(feature, value)
            expected = self._inputs[feature.name]
            label = f"the input {feature.name!r}"
            value = self._conforming(label, expected, _as_declared(value, expected))
            _check_described(feature, value)
            values[feature.name] = value
        for step in self._steps:
            computed = self._computed(step, values)
            if watch is not None:
                for name, value in computed.items():
                    if isinstance(value, np.ndarray):
                        watch(name, value)
            values.update(computed)
            for name in step.finished:
                values.pop(name, None)
        for feature in self._results:
            _check_described(feature, values[feature.name])
        return {feature.name: values[feature.name] for feature in self._results}

    def _computed(self, step: Step, values: Mapping[str, Any]) -> dict[str, Any]:
        arguments = {name: _resolved(one, values) for name, one in step.arguments.items()}
        try:
            with np.errstate(all="ignore"):
                result = step.compute(**arguments)
        except ExportError as error:
            raise ExportError(f"{step.label}: {error}") from error
        except (ArithmeticError, LookupError, TypeError, ValueError, MemoryError) as error:
            raise ExportError(f"{step.label} cannot be computed: {error}") from error
        results = result if isinstance(result, tuple) else (result,)
        if len(results) != len(step.outputs):
            raise ExportError(
                f"{step.label} has {len(results)} outputs, declared are {len(step.outputs)}"
            )
        return {
            one.name: self._conforming(step.label, one, value)
            for one, value in zip(step.outputs, results, strict=True)
        }

    def _conforming(self, label: str, expected: Declared, value: Any) -> Any:
        """`value` as the executor keeps it: an array of the declared shape, floats as float32.

        Raises ExportError: another shape or type than declared.
        """
        if expected.kind is None or isinstance(value, str | int | list | dict):
            return value
        array = np.asarray(value)
        element = ELEMENT_TYPES.get(expected.kind)
        if element is None or not _fits(array.dtype, element.dtype):
            name = f"type {expected.kind}" if element is None else element.name
            raise ExportError(f"{label} is declared as {name} and is {array.dtype}")
        shape = expected.shape or ()
        if len(shape) != array.ndim or any(
            side not in (0, found) for side, found in zip(shape, array.shape, strict=True)
        ):
            raise ExportError(f"{label} is declared as {list(shape)} and is {list(array.shape)}")
        if array.dtype.kind != "f":
            return array
        if self._rounds and element.name == "float16":
            with np.errstate(over="ignore"):
                array = array.astype(np.float16)
        return array.astype(np.float32, copy=False)


def _check_names(what: str, described: set[str], computed: set[str]) -> None:
    if described - computed:
        raise ExportError(
            f"the description names the {what}s {sorted(described - computed)}, "
            "which the program does not have"
        )


def _check_described(feature: Any, value: Any) -> None:
    """Raise ExportError where the description says another kind of value, or another shape."""
    kind = feature.type.WhichOneof("Type")
    fits: bool = isinstance(value, _KINDS.get(kind, ()))
    if not fits:
        raise ExportError(f"{feature.name!r} is described as {kind} and is {type(value).__name__}")
    if kind == "multiArrayType":
        check_shape(feature, value)


def _resolved(argument: Any, values: Mapping[str, Any]) -> Any:
    if isinstance(argument, tuple):
        return tuple(_resolved(one, values) for one in argument)
    return values[argument.name] if isinstance(argument, Reference) else argument


def _as_declared(value: Any, expected: Declared) -> Array:
    """What is given for an input, in the type of the input where no number changes by that."""
    array = np.asarray(value)
    element = ELEMENT_TYPES.get(expected.kind or 0)
    if element is None or array.dtype.kind not in "fiub":
        return array
    target = np.dtype(np.float32) if element.dtype.kind == "f" else element.dtype
    changed = array.astype(target)
    exact = target.kind == "f" or bool((changed == array).all())
    return changed if exact else array


def _fits(found: np.dtype[Any], expected: np.dtype[Any]) -> bool:
    if expected.kind == "f":
        return found.kind == "f"
    return found.newbyteorder("=") == expected.newbyteorder("=")
