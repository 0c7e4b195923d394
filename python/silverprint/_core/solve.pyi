"""
Solvers.
"""

from __future__ import annotations
import numpy
import numpy.typing
import silverprint._core.runtime
import typing

__all__: list[str] = ["LogisticRegression"]

class LogisticRegression:
    """
    Multinomial logistic regression on standardised features, one Newton iteration at a time:
    (weighted) mean log loss + l2/2 |W|^2, intercepts free. Equal bytes for any number of threads.
    """
    def __init__(
        self,
        features: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        rows: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        classes: typing.SupportsInt | typing.SupportsIndex,
        l2: typing.SupportsFloat | typing.SupportsIndex,
        class_weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        tolerance: typing.SupportsFloat | typing.SupportsIndex = 1e-05,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        features float32 (n, d); rows int64 (m,), those to train on; labels int32 (m,).
        """
    def probabilities(
        self, features: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Probabilities float32 (rows, classes) of raw features.
        """
    def restore(self, state: dict[str, typing.Any]) -> None:
        """
        Continue from a state(), bit for bit.
        """
    def set_l2(self, l2: typing.SupportsFloat | typing.SupportsIndex) -> None:
        """
        Continue from these weights with another penalty.
        """
    def state(self) -> dict[str, typing.Any]:
        """
        All that the next step depends on, as a dict of arrays and numbers.
        """
    def step(self, cancel: silverprint._core.runtime.CancelToken) -> bool:
        """
        One outer iteration; False once converged.
        """
    def value(self) -> float:
        """
        The objective at the present weights.
        """
    def weights(
        self,
    ) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]:
        """
        Weights on standardised features (d, classes) and intercepts (classes,), float32.
        """
    @property
    def constant_features(self) -> int:
        """
        How many features hardly vary; their weights are fixed at 0.
        """
    @property
    def converged(self) -> bool: ...
    @property
    def deviation(self) -> numpy.typing.NDArray[numpy.float64]: ...
    @property
    def iteration(self) -> int: ...
    @property
    def l2(self) -> float: ...
    @property
    def mean(self) -> numpy.typing.NDArray[numpy.float64]: ...
