"""Views for object detection: versions of a picture whose boxes can follow.

View 0 of a picture is the picture itself, view 1 is mirrored left to right, and those from 2 are
random (`scene` in ``cpp/image/scene_view.h``): half of them mirrored; 7 of 10 a part of 35 to 100 %
of the picture, up to 4/3 times wider or higher in proportion, stretched over the tensor, the others
the whole picture within grey, 1 to 1.6 times its width and height; brightness, contrast and
saturation times 0.7 to 1.3 each.

What a view shows follows from the seed of the training, the picture's bytes and the view's number:
neither from boxes, so that corrected annotations need no new extraction, nor from the picture's
size. The *geometry* of a view is what it shows: left, top, right and bottom of a rectangle in
coordinates of the picture, from 0 to 1 and beyond where it is zoomed out, and then whether it is
mirrored. A point x of the picture is at (x - left) / (right - left) of the view, or 1 minus that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.errors import InvalidParameterError
from silverprint.features.augmentation import SeededView, view_seed

DEFAULT_VIEWS = 8
"""Views of each picture, the picture itself included."""


@dataclass(frozen=True)
class SceneView:
    """One version of a picture for object detection.

    Attributes:
        number: 0 is the picture itself, 1 is mirrored, from 2 random.

    Raises:
        InvalidParameterError: the number is negative, or none.
    """

    number: int
    option: ClassVar[str] = "scene"

    def __post_init__(self) -> None:
        if type(self.number) is not int or not 0 <= self.number < 2**31:
            raise InvalidParameterError("number", self.number, "a whole number from 0")

    def seeded(self, seed: int, digest: bytes) -> SeededView:
        """This view of the picture with that digest, as the core takes it."""
        return self.option, self.number, view_seed(seed, digest, self)


def scene_views(count: int) -> tuple[SceneView, ...]:
    """The views beside the picture itself that make `count` with it: 1, 2, ..., count - 1."""
    return tuple(SceneView(number) for number in range(1, count))


def scene_geometry(
    digests: Sequence[bytes], views: Sequence[SceneView], seed: int
) -> npt.NDArray[np.float32]:
    """What the pictures with those digests, and their views, show.

    Args:
        digests: SHA-256 of each of n pictures.
        views: v views beside the pictures themselves.
        seed: the seed of the training.

    Returns:
        float32 (n, 1 + v, 5): left, top, right, bottom, mirrored (0 or 1); of the picture itself
        first.
    """
    shown = np.empty((len(digests), 1 + len(views), 5), np.float32)
    shown[:, 0] = (0, 0, 1, 1, 0)
    for i, digest in enumerate(digests):
        for j, view in enumerate(views, 1):
            _, number, view_seed = view.seeded(seed, digest)
            shown[i, j] = _core.image.scene_geometry(number, view_seed)
    return shown


@dataclass(frozen=True)
class ViewPlan:
    """How many views of each picture are kept.

    Attributes:
        views: of each picture, itself included; at least 1.
        bytes: what they take on disk.
        text: one line that says so, and why they are fewer than by default.
    """

    views: int
    bytes: int
    text: str


def views_for(
    cache_limit: int | None, pictures: int, bytes_per_view: int, wanted: int = DEFAULT_VIEWS
) -> ViewPlan:
    """How many views of each of `pictures` fit into a budget on disk.

    Args:
        cache_limit: bytes; None: as many as it takes.
        bytes_per_view: length of a row.
        wanted: the most.

    Raises:
        InvalidParameterError: `cache_limit` is not a positive number of bytes, or `wanted` is none.
    """
    if cache_limit is not None and (type(cache_limit) is not int or cache_limit < 1):
        raise InvalidParameterError("cache_limit", cache_limit, "a number of bytes, or None")
    if type(wanted) is not int or wanted < 1:
        raise InvalidParameterError("views", wanted, "a whole number of at least 1")
    each = max(pictures * bytes_per_view, 1)
    views = wanted if cache_limit is None else max(1, min(wanted, cache_limit // each))
    taken = views * pictures * bytes_per_view
    each_picture = f"{views} views of each picture" if views > 1 else "each picture once"
    size = f"{taken / 1e6:.1f} MB of feature maps"
    if cache_limit is None or views == wanted:
        return ViewPlan(views, taken, f"{each_picture}: {size}")
    limit = f"the cache_limit of {cache_limit / 1e6:.1f} MB"
    fits = f"more than {limit}" if taken > cache_limit else f"within {limit}"
    return ViewPlan(views, taken, f"{each_picture} instead of {wanted} views: {size}, {fits}")
