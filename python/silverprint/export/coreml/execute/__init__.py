"""Computes what a saved Core ML model says, on any machine, from the file alone.

Written after the definitions of Core ML's operators and layers, apart from what translates and
writes models, so that one can be held against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import numpy.typing as npt

from silverprint.errors import ExportError, InvalidParameterError
from silverprint.export.coreml.reader import SavedModel

__all__ = ["execute", "prepare"]

Rounding = Literal["none", "float16"]
Watch = Callable[[str, npt.NDArray[Any]], None]
Run = Callable[..., dict[str, Any]]


def execute(
    saved: SavedModel,
    inputs: Mapping[str, npt.NDArray[Any]],
    *,
    rounding: Rounding = "none",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Every output of the model, by the name that its description gives it.

    Args:
        saved: the model, as `read_model` gives it.
        inputs: by name. An image input takes RGB planes [1, 3, height, width] with levels of
            0..255, float32 or uint8: colour layout and preprocessing are those of the file.
        rounding: of an ML Program. "none": floats are float32, whatever type is declared;
            "float16": each value declared as float16 is rounded to it once it is computed.
        watch: called with the name, as in the file, and the value of all that is computed on the
            way to the outputs. It must not change the value.

    Returns:
        float32 arrays (integers as declared); the label of a classifier as str or int; its
        probabilities as a dictionary from label to float.

    Raises:
        ExportError: operators or layers that are not known (all of them are named), a missing
            input, a value whose shape or type is not the declared one.
        InvalidParameterError: another `rounding`.
    """
    return prepare(saved, rounding=rounding)(inputs, watch=watch)


def prepare(saved: SavedModel, *, rounding: Rounding = "none") -> Run:
    """`execute` made ready for many inputs: call what it returns with ``inputs`` and ``watch=``.

    Raises: as `execute`, as far as it does not depend on the inputs.
    """
    if rounding not in ("none", "float16"):
        raise InvalidParameterError("rounding", rounding, "none or float16")
    kind = saved.spec.WhichOneof("Type")
    if kind == "mlProgram":
        from silverprint.export.coreml.execute.program import Program

        return Program(saved, rounding=rounding).run
    if kind in ("neuralNetwork", "neuralNetworkClassifier"):
        from silverprint.export.coreml.execute.network import run_network

        return partial(run_network, saved)
    if kind in ("pipeline", "pipelineClassifier"):
        from silverprint.export.coreml.execute.pipeline import Pipeline

        return Pipeline(saved, rounding=rounding).run
    raise ExportError(f"{saved.path}: a model of the kind {kind} cannot be executed")
