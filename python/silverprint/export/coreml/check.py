"""The structural check of a saved classifier package, made before it takes its place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.describe import STANDARD, expected_user_defined
from silverprint.export.coreml.names import COREMLTOOLS, IMAGE, LABEL, PROBABILITIES
from silverprint.export.coreml.reader import (
    SavedPackage,
    constants,
    main_block,
    read_package,
    tensor_shape,
)

_RGB = 20  # FeatureTypes_pb2.ImageFeatureType.ColorSpace
_STRING = 2  # MIL_pb2.DataType


def check_classifier(
    folder: Path,
    *,
    labels: Sequence[str],
    picture_rule: Mapping[str, Any],
    metadata: Mapping[str, str],
) -> None:
    """Read `folder` back and compare it with what it was written from.

    Compared: the image input (name, RGB, size), outputs and predicted features, the labels and
    their order, the program's input, output and value names, the metadata; and every number of
    the weights must be finite. Raises ExportError naming the first difference.
    """
    package = read_package(folder)
    size = (int(picture_rule["height"]), int(picture_rule["width"]))
    _check_features(package.spec, size)
    _check_program(package.spec, size, list(labels))
    _check_metadata(package.spec, picture_rule, metadata)
    _check_weights(package)


def _same(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise ExportError(f"the saved package has {what} {found!r} instead of {expected!r}")


def _check_features(spec: Any, size: tuple[int, int]) -> None:
    description = spec.description
    _same("the inputs", [feature.name for feature in description.input], [IMAGE])
    image = description.input[0].type
    _same("an input of the type", image.WhichOneof("Type"), "imageType")
    _same("the colour space", image.imageType.colorSpace, _RGB)
    _same("the image size", (image.imageType.height, image.imageType.width), size)
    _same("flexible sizes", image.imageType.WhichOneof("SizeFlexibility"), None)
    _same("the outputs", [one.name for one in description.output], [LABEL, PROBABILITIES])
    types = [feature.type.WhichOneof("Type") for feature in description.output]
    _same("outputs of the types", types, ["stringType", "dictionaryType"])
    keys = description.output[1].type.dictionaryType.WhichOneof("KeyType")
    _same("probabilities with keys of the type", keys, "stringKeyType")
    _same("the predicted feature", description.predictedFeatureName, LABEL)
    _same("the predicted probabilities", description.predictedProbabilitiesName, PROBABILITIES)


def _check_program(spec: Any, size: tuple[int, int], labels: list[str]) -> None:
    inputs = [
        (value.name, tensor_shape(value.type.tensorType))
        for value in spec.mlProgram.functions["main"].inputs
    ]
    _same("the program input", inputs, [(IMAGE, (1, 3, *size))])
    block = main_block(spec)
    _same("the program outputs", list(block.outputs), [LABEL, PROBABILITIES])
    names = Counter(value.name for operation in block.operations for value in operation.outputs)
    names[IMAGE] += 1
    _same("values of one name", [name for name, count in names.items() if count > 1], [])
    _same("a last operation", [one.type for one in block.operations[-1:]], ["classify"])
    last = block.operations[-1]
    _same("results", [value.name for value in last.outputs], [LABEL, PROBABILITIES])
    _same("the labels", _classes(last), labels)
    _same("labels that occur twice", [one for one, n in Counter(labels).items() if n > 1], [])
    sources = {argument.name for argument in last.inputs["probabilities"].arguments}
    shapes = [
        tensor_shape(value.type.tensorType)
        for operation in block.operations
        for value in operation.outputs
        if value.name in sources
    ]
    _same("probabilities of the shape", shapes, [(1, len(labels))])


def _classes(classify: Any) -> list[str]:
    return [
        text
        for argument in classify.inputs["classes"].arguments
        for value in argument.value.immediateValue.list.values
        if value.type.tensorType.dataType == _STRING
        for text in value.immediateValue.tensor.strings.values
    ]


def _check_metadata(spec: Any, rule: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
    written = spec.description.metadata
    for key, field in STANDARD.items():
        _same(f"the {key}", getattr(written, field), metadata.get(key, ""))
    user_defined = {
        key: value for key, value in written.userDefined.items() if not key.startswith(COREMLTOOLS)
    }
    _same("the user-defined metadata", user_defined, expected_user_defined(rule, metadata))


def _check_weights(package: SavedPackage) -> None:
    """A bound of ``clip`` may be infinite (no bound); any other number must be finite."""
    bounds = {
        argument.name
        for operation in main_block(package.spec).operations
        if operation.type == "clip"
        for key in ("alpha", "beta")
        for argument in operation.inputs[key].arguments
    }
    for name, array in constants(package):
        if name not in bounds and array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ExportError(
                f"the saved weight {name!r} is not finite: write the package with "
                'precision="float32", or check the backbone'
            )
