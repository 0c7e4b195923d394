"""Computes a Pipeline: models one after the other, joined by the names of their features."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError, nearest
from silverprint.export.coreml.execute.suppression import run_suppression
from silverprint.export.coreml.reader import SavedModel

Watch = Callable[[str, npt.NDArray[Any]], None]


def run_pipeline(
    saved: SavedModel,
    inputs: Mapping[str, Any],
    *,
    rounding: Literal["none", "float16"] = "none",
    watch: Watch | None = None,
) -> dict[str, Any]:
    """Every output of a Pipeline or PipelineClassifier by its name.

    Each model takes what it needs from `inputs` and from the models before it; an optional input
    may be left out. `rounding` holds for the ML Programs among them. `watch` is told the outputs
    of layers and operations, and those of each model, by name.

    Raises ExportError: an input that nothing gives, an output that no model gives.
    """
    from silverprint.export.coreml.execute import execute

    spec = saved.spec
    classifier = spec.WhichOneof("Type") == "pipelineClassifier"
    pipeline = spec.pipelineClassifier.pipeline if classifier else spec.pipeline
    if not pipeline.models:
        raise ExportError("the pipeline holds no model")
    features = dict(inputs)
    declared = [feature.name for feature in spec.description.input]
    for name in features:
        if name not in declared:
            hint = nearest(name, declared)
            raise ExportError(f"the model has no input {name!r}, only {', '.join(declared)}{hint}")
    for at, model in enumerate(pipeline.models, 1):
        name = pipeline.names[at - 1] if len(pipeline.names) == len(pipeline.models) else ""
        part = replace(saved, spec=model)
        needed = {feature.name for feature in model.description.input}
        known = {key: value for key, value in features.items() if key in needed}
        try:
            if model.WhichOneof("Type") == "nonMaximumSuppression":
                outputs = run_suppression(part, known)
            else:
                outputs = execute(part, known, rounding=rounding, watch=watch)
        except ExportError as error:
            which = f"model {at} of the pipeline" + (f" ({name})" if name else "")
            raise ExportError(f"{which}: {error}") from error
        if watch is not None:
            for key, value in outputs.items():
                if isinstance(value, np.ndarray):
                    watch(key, value)
        features.update(outputs)
    missing = [one.name for one in spec.description.output if one.name not in features]
    if missing:
        raise ExportError(f"no model of the pipeline gives {', '.join(missing)}")
    return {one.name: features[one.name] for one in spec.description.output}
