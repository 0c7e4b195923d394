"""Annotated pictures as rows of Create ML's form."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from silverprint.data.records import Records

if TYPE_CHECKING:
    from silverprint.data.annotations.source import AnnotatedSource


@dataclass(frozen=True)
class AnnotatedFile:
    """A picture and its boxes as Create ML's JSON has them.

    Attributes:
        image: the path.
        annotations: a dictionary ``{"label": ..., "coordinates": {"x": ..., "y": ..., "width": ...,
            "height": ...}}`` for each box; `AnnotatedSource.annotation_type` tells what they mean.
    """

    image: Path
    annotations: tuple[dict[str, Any], ...]


def gathered(source: AnnotatedSource) -> Records[AnnotatedFile]:
    """A row for each picture; see `AnnotatedSource.gather_annotated_file_names`."""
    edges = source.boxes.edges.astype(np.float64)
    near, far = edges[:, :2], edges[:, 2:]
    numbers = np.concatenate([(near + far) / 2, far - near], axis=1)
    labels = [source.labels[label] for label in source.boxes.labels.tolist()]
    boxes = [
        {"label": label, "coordinates": {"x": x, "y": y, "width": width, "height": height}}
        for label, (x, y, width, height) in zip(labels, numbers.tolist(), strict=True)
    ]
    offsets = source.boxes.offsets.tolist()
    return Records(
        AnnotatedFile(path, tuple(boxes[offsets[i] : offsets[i + 1]]))
        for i, path in enumerate(source.paths)
    )
