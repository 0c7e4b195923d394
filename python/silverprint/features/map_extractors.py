"""The extractors of feature maps: the built-in one, and any ONNX backbone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidParameterError
from silverprint.features import graph as graphs
from silverprint.features.maps import (
    CROP_AND_SCALE,
    DEFAULT_SIZE,
    STRIDES,
    MapBackbone,
    MapExtractor,
    checked_size,
    checked_strides,
    make_map_backbone,
)
from silverprint.features.normalisation import as_tuple, normalisation_of
from silverprint.features.once import once
from silverprint.features.prints import LICENCE, check_revision, stored_print
from silverprint.features.runtime import CPU


@dataclass(frozen=True)
class ObjectPrint(MapExtractor):
    """The built-in feature extractor for object detection.

    Immutable: threads may share it.

    Args:
        revision: None is the newest, resolved at once so that it is stored with what it made.
        size: (height, width) that pictures are stretched to, multiples of 32.
        strides: of the maps.
        provider: ONNX Runtime's execution provider.

    Raises:
        InvalidParameterError: a parameter has a value that is not allowed.
    """

    revision: int | None = None
    size: tuple[int, int] = DEFAULT_SIZE
    strides: tuple[int, ...] = STRIDES
    provider: str = field(default=CPU)

    def __post_init__(self) -> None:
        object.__setattr__(self, "revision", check_revision(self.revision))
        object.__setattr__(self, "size", checked_size(self.size))
        object.__setattr__(self, "strides", checked_strides(self.strides))

    def __getstate__(self) -> dict[str, Any]:
        # The graph is in every installation.
        state = super().__getstate__()
        state.pop("backbone", None)
        return state

    @property
    def rule(self) -> PictureRule:
        return PictureRule(*self.size, CROP_AND_SCALE)

    @once
    def backbone(self) -> MapBackbone:
        model, name = stored_print(self.revision)
        return make_map_backbone(
            model,
            path=name,
            tensors={stride: f"stride{stride}" for stride in self.strides},
            rule=self.rule,
            normalisation=normalisation_of(name, graphs.metadata(model)),
            provider=self.provider,
            record={"name": "ObjectPrint", "revision": self.revision, "licence": LICENCE},
        )


@dataclass(frozen=True)
class CustomMapExtractor(MapExtractor):
    """Any convolutional ONNX backbone, cut at the tensors that have strides 8, 16 and 32.

    Immutable: threads may share it.

    Args:
        model_path: an ONNX file with one input, float32 (N, 3, height, width); external weights
            lie in its folder.
        map_names: the tensors [N, c, h, w] at strides 8, 16 and 32, outputs or inner ones. None:
            ``stride8``, ``stride16`` and ``stride32``.
        size: (height, width) that pictures are stretched to, multiples of 32. The file may declare
            another, which convolutions do not mind.
        mean, std: normalisation on the 0..255 scale, (x - mean) / std, for red, green and blue.
            None: from the file's metadata (``mean``, ``std``). A graph that normalises itself
            takes ``mean=(0, 0, 0), std=(1, 1, 1)``.
        channel_order: "RGB" or "BGR", as the backbone expects. None: as its metadata says, or RGB.
        strides: of the maps that are used.
        provider: ONNX Runtime's execution provider.

    Raises:
        BackboneError: the file cannot serve; says why and what to pass.
        InvalidParameterError: a parameter has a value that is not allowed.
    """

    model_path: str | os.PathLike[str]
    map_names: tuple[str, str, str] | None = None
    size: tuple[int, int] = DEFAULT_SIZE
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: str | None = None
    strides: tuple[int, ...] = STRIDES
    provider: str = field(default=CPU)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_path", os.fspath(self.model_path))
        for name in ("mean", "std", "map_names"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_tuple(name, value))
        names = self.map_names
        if names is not None and not (
            len(names) == len(STRIDES) and all(isinstance(name, str) for name in names)
        ):
            raise InvalidParameterError("map_names", names, "three names, for strides 8, 16 and 32")
        object.__setattr__(self, "size", checked_size(self.size))
        object.__setattr__(self, "strides", checked_strides(self.strides))
        _ = self.backbone

    @once
    def backbone(self) -> MapBackbone:
        path = Path(self.model_path)
        model = graphs.load(path)
        entries = graphs.metadata(model)
        names = self.map_names or tuple(f"stride{stride}" for stride in STRIDES)
        tensors = {s: n for s, n in zip(STRIDES, names, strict=True) if s in self.strides}
        return make_map_backbone(
            model,
            path=path,
            tensors=tensors,
            rule=PictureRule(*self.size, CROP_AND_SCALE),
            normalisation=normalisation_of(path, entries, self.mean, self.std, self.channel_order),
            provider=self.provider,
            record={
                "name": "custom",
                "licence": entries.get("licence", entries.get("license", "")),
            },
        )
