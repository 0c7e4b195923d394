"""
Each kernel on each instruction set, for tests.
"""

from __future__ import annotations
import numpy
import numpy.typing
import typing

__all__: list[str] = ["gemm", "resample_columns", "resample_rows", "softmax", "softmax_jacobian"]

def gemm(
    isa: str,
    a: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    b: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    c: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
) -> numpy.typing.NDArray[numpy.float32]:
    """
    C + A B; A may be strided.
    """

def resample_columns(
    isa: str,
    row: typing.Annotated[numpy.typing.ArrayLike, numpy.int16],
    first: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
    weight: typing.Annotated[numpy.typing.ArrayLike, numpy.int16],
) -> numpy.typing.NDArray[numpy.float32]:
    """
    Levels (3, width) from one row of RGB in 1/64ths.
    """

def resample_rows(
    isa: str,
    rows: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
    weight: typing.Annotated[numpy.typing.ArrayLike, numpy.int16],
) -> numpy.typing.NDArray[numpy.int16]:
    """
    One output row, in 1/64ths of a level, from uint8 rows (taps, count).
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
