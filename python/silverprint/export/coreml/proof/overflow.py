"""Watches the numbers that are computed: how large they become, and what float16 cannot hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError
from silverprint.export.coreml.protobuf import FLOAT16
from silverprint.export.coreml.reader import SavedModel, main_block

LARGEST = 65504.0
"""The largest finite number of float16."""

_PASSING = {"cast", "reshape", "expand_dims", "squeeze"}


class Extremes:
    """Follows every value of an execution.

    A value that is declared as float16 must stay within its range, but for large negative numbers
    that only a softmax reads: masked places, which become 0 there. No value may be NaN.
    """

    def __init__(self, saved: SavedModel) -> None:
        self._float16: set[str] = set()
        self._masked: set[str] = set()
        self._casts: set[str] = set()
        self._large: dict[str, float] = {}
        for program in _programs(saved.spec):
            self._read(program)

    @property
    def has_float16(self) -> bool:
        """Whether any value is declared as float16."""
        return bool(self._float16)

    @property
    def largest(self) -> tuple[str, float]:
        """Name and size of the largest number seen."""
        return max(self._large.items(), key=lambda one: one[1], default=("", 0.0))

    def see(self, name: str, value: npt.NDArray[Any]) -> None:
        """To be called with each value. Raises ExportError with its name where it is too large."""
        if value.dtype.kind != "f" or not value.size:
            return
        low, high = float(value.min()), float(value.max())
        if np.isnan(low) or np.isnan(high):
            raise ExportError(
                f"check (a): layer {name!r} of the saved file gives numbers that are no numbers"
            )
        masked = name in self._masked
        size = high if masked else max(-low, high)
        if name in self._float16 and size > LARGEST:
            raise ExportError(
                f"check (a): layer {name!r} of the saved file reaches {size:.6g}, float16 ends at "
                f'{LARGEST:.6g}: write it with precision="float32"'
            )
        if name not in self._casts:
            self._large[name] = max(self._large.get(name, 0.0), abs(size))

    def _read(self, program: Any) -> None:
        block = main_block(program)
        readers: dict[str, set[str]] = {}
        passed: dict[str, str] = {}
        for operation in block.operations:
            for binding in operation.inputs.values():
                for argument in binding.arguments:
                    if argument.WhichOneof("binding") == "name":
                        readers.setdefault(argument.name, set()).add(operation.type)
                        if operation.type in _PASSING:
                            passed[argument.name] = operation.outputs[0].name
            for output in operation.outputs:
                if operation.type == "cast":
                    self._casts.add(output.name)
                if output.type.tensorType.dataType == FLOAT16:
                    self._float16.add(output.name)
        for name in self._float16:
            last, kinds = name, readers.get(name, set())
            while kinds and kinds <= _PASSING and len(kinds) == 1:
                last = passed[last]
                kinds = readers.get(last, set())
            if kinds == {"softmax"}:
                self._masked.add(name)


def _programs(spec: Any) -> list[Any]:
    kind = spec.WhichOneof("Type")
    if kind == "mlProgram":
        return [spec]
    if kind == "pipeline":
        return [program for model in spec.pipeline.models for program in _programs(model)]
    return []
