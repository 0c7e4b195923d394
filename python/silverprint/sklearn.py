"""silverprint in scikit-learn's pipelines: pictures to features, and features to labels.

Names and conventions here are scikit-learn's. Needs the extra: ``silverprint[sklearn]``.
"""

from __future__ import annotations

import hashlib
import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from silverprint import _core
from silverprint.checks import real, whole
from silverprint.classifier.parameters import L2_GRID, LogisticRegressor
from silverprint.data.splits import folds
from silverprint.errors import InvalidParameterError
from silverprint.features.extractor import FeatureExtractor
from silverprint.features.prints import ScenePrint
from silverprint.model.metrics import ClassifierMetrics

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
    )
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "silverprint.sklearn needs scikit-learn 1.6 or newer: pip install 'silverprint[sklearn]'"
    ) from error

__all__ = ["FeatureTransformer", "HeadClassifier"]

_FOLDS = 5
_SEARCH_TOLERANCE = 1e-4
_PATIENCE = 2
_UNTESTED_L2 = 0.1

_DEFAULT = ScenePrint()
"""One for all transformers: they share what it has loaded."""

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]


class FeatureTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Pictures to features, by a feature extractor of silverprint.

    Pictures are paths, bytes of picture files, PIL images or uint8 arrays (H, W, 3): a list of
    them, a 1-d array or pandas Series, or one column of a table. There is nothing to fit.

    A picture's features do not depend on the others'. One transformer may be used from many
    threads at once.

    Args:
        feature_extractor: `ScenePrint` or `CustomFeatureExtractor`; None: ``ScenePrint()``.
        threads: pictures worked on at once; None: one for each core.
    """

    def __init__(
        self, feature_extractor: FeatureExtractor | None = None, threads: int | None = None
    ) -> None:
        self.feature_extractor = feature_extractor
        self.threads = threads

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: N803
        """Check that the extractor is one; learns nothing and does not look at the pictures."""
        self._extractor()
        return self

    def transform(self, X: Any) -> Floats:  # noqa: N803
        """Features, float32 (n, d).

        Raises:
            InvalidDataError: a picture cannot be read.
            InvalidParameterError: `X` is not a list of pictures.
        """
        return self._extractor().extract(_as_list(X), threads=self.threads)

    def _extractor(self) -> FeatureExtractor:
        if self.feature_extractor is None:
            return _DEFAULT
        if not isinstance(self.feature_extractor, FeatureExtractor):
            raise InvalidParameterError(
                "feature_extractor",
                self.feature_extractor,
                "ScenePrint(...), CustomFeatureExtractor(...) or None",
            )
        return self.feature_extractor

    @property
    def _n_features_out(self) -> int:
        return self._extractor().dimension

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        tags.no_validation = True
        tags.transformer_tags.preserves_dtype = []
        return tags


class HeadClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The logistic regression of `ImageClassifier`, over a matrix of features.

    Minimises mean log loss + l2/2 * (sum of squared weights) on standardised features, intercepts
    free, by truncated Newton steps. The same input gives the same weights for any number of
    threads. A fitted classifier may be used from many threads at once.

    Args:
        l2: strength of the penalty, or "auto": the value of a fixed grid (10 to 0.0001) with the
            least log loss on the answers of five folds. Folds follow from a hash of the rows.
        class_weight: None, "balanced" or {label: weight}, all weights positive.
        max_iter: solver iterations of each fit at most; None: until converged.
        tol: converged when the next step promises less than this share of the objective.

    Attributes:
        classes_: the labels, shape (k,).
        coef_: float64 (k, d), or (1, d) for two labels, on raw features.
        intercept_: float64 (k,), or (1,).
        l2_: the penalty used.
        n_iter_: iterations of the final fit.
        n_features_in_: d.
    """

    def __init__(
        self,
        l2: float | Literal["auto"] = "auto",
        class_weight: Literal["balanced"] | Mapping[Any, float] | None = None,
        max_iter: int | None = None,
        tol: float = 1e-6,
    ) -> None:
        self.l2 = l2
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.tol = tol

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        """Learn from features (n, d), used as float32, and n labels. Ctrl-C ends it soon.

        Raises:
            InvalidParameterError: a parameter has a value that is not allowed.
            ValueError: the data cannot serve.
        """
        self._check_parameters()
        features, y = validate_data(self, X, y, dtype=np.float32, order="C")
        check_classification_targets(y)
        self.classes_, truth = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            only = self.classes_.tolist()[0]
            raise ValueError(f"only one class in the data, {only!r}; at least two are needed")
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        problem = _Problem(features, truth.astype(np.int32), np.asarray(weights, np.float32))
        self.l2_ = problem.best_l2(self.max_iter) if self.l2 == "auto" else float(self.l2)
        fit = _Fit(problem, np.arange(len(features)), self.l2_, self.tol)
        if not fit.run(self.max_iter):
            warnings.warn(
                f"stopped after max_iter={self.max_iter} before the solver converged",
                ConvergenceWarning,
                stacklevel=2,
            )
        self.n_iter_ = fit.solver.iteration
        self.coef_, self.intercept_ = _folded(fit.solver)
        return self

    def _check_parameters(self) -> None:
        LogisticRegressor(l2=self.l2)
        if isinstance(self.class_weight, Mapping):
            for label, weight in self.class_weight.items():
                real(f"class_weight[{label!r}]", weight, "a number from 1e-6 to 1e6", 1e-6, 1e6)
        if self.max_iter is not None:
            whole("max_iter", self.max_iter, "None or a whole number above 0", 1)
        real("tol", self.tol, "a number above 0 and below 1", 1e-300, math.nextafter(1, 0))

    def decision_function(self, X: Any) -> Doubles:  # noqa: N803
        """Scores, float64 (n, k); of two classes (n,), positive where the second is answered."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=np.float32, order="C", reset=False)
        scores: Doubles = features.astype(np.float64) @ self.coef_.T + self.intercept_
        return scores[:, 0] if scores.shape[1] == 1 else scores

    def predict_proba(self, X: Any) -> Doubles:  # noqa: N803
        """Probabilities, float64 (n, k), columns as in `classes_`."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            scores = np.stack([np.zeros_like(scores), scores], axis=1)
        powers = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities: Doubles = powers / powers.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> npt.NDArray[Any]:  # noqa: N803
        """The most probable class of each row."""
        scores = self.decision_function(X)
        answers = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[answers]
        return labels


class _Problem:
    """Features float32 (n, d), classes int32 (n,) and a weight for each class."""

    def __init__(self, features: Floats, truth: npt.NDArray[np.int32], weights: Floats) -> None:
        self.features = features
        self.truth = truth
        self.weights = weights

    def best_l2(self, max_iter: int | None) -> float:
        """As training chooses it: strongest first, each fit from the last one's weights."""
        rows = np.arange(len(self.truth))
        digests = [hashlib.sha256(row.tobytes()).digest() for row in self.features]
        fold = folds(digests, self.truth, _FOLDS, 0)
        parts = [(rows[fold != i], rows[fold == i]) for i in range(_FOLDS)]
        usable = [part for part in parts if len(part[1]) and np.ptp(self.truth[part[0]])]
        fits = [_Fit(self, train, L2_GRID[0], _SEARCH_TOLERANCE) for train, _ in usable]
        truth = self.truth[np.concatenate([rows[:0], *(held for _, held in usable)])]
        labels = [str(i) for i in range(len(self.weights))]
        best, chosen, worse = np.inf, _UNTESTED_L2, 0
        for l2 in L2_GRID if usable else ():
            answers = []
            for fit, (_, held) in zip(fits, usable, strict=True):
                fit.solver.set_l2(l2)
                fit.run(max_iter)
                answers.append(fit.probabilities(held))
            loss = ClassifierMetrics.measure(labels, truth, np.concatenate(answers)).log_loss
            worse += 1
            if loss < best:
                best, chosen, worse = loss, l2, 0
            if worse >= _PATIENCE:
                break
        return chosen


class _Fit:
    """The solver on some rows, over the classes that occur there."""

    def __init__(
        self, problem: _Problem, rows: npt.NDArray[np.int64], l2: float, tol: float
    ) -> None:
        self._problem = problem
        self._present, truth = np.unique(problem.truth[rows], return_inverse=True)
        self.solver = _core.solve.LogisticRegression(
            problem.features,
            rows,
            truth.astype(np.int32),
            len(self._present),
            l2,
            problem.weights[problem.truth[rows]],
            tol,
        )

    def run(self, max_iter: int | None) -> bool:
        """Iterate until converged; False where `max_iter` came first."""
        cancel = _core.runtime.CancelToken()
        count = 0
        while max_iter is None or count < max_iter:
            if not self.solver.step(cancel):
                return True
            count += 1
        return self.solver.converged

    def probabilities(self, rows: npt.NDArray[np.int64]) -> Floats:
        """float32 (m, k) over all classes; 0 for those that do not occur."""
        result = np.zeros((len(rows), len(self._problem.weights)), np.float32)
        result[:, self._present] = self.solver.probabilities(self._problem.features[rows])
        return result


def _folded(solver: _core.solve.LogisticRegression) -> tuple[Doubles, Doubles]:
    """Weights (k, d) and intercepts (k,) on raw features; of two classes their difference."""
    (layer,) = solver.layers()
    weights, intercepts = (values.astype(np.float64) for values in layer)
    used = weights.any(axis=1)
    weights *= np.where(used, 1.0 / np.where(used, solver.deviation, 1.0), 0.0)[:, None]
    intercepts -= solver.mean @ weights
    if len(intercepts) == 2:
        weights, intercepts = np.diff(weights, axis=1), np.diff(intercepts)
    return np.ascontiguousarray(weights.T), intercepts


def _as_list(value: Any) -> Any:
    """An array or table of one column of pictures as a list; anything else as it is."""
    column = value.to_numpy() if hasattr(value, "to_numpy") else value
    if not isinstance(column, np.ndarray) or column.dtype.kind not in "OUT":
        return column
    if column.ndim == 2 and column.shape[1] == 1:
        column = column[:, 0]
    if column.ndim != 1:
        raise InvalidParameterError("X", f"shape {column.shape}", "one column of pictures")
    return list(column)
