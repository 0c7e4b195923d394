"""
Each kernel on each instruction set, for tests.
"""

from __future__ import annotations
import numpy
import numpy.typing
import typing

__all__: list[str] = [
    "adam",
    "gemm",
    "map_moments",
    "map_rectify",
    "map_rectify_back",
    "map_rectify_sums",
    "resample_columns",
    "resample_rows",
    "softmax",
    "softmax_jacobian",
    "split_pixels",
    "widen",
]

def adam(
    isa: str,
    gradient: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    length: typing.SupportsFloat | typing.SupportsIndex,
    scale: typing.SupportsFloat | typing.SupportsIndex,
    w: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    first: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    second: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> tuple[
    numpy.typing.NDArray[numpy.float32],
    numpy.typing.NDArray[numpy.float32],
    numpy.typing.NDArray[numpy.float32],
]:
    """
    w and both moments after one step of Adam.
    """

def gemm(
    isa: str,
    a: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    b: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    c: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> numpy.typing.NDArray[numpy.float32]:
    """
    C + A B; A may be strided.
    """

def map_moments(
    isa: str,
    x: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    origin: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    sum: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    squares: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
    """
    sum and squares, with those of x - origin added, by channel.
    """

def map_rectify(
    isa: str,
    z: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    shift: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    residual: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    max(z * scale + shift, 0), plus the residual.
    """

def map_rectify_back(
    isa: str,
    z: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    shift: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    d: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    by_signal: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    by_z: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    constant: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> numpy.typing.NDArray[numpy.float32]:
    """
    by_signal * g + by_z * z + constant, with the same g.
    """

def map_rectify_sums(
    isa: str,
    z: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    scale: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    shift: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mean: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    d: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    sum: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    products: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
    """
    sum and products, with those of g and g (z - mean) added; g = d where z * scale + shift > 0.
    """

def resample_columns(
    isa: str,
    row: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    first: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    weight: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
) -> numpy.typing.NDArray[numpy.uint8]:
    """
    Levels, uint8 (3, width), from one row of RGB (pixels, 3).
    """

def resample_rows(
    isa: str,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    weight: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
) -> numpy.typing.NDArray[numpy.float32]:
    """
    One row of levels, float32 (count), from uint8 rows (taps, count).
    """

def softmax(
    isa: str,
    scores: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    classes: typing.SupportsInt | typing.SupportsIndex,
) -> tuple[
    numpy.typing.NDArray[numpy.float32],
    numpy.typing.NDArray[numpy.float32],
    numpy.typing.NDArray[numpy.float32],
]:
    """
    Probabilities, largest score and sum of exponentials of the first `classes` columns.
    """

def softmax_jacobian(
    isa: str,
    p: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    weight: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    u: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    classes: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    weight * p * (u - sum(p u)), row by row.
    """

def split_pixels(
    isa: str, pixels: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8]
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Planes, float32 (3, count), of RGB pixels, uint8 (count, 3).
    """

def widen(
    isa: str,
    half: typing.Annotated[numpy.typing.ArrayLike, numpy.uint16],
    scale: typing.SupportsFloat | typing.SupportsIndex,
    shift: typing.SupportsFloat | typing.SupportsIndex,
    padding: typing.SupportsInt | typing.SupportsIndex,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    x * scale + shift of float16 rows, given as uint16, with columns of 0 after them.
    """
