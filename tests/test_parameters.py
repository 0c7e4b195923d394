"""Parameters are values: they print as they are written, and refuse what they do not know."""

from __future__ import annotations

import pickle
from dataclasses import FrozenInstanceError
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import silverprint as sp
from silverprint import (
    CustomFeatureExtractor,
    DataSource,
    InvalidDataError,
    InvalidParameterError,
    LogisticRegressor,
    ModelMetadata,
    ModelParameters,
    PictureRule,
    ScenePrint,
    Split,
)
from support.classifier_sets import draw_set


def test_the_defaults() -> None:
    parameters = ModelParameters()
    assert parameters.feature_extractor == ScenePrint(revision=0)
    assert parameters.classifier == LogisticRegressor(l2="auto", class_weights=None)
    assert parameters.validation == "automatic"
    assert parameters.max_iterations is None
    assert parameters.crop_and_scale is None
    assert parameters.seed == 0


@pytest.mark.parametrize(
    "value",
    [
        ModelParameters(),
        ModelParameters(
            feature_extractor=ScenePrint(crop_and_scale="scale_fit"),
            classifier=LogisticRegressor(l2=0.5, class_weights={"cat": 2.0, "dog's": 1}),
            validation=Split(0.25, seed=3),
            max_iterations=7,
            crop_and_scale="scale_fill",
            seed=-4,
        ),
        ModelParameters(validation=None),
        LogisticRegressor(class_weights="balanced"),
        Split(0.1),
        ScenePrint(),
        PictureRule(224, 160, "scale_fit"),
        ModelMetadata("me", "CC0", "1.0", "a model", {"key": "value"}),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_repr_can_be_pasted(value: object) -> None:
    assert eval(repr(value)) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_the_repr_of_a_custom_extractor_can_be_pasted(shared_data: Path) -> None:
    backbone = CustomFeatureExtractor(shared_data / "weights" / "squeezenet11.onnx")
    parameters = ModelParameters(feature_extractor=backbone)
    assert eval(repr(parameters)) == parameters


def test_they_are_immutable() -> None:
    with pytest.raises(FrozenInstanceError):
        ModelParameters().seed = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        LogisticRegressor().l2 = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("made", "arguments", "nearest"),
    [
        (ModelParameters, {"max_iteration": 3}, "max_iterations"),
        (ModelParameters, {"extractor": ScenePrint()}, "feature_extractor"),
        (ModelParameters, {"validaton": None}, "validation"),
        (LogisticRegressor, {"class_weight": "balanced"}, "class_weights"),
    ],
)
def test_an_unknown_parameter_names_the_nearest(
    made: Any, arguments: dict[str, Any], nearest: str
) -> None:
    with pytest.raises(InvalidParameterError, match=rf"did you mean '{nearest}'") as caught:
        made(**arguments)
    assert caught.value.name in arguments
    assert "one of " in caught.value.allowed


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("feature_extractor", "resnet.onnx"),
        ("feature_extractor", ScenePrint),
        ("classifier", "logistic"),
        ("classifier", None),
        ("max_iterations", 0),
        ("max_iterations", 2.5),
        ("max_iterations", True),
        ("crop_and_scale", "centre"),
        ("crop_and_scale", 3),
        ("seed", 1.5),
        ("seed", None),
        ("validation", 0.2),
        ("validation", "no/such/folder"),
        ("validation", object()),
    ],
)
def test_a_bad_value_is_named_with_what_is_allowed(name: str, value: object) -> None:
    with pytest.raises(InvalidParameterError) as caught:
        ModelParameters(**{name: value})  # type: ignore[arg-type]
    assert caught.value.name == name
    assert str(caught.value).startswith(f"{name}={value!r}: expected ")


@pytest.mark.parametrize(
    "l2", [0, -1.0, "automatic", None, True, float("nan"), float("inf"), [1.0], "0.1"]
)
def test_l2_is_auto_or_positive(l2: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"l2=.*'auto' or a positive number"):
        LogisticRegressor(l2=l2)


@pytest.mark.parametrize("weights", ["balance", 3, ["cat"], {"cat": 0}, {"cat": "2"}, {"cat": -1}])
def test_class_weights_are_balanced_or_positive_numbers(weights: Any) -> None:
    with pytest.raises(InvalidParameterError, match="class_weights"):
        LogisticRegressor(class_weights=weights)


def test_class_weights_by_label() -> None:
    counts = np.array([30, 10, 20])
    labels = ("cat", "dog", "eel")
    assert LogisticRegressor().weights_of(labels, counts) is None
    balanced = LogisticRegressor(class_weights="balanced").weights_of(labels, counts)
    assert balanced is not None
    # scikit-learn's rule: n / (k * count)
    np.testing.assert_allclose(balanced, [60 / 90, 60 / 30, 60 / 60])
    given = LogisticRegressor(class_weights={"dog": 3}).weights_of(labels, counts)
    assert given is not None
    assert given.tolist() == [1, 3, 1]
    with pytest.raises(InvalidParameterError, match=r"'dgo'.*did you mean 'dog'"):
        LogisticRegressor(class_weights={"dgo": 3}).weights_of(labels, counts)


def test_a_misspelt_word_for_validation_names_the_right_one() -> None:
    with pytest.raises(InvalidParameterError, match="did you mean 'automatic'"):
        ModelParameters(validation="automatc")


def test_validation_takes_whatever_a_data_source_is_made_of(tmp_path: Path) -> None:
    source = DataSource.labeled_directories(draw_set(tmp_path, {"red": 1, "green": 1}))
    for given in (source, tmp_path, str(tmp_path)):
        assert ModelParameters(validation=given).validation == source
    mapping = {label: [str(path) for path in paths] for label, paths in
               source.labeled_images().items()}  # fmt: skip
    assert ModelParameters(validation=mapping).validation.items == source.items
    assert ModelParameters(validation=Split(0.1)).validation == Split(0.1)
    assert ModelParameters(validation=None).validation is None


def test_validation_data_that_cannot_serve_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises((InvalidDataError, InvalidParameterError), match="no such folder"):
        ModelParameters(validation=tmp_path / "missing")
    with pytest.raises(InvalidDataError, match="empty"):
        ModelParameters(validation=tmp_path)


@pytest.mark.parametrize("ratio", [0, 1, -0.1, 1.5, "0.1", None, True, float("nan")])
def test_a_split_holds_out_a_proper_share(ratio: Any) -> None:
    with pytest.raises(InvalidParameterError, match="ratio="):
        Split(ratio)


def test_crop_and_scale_overrides_the_extractors_own() -> None:
    own = ScenePrint(crop_and_scale="scale_fit")
    assert ModelParameters(own).extractor.rule.crop_and_scale == "scale_fit"
    changed = ModelParameters(own, crop_and_scale="scale_fill").extractor
    assert changed.rule.crop_and_scale == "scale_fill"
    assert ModelParameters().extractor.rule.crop_and_scale == "center_crop"


@pytest.mark.parametrize("revision", [99, -1, "0", 0.0, True])
def test_a_revision_that_this_package_lacks(revision: Any) -> None:
    with pytest.raises(InvalidParameterError, match=r"revision=.*one of 0, or None"):
        ScenePrint(revision)


def test_metadata_is_text() -> None:
    with pytest.raises(InvalidParameterError, match=r"version=1.0: expected text"):
        ModelMetadata(version=1.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidParameterError):
        ModelMetadata(additional={"year": 2026})  # type: ignore[dict-item]
    words = ModelMetadata(author="me", additional={"place": "Kyoto"})
    assert words.to_dict() == {"author": "me", "place": "Kyoto"}
    assert ModelMetadata.from_dict(words.to_dict()) == words


def test_a_name_that_the_package_lacks_names_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'ImageClassifier'"):
        _ = sp.ImageClasifier
