"""Whether the types that an ML Program declares fit its operations and the description: check (b).

Execution compares declared shapes and types with what is computed. Here is what it cannot see,
since it computes every float in float32 and takes what is declared as no tensor as it comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from silverprint.errors import ExportError
from silverprint.export.coreml.protobuf import (
    ARRAYS,
    COLOURS,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT64,
    STRING,
)
from silverprint.export.coreml.reader import (
    ELEMENT_TYPES,
    SavedModel,
    main_block,
    tensor_shape,
    value_of,
)

_FLOATS = {FLOAT16: "float16", FLOAT32: "float32", FLOAT64: "float64"}

_TYPE_GIVEN = {"cast": "dtype", "quantize": "output_dtype", "constexpr_cast": "output_dtype"}
"""Parameters that name the type of the result."""

_TYPE_OF = {
    "constexpr_affine_dequantize": "scale",
    "constexpr_blockwise_shift_scale": "scale",
    "constexpr_sparse_blockwise_shift_scale": "scale",
    "constexpr_lut_to_dense": "lut",
    "constexpr_lut_to_sparse": "lut",
    "constexpr_sparse_to_dense": "nonzero_data",
    "dequantize": "scale",
    "fill_like": "value",
}
"""Parameters that have the type of the floats in the result."""

_NAMES = {"fp16": "float16", "fp32": "float32"}


def check_declared(saved: SavedModel) -> None:
    """Check every type that the program of `saved` declares; other models declare none.

    Raises ExportError naming the first that is no tensor, leaves a side open that is fixed, or
    is not the type that its operation gives or the description says.
    """
    if saved.spec.WhichOneof("Type") == "mlProgram":
        _Program(saved).check()


class _Program:
    def __init__(self, saved: SavedModel) -> None:
        self._saved = saved
        self._types = {one.name: one.type for one in _main(saved).inputs}
        self._values: dict[str, Any] = {}
        self._weights: set[str] = set()

    def check(self) -> None:
        description = self._saved.spec.description
        self._check_described("takes", description.input)
        for value in _main(self._saved).inputs:
            _check_tensor(f"the input {value.name!r} of the program", value.type)
        for operation in main_block(self._saved.spec).operations:
            for output in operation.outputs:
                what = f"layer {output.name!r} of the saved file ({operation.type})"
                if operation.type == "const":
                    self._values[output.name] = operation.attributes.get("val")
                elif operation.type == "classify":
                    self._check_classified(what, operation)
                else:
                    self._check_shape(what, operation, output.type)
                    self._check_float(what, operation, output.type)
                if operation.type == "const" or operation.type.startswith("constexpr_"):
                    self._weights.add(output.name)
            self._types |= {output.name: output.type for output in operation.outputs}
        self._check_described("gives", description.output)

    def _check_described(self, verb: str, features: Sequence[Any]) -> None:
        for feature in features:
            declared, kind = self._types.get(feature.name), feature.type.WhichOneof("Type")
            if declared is None or kind not in ("imageType", "multiArrayType"):
                continue
            image = feature.type.imageType
            shape = tensor_shape(declared.tensorType)
            wanted, number = shape, ARRAYS.get(feature.type.multiArrayType.dataType, 0)
            if kind == "imageType":
                if image.colorSpace not in COLOURS.values():
                    raise ExportError(
                        f"check (b): the image {feature.name!r} is neither RGB nor BGR: another "
                        "kind of picture, such as one in grey, cannot be proven"
                    )
                wanted, number = (1, 3, int(image.height), int(image.width)), FLOAT32
            if (number, wanted) != (declared.tensorType.dataType, shape):
                raise ExportError(
                    f"check (b): the program {verb} {feature.name!r} as {_shown(declared)}, the "
                    f"description says {_name(number)} {list(wanted)}"
                )

    def _check_shape(self, what: str, operation: Any, declared: Any) -> None:
        _check_tensor(what, declared)
        # What follows from whole numbers that are computed may have any size.
        open_ended = operation.type == "non_zero" or any(
            not _fixed(one) or one.tensorType.dataType not in _FLOATS
            for one in self._given(operation, computed=True)
        )
        if not open_ended and not _fixed(declared):
            raise ExportError(
                f"check (b): {what} is declared as {_shown(declared)}, 0 for any size"
            )

    def _check_float(self, what: str, operation: Any, declared: Any) -> None:
        found = declared.tensorType.dataType
        if operation.type in _TYPE_GIVEN:
            wanted = self._named(operation, _TYPE_GIVEN[operation.type])
        elif found not in _FLOATS:
            return  # execution tells whole numbers apart
        elif operation.type in _TYPE_OF:
            wanted = _floats(self._given(operation, only=_TYPE_OF[operation.type]))
        else:
            wanted = _floats(self._given(operation, computed=True))
            wanted = wanted or _floats(self._given(operation))
        if wanted and _name(found) not in wanted:
            raise ExportError(
                f"check (b): {what} is declared as {_name(found)} and gives "
                f"{' or '.join(sorted(wanted))}"
            )

    def _given(self, operation: Any, *, only: str = "", computed: bool = False) -> list[Any]:
        """Types of what the operation reads: of one parameter, or of what is no weight."""
        found = []
        for key, binding in operation.inputs.items():
            for one in binding.arguments if only in ("", key) else ():
                if one.name in self._types:
                    if not computed or one.name not in self._weights:
                        found.append(self._types[one.name])
                elif not computed:
                    found.append(one.value.type)
        for key, value in operation.attributes.items():
            if only in ("", key) and not computed:
                found.append(value.type)
        return found

    def _value(self, operation: Any, parameter: str) -> Any:
        """The ``Value`` of a parameter that is a constant, else None."""
        arguments = operation.inputs[parameter].arguments if parameter in operation.inputs else ()
        for one in arguments:
            return self._values.get(one.name) if one.name else one.value
        return operation.attributes.get(parameter)

    def _named(self, operation: Any, parameter: str) -> set[str]:
        """The type that a parameter names."""
        value = self._value(operation, parameter)
        if value is None:
            return set()  # execution says that it is missing
        text = str(value_of(self._saved, value, parameter))
        return {_NAMES.get(text, text)}

    def _check_classified(self, what: str, operation: Any) -> None:
        """A label, then a dictionary from labels to float64."""
        classes = self._value(operation, "classes")
        if classes is None:
            raise ExportError(f"check (b): {what} has no classes")
        key = classes.type.listType.type
        if key.tensorType.dataType not in (STRING, INT64) or key.tensorType.dimensions:
            raise ExportError(f"check (b): {what} has classes that are neither texts nor int64")
        length, count = (
            classes.type.listType.length.constant.size,
            len(classes.immediateValue.list.values),
        )
        if length != count:
            raise ExportError(
                f"check (b): {what} has {count} classes, declared as a list of {length}"
            )
        wanted = type(key)()
        wanted.dictionaryType.keyType.CopyFrom(key)
        wanted.dictionaryType.valueType.tensorType.dataType = FLOAT64
        if [one.type for one in operation.outputs] != [key, wanted]:
            raise ExportError(
                f"check (b): {what} is not declared as a label and a dictionary from labels to "
                "float64"
            )


def _check_tensor(what: str, declared: Any) -> None:
    form = declared.WhichOneof("type")
    if form != "tensorType":
        raise ExportError(f"check (b): {what} is declared as {form or 'nothing'}, no tensor")
    tensor = declared.tensorType
    if tensor.rank != len(tensor.dimensions):
        raise ExportError(
            f"check (b): {what} is declared with {len(tensor.dimensions)} sides and the rank "
            f"{tensor.rank}"
        )


def _main(saved: SavedModel) -> Any:
    main_block(saved.spec)
    return saved.spec.mlProgram.functions["main"]


def _fixed(declared: Any) -> bool:
    """Whether it is a tensor of a size that is said."""
    sides = declared.tensorType.dimensions
    form = declared.WhichOneof("type")
    return form == "tensorType" and all(side.constant.size > 0 for side in sides)


def _floats(types: Iterable[Any]) -> set[str]:
    numbers = {one.tensorType.dataType for one in types}
    return {_FLOATS[number] for number in numbers if number in _FLOATS}


def _name(number: int) -> str:
    return ELEMENT_TYPES[number].name if number in ELEMENT_TYPES else f"type {number}"


def _shown(declared: Any) -> str:
    tensor = declared.tensorType
    return f"{_name(tensor.dataType)} {list(tensor_shape(tensor))}"
