"""Feature extractors: what the frozen part of a model is, and how to run it alone."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.data.rule import PictureRule
from silverprint.errors import BackboneError, InvalidParameterError
from silverprint.features import graph as graphs
from silverprint.features.augmentation import SeededView
from silverprint.features.extraction import (
    FeatureBlock,
    FloatMatrix,
    Progress,
    as_pictures,
    check_block_size,
    check_failures,
    extract_blocks,
)
from silverprint.features.matrix import FLOAT32
from silverprint.features.normalisation import Normalisation, as_tuple, normalisation_of
from silverprint.features.once import once
from silverprint.features.runtime import CPU, library_path
from silverprint.names import instead_of

if TYPE_CHECKING:
    import onnx

    from silverprint.data.decode import Picture

DEFAULT_CROP_AND_SCALE = "center_crop"


@dataclass(frozen=True)
class Backbone:
    """A feature graph and its record.

    Attributes:
        graph: serialized ONNX model from ``image`` to ``features`` [N, d].
        dimension: d.
        rule: the picture rule that makes ``image``.
        record: name, revision, tensor, licence and fingerprint, as models carry them.
    """

    graph: bytes
    dimension: int
    rule: PictureRule
    record: dict[str, Any]


class GraphFunction:
    """One output of a graph, picture by picture; safe to call from many threads."""

    def __init__(
        self, graph: bytes, output: str, dimension: int, rule: PictureRule, provider: str = CPU
    ) -> None:
        self.rule = rule
        self.dimension = dimension
        self.dtype = FLOAT32
        self._outputs = [output]
        # One thread per run: pictures, not operators, are what runs in parallel.
        self._extractor = _core.runtime.Extractor(
            library_path(), graph, provider, 1, rule.height, rule.width, rule.crop_and_scale
        )

    def run(
        self, pixels: npt.NDArray[np.uint8], cancel: _core.runtime.CancelToken
    ) -> npt.NDArray[np.float32]:
        """The output, float32 (dimension,), for uint8 RGB pixels (height, width, 3)."""
        row: npt.NDArray[np.float32] = self._extractor.run(pixels, self._outputs, cancel)[0][0]
        return row

    def run_views(
        self,
        pixels: npt.NDArray[np.uint8],
        cancel: _core.runtime.CancelToken,
        views: Sequence[SeededView],
    ) -> FloatMatrix:
        """The output for the picture and below it for each of its views, float32 (1 + v, d)."""
        return self._extractor.run(pixels, self._outputs, cancel, views=views)[0]

    def run_tensor(self, tensor: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The output, float32 (n, dimension), for image tensors (n, 3, height, width)."""
        token = _core.runtime.CancelToken()
        return self._extractor.run_tensor(tensor, self._outputs, token)[0]


@instead_of(
    fit="extract([...]): an extractor has nothing to learn",
    fit_transform="extract([...])",
    transform="extract([...])",
    predict="extract([...])",
    save="write of the ImageClassifier that was trained with it",
)
class FeatureExtractor:
    """What `ScenePrint` and `CustomFeatureExtractor` have in common.

    Extractors are immutable and may be used from many threads at once.
    """

    crop_and_scale: str | None
    provider: str
    dtype: ClassVar[np.dtype[Any]] = FLOAT32

    @once
    def backbone(self) -> Backbone:
        """The feature graph and its record."""
        raise NotImplementedError

    @property
    def rule(self) -> PictureRule:
        """How a picture becomes the tensor that the backbone sees."""
        return self.backbone.rule

    @property
    def dimension(self) -> int:
        """Length of a feature vector."""
        return self.backbone.dimension

    @once
    def function(self) -> GraphFunction:
        """The backbone made ready to run."""
        backbone = self.backbone
        return GraphFunction(
            backbone.graph, graphs.FEATURES, backbone.dimension, backbone.rule, self.provider
        )

    def extract(
        self,
        pictures: Sequence[Picture],
        *,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> FloatMatrix:
        """Features of `pictures`, float32 (n, d), row by row.

        Args:
            pictures: paths, bytes of picture files, PIL images, or uint8 arrays (H, W, 3).
            threads: pictures worked on at once; None: one for each core.
            progress: called with (done, total) from this thread.

        Raises:
            InvalidDataError: a picture cannot be read. `stream` reports instead.
        """
        pictures = as_pictures("pictures", pictures)
        if not pictures:
            return np.empty((0, self.dimension), np.float32)
        (block,) = extract_blocks(
            pictures, self.function, block_size=len(pictures), threads=threads, progress=progress
        )
        if len(block.failures) == 1:
            raise block.failures[0][1]
        if block.failures:
            from collections import Counter

            check_failures(
                [("", error) for _, error in block.failures],
                Counter({"": len(pictures)}),
                origin="extract",
                max_unreadable=0.0,
            )
        return block.features

    def stream(
        self,
        pictures: Sequence[Picture],
        *,
        block_size: int = 256,
        threads: int | None = None,
        progress: Progress | None = None,
    ) -> Iterator[FeatureBlock]:
        """Features block by block, in order, in memory bounded by a few blocks.

        Pictures that cannot be read are listed in their block's `failures`.

        Raises:
            InvalidParameterError: `block_size` is not a positive number.
        """
        check_block_size(block_size)
        return extract_blocks(
            as_pictures("pictures", pictures),
            self.function,
            block_size=block_size,
            threads=threads,
            progress=progress,
        )

    def with_crop_and_scale(self, crop_and_scale: str | None) -> FeatureExtractor:
        """This extractor with another way to bring pictures to size; None: unchanged."""
        if crop_and_scale is None or crop_and_scale == self.rule.crop_and_scale:
            return self
        other = copy(self)
        # The graph is the same; what prepares its input is not.
        rule = replace(self.rule, crop_and_scale=crop_and_scale)
        other.__dict__.pop("function", None)
        other.__dict__["crop_and_scale"] = crop_and_scale
        other.__dict__["backbone"] = replace(self.backbone, rule=rule)
        return other


@dataclass(frozen=True)
class CustomFeatureExtractor(FeatureExtractor):
    """Any ONNX backbone, up to any named tensor in it.

    Immutable: threads may share it.

    Args:
        model_path: an ONNX file with one input, float32 (N, 3, height, width); external weights
            lie in its folder.
        output_name: the tensor to use, an output or an inner one: [N, d], or [N, d, h, w], which
            is averaged over h and w. None: the first output.
        size: (height, width) of the input, where the file leaves it free and its metadata has no
            ``input_size``.
        mean, std: normalisation on the 0..255 scale, (x - mean) / std, for red, green and blue.
            None: from the file's metadata (``mean``, ``std``). A graph that normalises itself
            takes ``mean=(0, 0, 0), std=(1, 1, 1)``.
        channel_order: "RGB" or "BGR", as the backbone expects. None: as its metadata says, or RGB.
        crop_and_scale: how pictures are brought to size, see `PictureRule`. None: "center_crop".
        provider: ONNX Runtime's execution provider.

    Raises:
        BackboneError: the file cannot serve; says why and what to pass.
        InvalidParameterError: a parameter has a value that is not allowed.
    """

    model_path: str | os.PathLike[str]
    output_name: str | None = None
    size: tuple[int, int] | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    channel_order: str | None = None
    crop_and_scale: str | None = None
    provider: str = field(default=CPU)

    def __post_init__(self) -> None:
        object.__setattr__(self, "model_path", os.fspath(self.model_path))
        for name in ("size", "mean", "std"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, as_tuple(name, value))
        _ = self.backbone

    def __getstate__(self) -> dict[str, Any]:
        # Sessions of the runtime stay in their process.
        # A copy, because another thread may be making one.
        return {key: value for key, value in self.__dict__.copy().items() if key != "function"}

    @once
    def backbone(self) -> Backbone:
        path = Path(self.model_path)
        model = graphs.load(path)
        entries = graphs.metadata(model)
        size = self._size(model, entries)
        output = self.output_name or model.graph.output[0].name
        rule = PictureRule(*size, self.crop_and_scale or DEFAULT_CROP_AND_SCALE)
        return make_backbone(
            model,
            path=path,
            output=output,
            rule=rule,
            normalisation=normalisation_of(path, entries, self.mean, self.std, self.channel_order),
            provider=self.provider,
            record={
                "name": "custom",
                "licence": entries.get("licence", entries.get("license", "")),
            },
        )

    def _size(self, model: onnx.ModelProto, entries: dict[str, str]) -> tuple[int, int]:
        _, height, width = graphs.image_input(model, self.model_path)
        given = self.size
        if given is None and entries.get("input_size", "").isdigit():
            given = (int(entries["input_size"]),) * 2
        if given is not None and (len(given) != 2 or not all(type(s) is int for s in given)):
            raise InvalidParameterError("size", given, "(height, width) in pixels")
        if given is None and (height is None or width is None):
            raise BackboneError(
                f"{self.model_path}: leaves height and width free; pass size=(height, width)"
            )
        size = (height or given[0], width or given[1]) if given else (height or 0, width or 0)
        if self.size is not None and tuple(self.size) != size:
            raise BackboneError(
                f"{self.model_path}: takes pictures of {size[0]} x {size[1]} only, not "
                f"{self.size[0]} x {self.size[1]}"
            )
        return size


def make_backbone(
    model: onnx.ModelProto,
    *,
    path: object,
    output: str,
    rule: PictureRule,
    normalisation: Normalisation,
    provider: str,
    record: dict[str, Any],
) -> Backbone:
    """The feature graph of `model` up to `output`, tried once on a black picture.

    Raises:
        BackboneError: ONNX Runtime refuses it, or the tensor is neither [N, d] nor [N, d, h, w].
    """
    parts: dict[str, Any] = {
        "path": path,
        "output": output,
        "size": (rule.height, rule.width),
        "normalisation": normalisation,
    }
    black = np.zeros((1, 3, rule.height, rule.width), np.float32)
    graph = graphs.feature_graph(model, **parts, pool=False)
    try:
        shape = (
            GraphFunction(graphs.serialize(graph), graphs.FEATURES, 0, rule, provider)
            .run_tensor(black)
            .shape
        )
        if len(shape) == 4:
            graph = graphs.feature_graph(model, **parts, pool=True)
        elif len(shape) != 2 or shape[0] != 1:
            raise BackboneError(
                f"tensor {output!r} has shape {list(shape)}; expected [N, d] or [N, d, h, w]; "
                "pass output_name="
            )
    except BackboneError as error:
        raise BackboneError(f"{path}: {error}") from error
    graphs.with_feature_shape(graph, shape[1])
    data = graphs.serialize(graph)
    fingerprint = hashlib.sha256(data).hexdigest()
    return Backbone(data, shape[1], rule, record | {"tensor": output, "fingerprint": fingerprint})
