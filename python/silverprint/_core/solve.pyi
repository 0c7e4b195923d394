"""
Solvers.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import silverprint._core.runtime
import typing

__all__: list[str] = ["HeadSolver", "LogisticRegression", "MultilayerPerceptron"]

class HeadSolver:
    """
    A head under training on standardised features, one iteration at a time:
    (weighted) mean log loss + l2/2 |W|^2, intercepts free. Equal bytes for any number of threads.
    """
    def layers(
        self,
    ) -> list[tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.float32]]]:
        """
        Weights (inputs, outputs) and intercepts (outputs,) of each layer, float32; the first takes
        standardised features, and rectified linear units stand between them.
        """
    def probabilities(
        self, features: typing.Annotated[numpy.typing.ArrayLike, numpy.float32]
    ) -> numpy.typing.NDArray[numpy.float32]:
        """
        Probabilities float32 (rows, classes) of raw features.
        """
    def set_l2(self, l2: typing.SupportsFloat | typing.SupportsIndex) -> None:
        """
        Go on with another penalty.
        """
    def step(self, cancel: silverprint._core.runtime.CancelToken) -> bool:
        """
        One iteration; False once converged.
        """
    def value(self) -> float:
        """
        The objective at the present weights.
        """
    @property
    def constant_features(self) -> int:
        """
        How many features hardly vary; they take no part.
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

class LogisticRegression(HeadSolver):
    """
    Multinomial logistic regression.
    """
    def __init__(
        self,
        features: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        rows: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        classes: typing.SupportsInt | typing.SupportsIndex,
        l2: typing.SupportsFloat | typing.SupportsIndex,
        weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        tolerance: typing.SupportsFloat | typing.SupportsIndex = 1e-05,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        features float32 (n, d); rows int64 (m,), those to train on; labels int32 (m,);
        weights float32 (m,), how much each row counts.
        """
    def restore(self, state: dict[str, typing.Any]) -> None:
        """
        Continue from a state(), bit for bit.
        """
    def state(self) -> dict[str, typing.Any]:
        """
        All that the next step depends on, as a dict of arrays and numbers.
        """

class MultilayerPerceptron(HeadSolver):
    """
    Hidden layers of rectified linear units, then a softmax.
    """
    def __init__(
        self,
        features: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        rows: typing.Annotated[numpy.typing.ArrayLike, numpy.int64],
        labels: typing.Annotated[numpy.typing.ArrayLike, numpy.int32],
        classes: typing.SupportsInt | typing.SupportsIndex,
        layer_sizes: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        l2: typing.SupportsFloat | typing.SupportsIndex,
        weights: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
        tolerance: typing.SupportsFloat | typing.SupportsIndex = 0.1,
        seed: typing.SupportsInt | typing.SupportsIndex = 0,
        threads: typing.SupportsInt | typing.SupportsIndex = 0,
    ) -> None:
        """
        features float32 (n, d); rows int64 (m,), those to train on; labels int32 (m,);
        weights float32 (m,), how much each row counts.
        """
    def restore(self, state: dict[str, typing.Any]) -> None:
        """
        Continue from a state(), bit for bit.
        """
    def state(self) -> dict[str, typing.Any]:
        """
        All that the next step depends on, as a dict of arrays and numbers.
        """
