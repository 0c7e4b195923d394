"""The built-in print, which comes in the wheel."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import Any

from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidParameterError
from silverprint.features import graph as graphs
from silverprint.features.extractor import (
    DEFAULT_CROP_AND_SCALE,
    Backbone,
    FeatureExtractor,
    make_backbone,
)
from silverprint.features.once import once
from silverprint.features.runtime import CPU

REVISIONS = (0,)
"""Revisions in this package, oldest first. 0 is a preview."""

_SIZE = 224


@dataclass(frozen=True)
class ScenePrint(FeatureExtractor):
    """The built-in feature extractor for whole pictures.

    Immutable: threads may share it.

    Args:
        revision: None is the newest, resolved at once so that it is stored with what it made.
        crop_and_scale: how pictures are brought to size, see `PictureRule`. None: "center_crop".
        provider: ONNX Runtime's execution provider.

    Raises:
        InvalidParameterError: this package has no such revision.
    """

    revision: int | None = None
    crop_and_scale: str | None = None
    provider: str = field(default=CPU)

    def __post_init__(self) -> None:
        if self.revision is None:
            object.__setattr__(self, "revision", REVISIONS[-1])
        if self.revision not in REVISIONS or type(self.revision) is not int:
            raise InvalidParameterError(
                "revision", self.revision, f"one of {', '.join(map(str, REVISIONS))}, or None"
            )
        _ = self.rule

    def __getstate__(self) -> dict[str, Any]:
        # The graph is in every installation, sessions of the runtime stay in their process.
        return {
            key: value
            for key, value in self.__dict__.copy().items()
            if key not in ("backbone", "function")
        }

    @property
    def rule(self) -> PictureRule:
        return PictureRule(_SIZE, _SIZE, self.crop_and_scale or DEFAULT_CROP_AND_SCALE)

    @once
    def backbone(self) -> Backbone:
        resource = files("silverprint") / "prints" / f"scene_print_{self.revision}.onnx"
        with as_file(resource) as path:
            model = graphs.load(path)
        mean, std = graphs.normalisation(graphs.metadata(model))
        assert mean is not None
        assert std is not None
        return make_backbone(
            model,
            path=resource.name,
            output="features",
            rule=self.rule,
            mean=mean,
            std=std,
            channel_order="RGB",
            provider=self.provider,
            record={"name": "ScenePrint", "revision": self.revision, "licence": "Apache-2.0"},
        )
