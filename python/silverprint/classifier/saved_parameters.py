"""`ModelParameters` as a session keeps them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from silverprint.classifier.parameters import (
    LogisticRegressor,
    ModelParameters,
    MultilayerPerceptron,
)
from silverprint.data.source import DataSource
from silverprint.data.splits import Split
from silverprint.errors import (
    BackboneError,
    IncompatibleParametersError,
    InvalidParameterError,
    SilverprintError,
)
from silverprint.features.extractor import (
    DEFAULT_CROP_AND_SCALE,
    CustomFeatureExtractor,
    FeatureExtractor,
)
from silverprint.features.prints import ScenePrint

_EXTRACTORS: tuple[type[FeatureExtractor], ...] = (ScenePrint, CustomFeatureExtractor)
_CLASSIFIERS = (LogisticRegressor, MultilayerPerceptron)

DATA = "data"
"""Stands for a data source, whose pictures the session keeps apart."""


def to_json(parameters: ModelParameters) -> dict[str, Any]:
    """`parameters` as JSON values.

    A `Split` is written without `group_by`: the groups stand with the pictures.
    """
    extractor = _fields(parameters.feature_extractor)
    if "model_path" in extractor:
        extractor["model_path"] = os.path.abspath(extractor["model_path"])
    extractor["fingerprint"] = parameters.extractor.backbone.record["fingerprint"]
    validation: Any = parameters.validation
    if isinstance(validation, Split):
        validation = {"ratio": validation.ratio, "seed": validation.seed}
    elif isinstance(validation, DataSource):
        validation = DATA
    return {
        "feature_extractor": extractor,
        "classifier": _fields(parameters.classifier),
        "validation": validation,
        "max_iterations": parameters.max_iterations,
        "augmentation": list(parameters.augmentation),
        "crop_and_scale": parameters.crop_and_scale,
        "seed": parameters.seed,
    }


def from_json(
    record: Mapping[str, Any], validation_data: DataSource | None, version: str
) -> ModelParameters:
    """The parameters that `to_json` wrote.

    Args:
        validation_data: the pictures to validate on, where those are a source of their own.
        version: of the silverprint that wrote it.

    Raises:
        BackboneError: the print or the backbone is not there any more, or another one.
    """
    validation = record["validation"]
    return ModelParameters(
        feature_extractor=_extractor(record["feature_extractor"], version),
        classifier=_made(_CLASSIFIERS, record["classifier"]),
        validation=validation_data if validation == DATA else _value("validation", validation),
        max_iterations=record["max_iterations"],
        augmentation=record["augmentation"],
        crop_and_scale=record["crop_and_scale"],
        seed=record["seed"],
    )


def extractor_of(record: Mapping[str, Any], version: str) -> FeatureExtractor:
    """The extractor of parameters that `to_json` wrote, with `crop_and_scale` applied."""
    extractor = _extractor(record["feature_extractor"], version)
    return extractor.with_crop_and_scale(record["crop_and_scale"])


def differing(
    original: Mapping[str, Any], new: Mapping[str, Any]
) -> dict[str, tuple[object, object]]:
    """Name, first and second value of each parameter in which two records differ.

    Where the file of a backbone lies makes no difference.
    """
    values, others = _comparable(original), _comparable(new)
    found: dict[str, tuple[object, object]] = {}
    for name, value in values.items():
        if name == "feature_extractor" and value != others[name]:
            found[name] = _extractor_text(original[name]), _extractor_text(new[name])
        elif value != others[name]:
            found[name] = _value(name, value), _value(name, others[name])
    return found


def check_same(
    original: Mapping[str, Any], new: Mapping[str, Any], *, extracting: bool, version: str
) -> None:
    """Refuse parameters with which an unfinished training cannot be gone on with.

    `max_iterations` may always change; while features are being extracted so may what only the
    training of the head depends on.

    Args:
        version: of the silverprint that wrote `original`.

    Raises:
        IncompatibleParametersError: another one differs.
        BackboneError: so does the extractor, and the original one is not in this package.
    """
    free = {"max_iterations"}
    if extracting:
        free |= {"classifier"}
        if DATA not in (original["validation"], new["validation"]):
            free |= {"validation"}
        if not original["augmentation"]:
            free |= {"seed"}
    for name, values in differing(original, new).items():
        if name == "feature_extractor" and "model_path" not in original[name]:
            _extractor(original[name], version)
        if name not in free:
            raise IncompatibleParametersError(name, *values)


def _comparable(record: Mapping[str, Any]) -> dict[str, Any]:
    extractor = record["feature_extractor"]
    identity = {name: extractor[name] for name in ("class", "fingerprint", "provider")}
    rule = record["crop_and_scale"] or extractor["crop_and_scale"] or DEFAULT_CROP_AND_SCALE
    return {**record, "feature_extractor": identity, "crop_and_scale": rule}


def _extractor_text(record: Mapping[str, Any]) -> str:
    which = record.get("model_path") or f"{record['class']}(revision={record['revision']})"
    return f"{which} (graph {record['fingerprint'][:12]}, {record['provider']})"


def _value(name: str, value: Any) -> object:
    """What `to_json` wrote as JSON, but for an extractor."""
    if name == "classifier":
        return _made(_CLASSIFIERS, value)
    if value == DATA:
        return "a data source"
    return Split(**value) if isinstance(value, dict) else value


def _fields(record: Any) -> dict[str, Any]:
    values = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}
    return {"class": type(record).__name__, **plain}


def _made(classes: Any, record: Mapping[str, Any]) -> Any:
    by_name = {cls.__name__: cls for cls in classes}
    name = record["class"]
    if name not in by_name:
        raise InvalidParameterError("class", name, f"one of {', '.join(by_name)}")
    given = {key: value for key, value in record.items() if key not in ("class", "fingerprint")}
    return by_name[name](**given)


def _extractor(record: Mapping[str, Any], version: str) -> FeatureExtractor:
    elsewhere = "train in another session folder, which extracts all pictures anew"
    moved = (
        "bring it back, name its new place with make_training_session(data, parameters, ...) or "
        f"--extractor, or {elsewhere}"
    )
    try:
        extractor: FeatureExtractor = _made(_EXTRACTORS, record)
        found = extractor.backbone.record["fingerprint"]
    except InvalidParameterError as error:
        raise BackboneError(
            f"the session's print is not in this package ({error}): install silverprint {version}, "
            f"which began the session, or {elsewhere}"
        ) from error
    except SilverprintError as error:
        raise BackboneError(f"the session's backbone cannot be used ({error}): {moved}") from error
    if found == record["fingerprint"]:
        return extractor
    if "model_path" in record:
        name = record["model_path"]
        raise BackboneError(f"{name}: not the backbone that the session was begun with: {moved}")
    raise BackboneError(
        f"{record['class']}(revision={record['revision']}): not the print that the session was "
        f"begun with: install silverprint {version}, which began it, or {elsewhere}"
    )


def with_iterations(parameters: ModelParameters, iterations: int | None) -> ModelParameters:
    """`parameters` with a session's `iterations` in place of `max_iterations`, if given."""
    return parameters if iterations is None else replace(parameters, max_iterations=iterations)
