"""Feature maps for object detection: a backbone cut at strides 8, 16 and 32.

What a picture becomes is one row of float16: the maps [c, h, w] flattened, the finest first. Rows
are too long for the user's feature cache (411 kB with MobileNetV2 at 416 pixels): a training keeps
its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.rule import PictureRule
from silverprint.errors import BackboneError, InvalidParameterError, OnnxRuntimeError
from silverprint.features import graph as graphs
from silverprint.features.augmentation import SeededView
from silverprint.features.blocks import Rows
from silverprint.features.matrix import FLOAT16
from silverprint.features.normalisation import Normalisation, as_tuple
from silverprint.features.once import once
from silverprint.features.runtime import CPU, library_path

if TYPE_CHECKING:
    import onnx

STRIDES = (8, 16, 32)
"""Pixels of the picture for one cell of a map."""

DEFAULT_SIZE = (416, 416)
CROP_AND_SCALE = "scale_fill"
"""Boxes are kept in parts of the picture, which it leaves as they are."""

MapShape = tuple[int, int, int]
"""Channels, height and width of a map."""


@dataclass(frozen=True)
class MapBackbone:
    """A graph from ``image`` to maps, and its record.

    Attributes:
        graph: serialized ONNX model whose outputs are `tensors`.
        tensors: the tensor of each stride, float32 [N, c, h, w], in the order of the strides.
        maps: the shape of each.
        rule: the picture rule that makes ``image``.
        record: name, revision, licence, tensors, sizes and fingerprint, as models carry them.
    """

    graph: bytes
    tensors: Mapping[int, str]
    maps: Mapping[int, MapShape]
    rule: PictureRule
    record: dict[str, Any]

    @property
    def dimension(self) -> int:
        """Length of a row: the numbers of all maps."""
        return sum(c * h * w for c, h, w in self.maps.values())


class MapFunction:
    """The maps of a backbone, picture by picture; safe to call from many threads."""

    def __init__(self, backbone: MapBackbone, provider: str = CPU) -> None:
        rule = backbone.rule
        self.rule = rule
        self.maps = backbone.maps
        self.dimension = backbone.dimension
        self.dtype = FLOAT16
        self._outputs = list(backbone.tensors.values())
        # One thread per run: pictures, not operators, are what runs in parallel.
        self._extractor = _core.runtime.Extractor(
            library_path(),
            backbone.graph,
            provider,
            1,
            rule.height,
            rule.width,
            rule.crop_and_scale,
        )

    def run(self, pixels: npt.NDArray[np.uint8], cancel: _core.runtime.CancelToken) -> Rows:
        """The maps, float16 (dimension,), for uint8 RGB pixels (height, width, 3).

        Raises:
            BackboneError: a number is beyond 65504, the largest of float16.
        """
        row: Rows = self.run_views(pixels, cancel, ())[0]
        return row

    def run_views(
        self,
        pixels: npt.NDArray[np.uint8],
        cancel: _core.runtime.CancelToken,
        views: Sequence[SeededView],
    ) -> Rows:
        """The maps of the picture and below them those of each view, float16 (1 + v, d)."""
        rows = self._extractor.run_half(pixels, self._outputs, self.dimension, cancel, views=views)
        return rows.view(self.dtype)

    def run_tensor(self, tensor: npt.NDArray[np.float32]) -> dict[int, npt.NDArray[np.float32]]:
        """The map of each stride, float32 (n, c, h, w), for image tensors (n, 3, height, width)."""
        token = _core.runtime.CancelToken()
        found = self._extractor.run_tensor(tensor, self._outputs, token)
        return dict(zip(self.maps, found, strict=True))


class MapExtractor:
    """What `ObjectPrint` and `CustomMapExtractor` (`map_extractors`) have in common.

    Extractors are immutable and may be used from many threads at once.
    """

    strides: tuple[int, ...]
    provider: str
    dtype: ClassVar[np.dtype[Any]] = FLOAT16

    @once
    def backbone(self) -> MapBackbone:
        """The graph and its record."""
        raise NotImplementedError

    @property
    def rule(self) -> PictureRule:
        """How a picture becomes the tensor that the backbone sees."""
        return self.backbone.rule

    @property
    def maps(self) -> Mapping[int, MapShape]:
        """Channels, height and width of the map at each stride."""
        return self.backbone.maps

    @property
    def dimension(self) -> int:
        """Length of a row."""
        return self.backbone.dimension

    @once
    def function(self) -> MapFunction:
        """The backbone made ready to run."""
        return MapFunction(self.backbone, self.provider)

    def with_strides(self, strides: Sequence[int]) -> MapExtractor:
        """This extractor with the maps at these strides only.

        Raises:
            InvalidParameterError: they are not some of 8, 16 and 32, in this order.
        """
        other = copy(self)
        for name in ("function", "backbone"):
            other.__dict__.pop(name, None)
        other.__dict__["strides"] = checked_strides(strides)
        return other

    def __getstate__(self) -> dict[str, Any]:
        # Sessions of the runtime stay in their process.
        # A copy, because another thread may be making one.
        return {key: value for key, value in self.__dict__.copy().items() if key != "function"}


def make_map_backbone(
    model: onnx.ModelProto,
    *,
    path: object,
    tensors: Mapping[int, str],
    rule: PictureRule,
    normalisation: Normalisation,
    provider: str,
    record: dict[str, Any],
) -> MapBackbone:
    """The graph of `model` to its `tensors` by stride, tried once on a black picture.

    Raises:
        BackboneError: ONNX Runtime refuses it, or a tensor is no map of that stride.
    """
    size = (rule.height, rule.width)
    try:
        graph, names = graphs.normalised_graph(
            model, path=path, outputs=list(tensors.values()), size=size, normalisation=normalisation
        )
    except BackboneError as error:
        raise BackboneError(
            f"{error}; pass map_names=, the tensors at strides 8, 16 and 32"
        ) from error
    graphs.with_outputs(graph, dict.fromkeys(names))
    named = dict(zip(tensors, names, strict=True))
    unknown = MapBackbone(graphs.serialize(graph), named, dict.fromkeys(named, (0, 0, 0)), rule, {})
    black = np.zeros((1, 3, *size), np.float32)
    try:
        function = MapFunction(unknown, provider)
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from error
    try:
        found = function.run_tensor(black)
    except (BackboneError, OnnxRuntimeError) as error:
        raise BackboneError(
            f"{path}: it cannot be run on pictures of {size[0]} x {size[1]}; if it is made for "
            f"another size only, pass size= ({error})"
        ) from error
    maps: dict[int, MapShape] = {}
    for stride, array in found.items():
        grid = (size[0] // stride, size[1] // stride)
        if array.ndim != 4 or array.shape[2:] != grid:
            raise BackboneError(
                f"{path}: tensor {tensors[stride]!r} has shape {list(array.shape)} for a picture "
                f"of {size[0]} x {size[1]}; a map at stride {stride} is "
                f"[1, c, {grid[0]}, {grid[1]}]; pass map_names="
            )
        maps[stride] = (array.shape[1], *grid)
    graphs.with_outputs(graph, {named[stride]: shape for stride, shape in maps.items()})
    data = graphs.serialize(graph)
    details = {
        "tensors": {str(stride): name for stride, name in tensors.items()},
        "maps": {str(stride): list(shape) for stride, shape in maps.items()},
        "fingerprint": hashlib.sha256(data).hexdigest(),
    }
    return MapBackbone(data, named, maps, rule, record | details)


def checked_size(value: Any) -> tuple[int, int]:
    """`value` as (height, width).

    Raises:
        InvalidParameterError: they are not multiples of 32.
    """
    size = as_tuple("size", value)
    if len(size) != 2 or not all(type(s) is int and s >= 32 and s % 32 == 0 for s in size):
        raise InvalidParameterError("size", value, "(height, width) in pixels, multiples of 32")
    return size[0], size[1]


def checked_strides(value: Any) -> tuple[int, ...]:
    """`value` as strides.

    Raises:
        InvalidParameterError: they are not some of 8, 16 and 32, in this order.
    """
    strides = as_tuple("strides", value)
    if not strides or strides != tuple(s for s in STRIDES if s in strides):
        raise InvalidParameterError("strides", value, "some of 8, 16 and 32, in this order")
    return strides
