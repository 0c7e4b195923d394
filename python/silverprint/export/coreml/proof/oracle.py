"""What the ONNX reference gives for a picture, through the core's own ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import onnx

Floats = npt.NDArray[np.float32]

_THREADS = 2


class Oracle:
    """The reference `model`, whose one input is a picture [1, 3, height, width]."""

    def __init__(
        self, model: onnx.ModelProto, size: tuple[int, int], outputs: Sequence[str]
    ) -> None:
        self._model, self._size = model, size
        self.outputs = list(outputs)
        self._run = self._prepared(model)

    def __call__(self, tensor: Floats) -> dict[str, Floats]:
        """The outputs by name, for one picture."""
        return self._results(self._run, tensor, self.outputs)

    def inner_names(self) -> dict[str, str]:
        """Names of inner values, by the names that a saved file gives them."""
        from silverprint.export.coreml.proof.names import by_saved_name

        return by_saved_name(
            name for node in self._model.graph.node for name in node.output if name
        )

    def inner(self, tensor: Floats, names: Sequence[str]) -> dict[str, Floats]:
        """Inner values by name; those that ONNX Runtime cannot give as float32 are left out."""
        from onnx import ModelProto, ValueInfoProto

        copy = ModelProto()
        copy.CopyFrom(self._model)
        known = {value.name for value in copy.graph.output}
        copy.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in known)
        extractor = self._prepared(copy)
        floats = [name for name, kind, _ in extractor.outputs if kind == 1 and name in set(names)]
        return self._results(extractor, tensor, floats)

    def unrest(self, tensor: Floats, step: float, times: int = 3) -> Mapping[str, float]:
        """How far each output moves, relative to its largest number, with the picture's last bit.

        `step` is that bit as a share of the number. No implementation in an arithmetic that rounds
        so can be expected to come closer than this.
        """
        plain = self(tensor)
        moved = dict.fromkeys(self.outputs, 0.0)
        for seed in range(times):
            random = np.random.default_rng(seed).uniform(-1, 1, tensor.shape)
            other = self((tensor * (1 + random * step)).astype(np.float32))
            for name in self.outputs:
                moved[name] = max(moved[name], relative(other[name], plain[name]))
        return moved

    def _prepared(self, model: onnx.ModelProto):  # type: ignore[no-untyped-def]
        from silverprint import _core
        from silverprint.features.runtime import CPU, library_path

        return _core.runtime.Extractor(
            library_path(), model.SerializeToString(), CPU, _THREADS, *self._size, "center_crop"
        )

    @staticmethod
    def _results(extractor, tensor: Floats, names: Sequence[str]) -> dict[str, Floats]:  # type: ignore[no-untyped-def]
        from silverprint import _core

        found = extractor.run_tensor(tensor, list(names), _core.runtime.CancelToken())
        return dict(zip(names, found, strict=True))


def relative(found: npt.NDArray[np.floating], wanted: npt.NDArray[np.floating]) -> float:
    """Largest difference as a share of the largest number wanted."""
    if found.shape != wanted.shape:
        found = found.reshape(wanted.shape)
    largest = float(np.abs(wanted).max(initial=0.0))
    difference = float(np.abs(found.astype(np.float64) - wanted).max(initial=0.0))
    if np.isnan(difference):
        return float("inf")
    return difference / largest if largest > 0 else difference
