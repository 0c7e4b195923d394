"""Runs a file through Core ML itself, where there is one: on macOS."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.execute import prepare
from silverprint.export.coreml.library import quiet, require
from silverprint.export.coreml.proof.oracle import Floats, relative
from silverprint.export.coreml.reader import SavedModel


def ask_core_ml(saved: SavedModel, tensors: Sequence[Floats]) -> str:
    """What Core ML gives for pictures, against the executor; or why it is not asked.

    Raises ExportError: Core ML refuses the file.
    """
    if sys.platform != "darwin":
        return "not asked: Core ML runs on macOS only"
    from PIL import Image

    coremltools = require()
    run = prepare(saved, rounding="float16")
    description = saved.spec.description
    image = description.input[0].name
    label, worst, equal = description.predictedFeatureName, 0.0, 0
    with quiet():
        try:
            model = coremltools.models.MLModel(str(saved.path))
            for tensor in tensors:
                pixels = np.ascontiguousarray(tensor[0].transpose(1, 2, 0).astype(np.uint8))
                given = model.predict({image: Image.fromarray(pixels)})
                wanted = run({image: tensor})
                worst = max([worst, *(_difference(given[name], wanted[name]) for name in wanted)])
                equal += not label or given[label] == wanted[label]
        except (RuntimeError, ValueError, TypeError, KeyError) as error:
            raise ExportError(f"Core ML cannot run {saved.path}: {error}") from error
    labels = f"{equal} of {len(tensors)} labels equal, " if label else ""
    return f"{labels}outputs within {worst:.2g} of their largest number"


def _difference(given: Any, wanted: Any) -> float:
    if isinstance(wanted, str | int):
        return 0.0
    if isinstance(wanted, dict):
        given, wanted = ([one[key] for key in wanted] for one in (given, wanted))
    return relative(np.asarray(given, np.float32), np.asarray(wanted, np.float32))
