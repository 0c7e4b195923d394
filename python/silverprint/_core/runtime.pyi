"""
ONNX Runtime through its C ABI.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import typing

__all__: list[str] = ["CancelToken", "Extractor", "library_info"]

class CancelToken:
    """
    A flag that any thread may raise; runs under way stop soon after.
    """
    def __init__(self) -> None: ...
    def cancel(self) -> None: ...
    @property
    def cancelled(self) -> bool: ...

class Extractor:
    """
    A graph made ready to run on pictures. Thread-safe: run() may be called from many threads.
    """
    def __init__(
        self,
        library: str,
        model: bytes,
        provider: str,
        threads: typing.SupportsInt | typing.SupportsIndex,
        height: typing.SupportsInt | typing.SupportsIndex,
        width: typing.SupportsInt | typing.SupportsIndex,
        crop_and_scale: str,
    ) -> None: ...
    def run(
        self,
        picture: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        outputs: collections.abc.Sequence[str],
        cancel: CancelToken,
        order: str = "rgb",
        views: collections.abc.Sequence[
            tuple[
                str,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
            ]
        ] = (),
    ) -> list[numpy.typing.NDArray[numpy.float32]]:
        """
        The named outputs, float32, for one uint8 picture (height, width, channels), and one row more
        for each of its views (option, number, seed).
        """
    def run_half(
        self,
        picture: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8],
        outputs: collections.abc.Sequence[str],
        length: typing.SupportsInt | typing.SupportsIndex,
        cancel: CancelToken,
        order: str = "rgb",
        views: collections.abc.Sequence[
            tuple[
                str,
                typing.SupportsInt | typing.SupportsIndex,
                typing.SupportsInt | typing.SupportsIndex,
            ]
        ] = (),
    ) -> numpy.typing.NDArray[numpy.uint16]:
        """
        The named outputs, flattened and one behind the other, as the bits of half precision: uint16
        (1 + views, length), for one uint8 picture and below it for each of its views.
        """
    def run_tensor(
        self,
        tensor: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        outputs: collections.abc.Sequence[str],
        cancel: CancelToken,
    ) -> list[numpy.typing.NDArray[numpy.float32]]:
        """
        The named outputs for ready image tensors, float32 (n, 3, height, width).
        """
    @property
    def inputs(self) -> list[tuple[str, int, list[int]]]:
        """
        (name, ONNX element type, shape) of each input; -1 where a size is not fixed.
        """
    @property
    def outputs(self) -> list[tuple[str, int, list[int]]]: ...

def library_info(path: str) -> dict[str, typing.Any]:
    """
    Path, version, providers and build of the ONNX Runtime library at `path`; loads it.
    """
