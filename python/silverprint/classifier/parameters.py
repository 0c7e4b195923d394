"""What a classifier is to be: frozen records whose repr can be pasted."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import wraps
from typing import Any, Literal, TypeVar

import numpy as np
import numpy.typing as npt

from silverprint.checks import real, whole
from silverprint.data.rule import CROP_AND_SCALE
from silverprint.data.source import DataSource
from silverprint.data.splits import Split, checked_seed
from silverprint.errors import InvalidDataError, InvalidParameterError, nearest
from silverprint.features.augmentation import View, views_of
from silverprint.features.extractor import FeatureExtractor
from silverprint.features.prints import ScenePrint

Record = TypeVar("Record")

L2_GRID = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4)
"""What ``l2="auto"`` chooses from, strongest first: each fit starts from the last."""

PERCEPTRON_L2_GRID = (0.1, 0.03, 0.01, 3e-3)
"""The same for a multilayer perceptron, each of whose fits starts anew."""

MOST_PERCEPTRON_ITERATIONS = 60
"""Where `max_iterations` is None: its loss goes on falling after held-out answers stand still."""


_MOST_WEIGHTS = 2**27
"""Of a multilayer perceptron: training holds seven numbers for each."""

_LEAST = sys.float_info.min
_WEIGHTS = "a number from 1e-6 to 1e6"


def _name_unknown(cls: type[Record]) -> type[Record]:
    """Make an unknown parameter an InvalidParameterError that names the nearest one."""
    known = [entry.name for entry in fields(cls)]  # type: ignore[arg-type]
    made = cls.__init__

    @wraps(made)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        for name, value in kwargs.items():
            if name not in known:
                raise InvalidParameterError(
                    name, value, f"one of {', '.join(known)}{nearest(name, known)}"
                )
        made(self, *args, **kwargs)

    cls.__init__ = init  # type: ignore[method-assign]
    return cls


class _Head:
    """What both kinds of classifier have in common."""

    l2: float | Literal["auto"]
    class_weights: Literal["balanced"] | Mapping[str, float] | None

    def __post_init__(self) -> None:
        if not isinstance(self.l2, str) or self.l2 != "auto":
            allowed = "'auto' or a positive number, up to 1e6"
            object.__setattr__(self, "l2", real("l2", self.l2, allowed, _LEAST, 1e6))
        weights = self.class_weights
        if isinstance(weights, Mapping):
            checked = {
                label: real(f"class_weights[{label!r}]", weight, _WEIGHTS, 1e-6, 1e6)
                for label, weight in weights.items()
            }
            object.__setattr__(self, "class_weights", checked)
        elif weights is not None and weights != "balanced":
            raise InvalidParameterError(
                "class_weights", weights, "None, 'balanced' or {label: weight}"
            )

    def weights_of(
        self, labels: Sequence[str], counts: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.float32] | None:
        """One weight for each of `labels` with `counts` pictures, float32, or None for all 1.

        Raises:
            InvalidParameterError: a weight is given to a label that is not there.
        """
        if self.class_weights is None:
            return None
        if not isinstance(self.class_weights, Mapping):
            balanced = counts.sum() / (len(counts) * np.maximum(counts, 1))
            return np.asarray(balanced, np.float32)
        for label in self.class_weights:
            if label not in labels:
                raise InvalidParameterError(
                    "class_weights", label, f"labels of the data{nearest(label, labels)}"
                )
        return np.asarray([self.class_weights.get(label, 1.0) for label in labels], np.float32)


@_name_unknown
@dataclass(frozen=True)
class LogisticRegressor(_Head):
    """Multinomial logistic regression on standardised features.

    Minimises mean log loss + l2/2 * (sum of squared weights), intercepts free.

    Immutable: threads may share it.

    Args:
        l2: strength of the penalty, or "auto": the value of `L2_GRID` with the least log loss on
            held-out pictures.
        class_weights: how much a picture of each label counts: None, all the same; "balanced",
            in inverse proportion to the label's count; or {label: weight}, 1 where a label is
            not named.

    Raises:
        InvalidParameterError: a parameter has a value that is not allowed.
    """

    l2: float | Literal["auto"] = "auto"
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None


@_name_unknown
@dataclass(frozen=True)
class MultilayerPerceptron(_Head):
    """Hidden layers of rectified linear units before the softmax, on standardised features.

    Minimises the same loss as `LogisticRegressor` with Adam (Kingma and Ba, ICLR 2015) over
    batches of 32 rows. Worth a try where there are thousands of pictures; with fewer, logistic
    regression is as good and faster.

    Immutable: threads may share it.

    Args:
        layer_sizes: units of each hidden layer, first to last.
        l2: strength of the penalty, or "auto": the value of `PERCEPTRON_L2_GRID` with the least
            log loss on held-out pictures, which takes about four times as long.
        class_weights: as for `LogisticRegressor`.

    Raises:
        InvalidParameterError: a parameter has a value that is not allowed.
    """

    layer_sizes: Sequence[int] = (256,)
    l2: float | Literal["auto"] = 0.02
    class_weights: Literal["balanced"] | Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        given, allowed = self.layer_sizes, "sizes of hidden layers from 1 to 65536, such as [256]"
        if isinstance(given, (str, bytes)) or not hasattr(given, "__iter__") or not len(given):
            raise InvalidParameterError("layer_sizes", given, allowed)
        sizes = tuple(whole("layer_sizes", size, allowed, 1, 65536) for size in given)
        object.__setattr__(self, "layer_sizes", sizes)

    def check_size(self, dimension: int, labels: int) -> None:
        """Refuse layers that would take many gigabytes to train.

        Raises:
            InvalidParameterError: for `dimension` features and that many labels they would.
        """
        sizes = [dimension, *self.layer_sizes, labels]
        weights = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
        if weights > _MOST_WEIGHTS:
            raise InvalidParameterError(
                "layer_sizes",
                self.layer_sizes,
                f"at most {_MOST_WEIGHTS:,} weights, not {weights:,}",
            )


@_name_unknown
@dataclass(frozen=True)
class ModelParameters:
    """How to train an `ImageClassifier`.

    Immutable: threads may share it.

    Args:
        feature_extractor: `ScenePrint` or `CustomFeatureExtractor`.
        classifier: `LogisticRegressor` or `MultilayerPerceptron`.
        validation: "automatic": five folds, so that every picture has an answer from a head that
            never saw it, and the final head is trained on all (a held-out share above 5,000
            pictures). `Split`: a share that the final head never sees. A `DataSource` (or what
            makes one): those pictures. None: no validation.
        max_iterations: solver iterations of each fit at most; None: until converged, and at most
            `MOST_PERCEPTRON_ITERATIONS` of a multilayer perceptron.
        augmentation: options that give each training picture further views to learn from, any of
            `silverprint.features.augmentation.AUGMENTATIONS`; each costs extraction time.
        crop_and_scale: how pictures are brought to size, see `PictureRule`; None: as the
            extractor says.
        seed: of everything random.

    Raises:
        InvalidParameterError: a parameter has a value that is not allowed, or is not known.
    """

    feature_extractor: FeatureExtractor = field(default_factory=ScenePrint)
    classifier: LogisticRegressor | MultilayerPerceptron = field(default_factory=LogisticRegressor)
    validation: Any = "automatic"
    max_iterations: int | None = None
    augmentation: Collection[str] = frozenset()
    crop_and_scale: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if not isinstance(self.feature_extractor, FeatureExtractor):
            raise InvalidParameterError(
                "feature_extractor",
                self.feature_extractor,
                "ScenePrint(...) or CustomFeatureExtractor(...)",
            )
        if not isinstance(self.classifier, (LogisticRegressor, MultilayerPerceptron)):
            raise InvalidParameterError(
                "classifier",
                self.classifier,
                "LogisticRegressor(...) or MultilayerPerceptron([256])",
            )
        if self.max_iterations is not None:
            allowed = "None or a whole number above 0"
            limit = whole("max_iterations", self.max_iterations, allowed, 1)
            object.__setattr__(self, "max_iterations", limit)
        if self.crop_and_scale is not None and self.crop_and_scale not in CROP_AND_SCALE:
            known = ", ".join(CROP_AND_SCALE)
            raise InvalidParameterError(
                "crop_and_scale",
                self.crop_and_scale,
                f"None or one of {known}{nearest(self.crop_and_scale, CROP_AND_SCALE)}",
            )
        object.__setattr__(self, "seed", checked_seed(self.seed))
        object.__setattr__(self, "augmentation", _augmentation(self.augmentation))
        object.__setattr__(self, "validation", _validation(self.validation))

    @property
    def views(self) -> tuple[View, ...]:
        """The views that `augmentation` gives each picture."""
        return views_of(self.augmentation)

    @property
    def extractor(self) -> FeatureExtractor:
        """`feature_extractor` with `crop_and_scale` applied."""
        return self.feature_extractor.with_crop_and_scale(self.crop_and_scale)


def _augmentation(options: Any) -> tuple[str, ...]:
    """The options asked for, each once and in the order of `AUGMENTATIONS`."""
    return tuple(dict.fromkeys(view.option for view in views_of(options)))


def _validation(value: Any) -> Any:
    if value is None or isinstance(value, (Split, DataSource)):
        return value
    if isinstance(value, str) and value == "automatic":
        return value
    if isinstance(value, str) and not nearest(value, ["automatic"]):
        try:
            return DataSource.of(value)
        except InvalidDataError as error:
            raise InvalidParameterError(
                "validation", value, f"'automatic', Split(...), a DataSource or None ({error})"
            ) from error
    if isinstance(value, Mapping) or hasattr(value, "__fspath__"):
        return DataSource.of(value)
    hint = nearest(value, ["automatic"])
    raise InvalidParameterError(
        "validation", value, f"'automatic', Split(...), a DataSource or None{hint}"
    )
