"""Computes a Pipeline: models one after the other, joined by the names of their features."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError, nearest
from silverprint.export.coreml.execute.suppression import run_suppression
from silverprint.export.coreml.reader import SavedModel

Watch = Callable[[str, npt.NDArray[Any]], None]


class Pipeline:
    """A Pipeline or PipelineClassifier, made ready for many inputs.

    Args:
        rounding: holds for the ML Programs in it.

    Raises ExportError: there is no model in it, or one that cannot be executed.
    """

    def __init__(self, saved: SavedModel, *, rounding: Literal["none", "float16"] = "none") -> None:
        from silverprint.export.coreml.execute import prepare

        self._description = saved.spec.description
        classifier = saved.spec.WhichOneof("Type") == "pipelineClassifier"
        pipeline = saved.spec.pipelineClassifier.pipeline if classifier else saved.spec.pipeline
        if not pipeline.models:
            raise ExportError("the pipeline holds no model")
        self._steps: list[_Step] = []
        for at, model in enumerate(pipeline.models, 1):
            named = len(pipeline.names) == len(pipeline.models) and pipeline.names[at - 1]
            name = f"model {at} of the pipeline" + (f" ({named})" if named else "")
            part = replace(saved, spec=model)
            suppresses = model.WhichOneof("Type") == "nonMaximumSuppression"
            with _of(name):
                run = None if suppresses else prepare(part, rounding=rounding)
            self._steps.append(_Step(name, part, run))

    def run(self, inputs: Mapping[str, Any], *, watch: Watch | None = None) -> dict[str, Any]:
        """Every output by its name.

        Each model takes what it needs from `inputs` and from the models before it; an optional
        input may be left out. `watch` is told the outputs of layers and operations, and those of
        each model, by name.

        Raises ExportError: an input that nothing gives, an output that no model gives.
        """
        features = dict(inputs)
        declared = [feature.name for feature in self._description.input]
        for name in features:
            if name not in declared:
                hint = nearest(name, declared)
                raise ExportError(
                    f"the model has no input {name!r}, only {', '.join(declared)}{hint}"
                )
        for step in self._steps:
            needed = {feature.name for feature in step.part.spec.description.input}
            known = {key: value for key, value in features.items() if key in needed}
            with _of(step.name):
                if step.run is None:
                    outputs = run_suppression(step.part, known)
                else:
                    outputs = step.run(known, watch=watch)
            if watch is not None:
                for key, value in outputs.items():
                    if isinstance(value, np.ndarray):
                        watch(key, value)
            features.update(outputs)
        wanted = [one.name for one in self._description.output]
        missing = [name for name in wanted if name not in features]
        if missing:
            raise ExportError(f"no model of the pipeline gives {', '.join(missing)}")
        return {name: features[name] for name in wanted}


@dataclass(frozen=True)
class _Step:
    """One model; `run` is None for a suppression."""

    name: str
    part: SavedModel
    run: Callable[..., dict[str, Any]] | None


@contextmanager
def _of(name: str) -> Iterator[None]:
    try:
        yield
    except ExportError as error:
        raise ExportError(f"{name}: {error}") from error
