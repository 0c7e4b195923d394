"""The built-in print, which comes in the wheel."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib.resources import as_file, files
from typing import TYPE_CHECKING, Any

from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidParameterError
from silverprint.features import graph as graphs
from silverprint.features.extractor import (
    DEFAULT_CROP_AND_SCALE,
    Backbone,
    FeatureExtractor,
    make_backbone,
)
from silverprint.features.normalisation import normalisation_of
from silverprint.features.once import once
from silverprint.features.runtime import CPU

if TYPE_CHECKING:
    import onnx

REVISIONS = (0,)
"""Revisions in this package, oldest first. 0 is a preview."""

LICENCE = "Apache-2.0"

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
        object.__setattr__(self, "revision", check_revision(self.revision))
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
        model, name = stored_print(self.revision)
        return make_backbone(
            model,
            path=name,
            output="features",
            rule=self.rule,
            normalisation=normalisation_of(name, graphs.metadata(model)),
            provider=self.provider,
            record={"name": "ScenePrint", "revision": self.revision, "licence": LICENCE},
        )


def check_revision(revision: object) -> int:
    """`revision`, or the newest for None.

    Raises:
        InvalidParameterError: this package has no such revision.
    """
    if revision is None:
        return REVISIONS[-1]
    if type(revision) is not int or revision not in REVISIONS:
        raise InvalidParameterError(
            "revision", revision, f"one of {', '.join(map(str, REVISIONS))}, or None"
        )
    return revision


def stored_print(revision: int | None) -> tuple[onnx.ModelProto, str]:
    """The network of a revision, which both prints share, and the name of its file."""
    resource = files("silverprint") / "prints" / f"scene_print_{revision}.onnx"
    with as_file(resource) as path:
        return graphs.load(path), resource.name
