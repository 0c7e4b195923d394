"""What a file must be, whoever wrote it, for a proof to speak for all that it does: check (e).

It holds one model of one function that no device trains further, every input of it must be given,
and its specification version is one that knows what stands in it.
"""

from __future__ import annotations

from typing import Any

from silverprint.errors import ExportError
from silverprint.export.coreml.proof.same import same
from silverprint.export.coreml.reader import main_block

_NEWEST = 10
"""iOS 26."""

_SAYING_NOTHING = {"buildInfo"}
"""Attributes of a program that change nothing: coremltools notes its version there."""

_PIPELINES = {"pipelineClassifier", "pipelineRegressor"}
_WITH_THRESHOLDS = {"pipeline", "nonMaximumSuppression"}
_SUPPRESSION_SINCE = 3
_FIRST_OF_4, _FIRST_OF_5 = 600, 1450
"""Numbers of the first layers of specification 4 and 5 in NeuralNetwork.proto."""


def check_form(spec: Any, *, own: bool) -> int:
    """Check the Model protobuf of a file and the models in it; how many things were checked.

    With `own` it must have the very specification version that silverprint writes; any other
    file may have a newer one than it needs.

    Raises ExportError naming the first thing that is not as it must be.
    """
    count = _check_model(spec, "", own=own) + _check_tensors(spec, "", own=own)
    for number, model in enumerate(_parts(spec), start=1):
        where = f"in model {number} of its pipeline "
        count += _check_model(model, where, own=False) + _check_tensors(model, where, own=own)
        if own:
            version = model.specificationVersion
            same(f"{where}the specification version", version, spec.specificationVersion)
    return count


def _check_model(model: Any, where: str, *, own: bool) -> int:
    description = model.description
    same(f"{where}isUpdatable", model.isUpdatable, False)
    for what, features in (
        ("inputs for training", description.trainingInput),
        ("states", description.state),
        ("functions", description.functions),
    ):
        same(where + what, [feature.name for feature in features], [])
    same(f"{where}a default function", description.defaultFunctionName, "")
    thresholds = model.WhichOneof("Type") in _WITH_THRESHOLDS
    optional = [
        feature.name
        for feature in (*description.input, *description.output)
        if feature.type.isOptional
        and not (thresholds and feature.type.WhichOneof("Type") == "doubleType")
    ]
    same(f"{where}optional inputs or outputs", optional, [])
    found, least = model.specificationVersion, _oldest(model)
    if own:
        same("the specification version", found, least)
    elif not least <= found <= _NEWEST:
        raise ExportError(
            f"check (e): the saved file has {where}the specification version {found}; what "
            f"stands in it needs {least} to {_NEWEST}"
        )
    return 7


def _check_tensors(model: Any, where: str, *, own: bool) -> int:
    """Check that every tensor that `model` gives has one size, and nothing is said beside it."""
    kind, count = model.WhichOneof("Type"), 0
    if kind == "mlProgram":
        count += _check_program(model)
    elif not kind.startswith("neuralNetwork"):
        return 0
    for feature in model.description.output:
        if feature.type.WhichOneof("Type") == "multiArrayType":
            array, what = feature.type.multiArrayType, f"{where}the output {feature.name!r} with"
            flexible = array.WhichOneof("ShapeFlexibility")
            same(f"{what} a size that may change", flexible, None)
            same(f"{what} a default", array.WhichOneof("defaultOptionalValue"), None)
            if own and not array.shape:
                raise ExportError(f"check (e): the saved file has {what}out a shape")
            count += 3
    return count


def _check_program(model: Any) -> int:
    program, block = model.mlProgram, main_block(model)
    function = program.functions["main"]
    found = {*program.attributes, *function.attributes, *block.attributes} - _SAYING_NOTHING
    same("attributes of the program", sorted(found), [])
    names = [value.name for value in block.inputs]
    same("inputs of the block beside those of the function", names, [])
    return 2


def _parts(model: Any) -> list[Any]:
    """The models of a pipeline."""
    kind = model.WhichOneof("Type")
    if kind in _PIPELINES:
        return list(getattr(model, kind).pipeline.models)
    return list(model.pipeline.models) if kind == "pipeline" else []


def _oldest(model: Any) -> int:
    """The oldest specification version that knows what stands in `model`."""
    kind = model.WhichOneof("Type")
    if kind == "mlProgram":
        main_block(model)
        opset = model.mlProgram.functions["main"].opset.removeprefix("CoreML")
        return int(opset) + 1 if opset.isdecimal() else _NEWEST
    if kind.startswith("neuralNetwork"):
        network = getattr(model, kind)
        mapped = bool(network.arrayInputShapeMapping or network.imageInputShapeMapping)
        return max([4 if mapped else 1, *map(_layer_since, network.layers)])
    own = _SUPPRESSION_SINCE if kind == "nonMaximumSuppression" else 1
    return max([own, *map(_oldest, _parts(model))])


def _layer_since(layer: Any) -> int:
    """As coremltools' builder of NeuralNetworks has it."""
    kind = layer.WhichOneof("layer")
    if kind is None:
        return 1
    params = getattr(layer, kind)
    if (
        (kind in ("sliceStatic", "sliceDynamic") and any(params.squeezeMasks))
        or (kind == "concatND" and params.interleave)
        or (kind == "tile" and len(layer.input) > 1)
        or (kind == "upsample" and params.linearUpsampleMode)
        or (kind == "reorganizeData" and params.mode == params.PIXEL_SHUFFLE)
    ):
        return 5
    number = layer.DESCRIPTOR.fields_by_name[kind].number
    return 5 if number >= _FIRST_OF_5 else 4 if number >= _FIRST_OF_4 else 1
