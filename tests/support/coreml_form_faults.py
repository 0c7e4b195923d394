"""Faults of the form of a saved Core ML file: versions, training, functions, declared types."""

from __future__ import annotations

from typing import Any

from support.coreml_copies import Copy
from support.coreml_planting import fault

# The form of the file

_PROGRAM, _NETWORK = "cnn", "cnn .mlmodel"
_EVERY = (_PROGRAM, _NETWORK, "detector .mlmodel")


@fault("a newer specification version", *_EVERY)
def _(copy: Copy) -> None:
    copy.spec.specificationVersion += 1


@fault("an older specification version", *_EVERY)
def _(copy: Copy) -> None:
    copy.spec.specificationVersion -= 1


@fault("another specification version of the network", "detector .mlmodel")
def _(copy: Copy) -> None:
    copy.spec.pipeline.models[0].specificationVersion = 3


@fault("a model that devices train", *_EVERY)
def _(copy: Copy) -> None:
    copy.spec.isUpdatable = True


@fault("a network that devices train", "detector .mlmodel")
def _(copy: Copy) -> None:
    copy.spec.pipeline.models[0].isUpdatable = True


@fault("an input for training", *_EVERY)
def _(copy: Copy) -> None:
    description = copy.spec.description
    description.trainingInput.add().CopyFrom(description.input[0])


@fault("an image that may be left out", *_EVERY)
def _(copy: Copy) -> None:
    copy.spec.description.input[0].type.isOptional = True


@fault("an output that may be left out", *_EVERY)
def _(copy: Copy) -> None:
    copy.spec.description.output[1].type.isOptional = True


@fault("a state", _PROGRAM)
def _(copy: Copy) -> None:
    copy.spec.description.state.add(name="memory")


@fault("several functions described", _PROGRAM)
def _(copy: Copy) -> None:
    described = copy.spec.description.functions.add(name="other")
    described.input.extend(copy.spec.description.input)
    described.output.extend(copy.spec.description.output)


@fault("another function called where none is named", _PROGRAM)
def _(copy: Copy) -> None:
    copy.spec.description.defaultFunctionName = "other"


@fault("a second function", _PROGRAM)
def _(copy: Copy) -> None:
    functions = copy.spec.mlProgram.functions
    functions["other"].CopyFrom(functions["main"])


@fault("a block for another operator set", _PROGRAM)
def _(copy: Copy) -> None:
    copy.spec.mlProgram.functions["main"].block_specializations["CoreML7"].CopyFrom(copy.block)


@fault("another version of the program", _PROGRAM)
def _(copy: Copy) -> None:
    copy.spec.mlProgram.version = 2


_EXTRACTORS = ("features", "features .mlmodel")


def _array(copy: Copy) -> Any:
    return copy.spec.description.output[0].type.multiArrayType


@fault("an output of no shape", *_EXTRACTORS)
def _(copy: Copy) -> None:
    _array(copy).ClearField("shape")


@fault("an output described with another shape", *_EXTRACTORS)
def _(copy: Copy) -> None:
    _array(copy).shape[1] += 1


@fault("an output of a range of sizes", *_EXTRACTORS)
def _(copy: Copy) -> None:
    for size in _array(copy).shape:
        _array(copy).shapeRange.sizeRanges.add(lowerBound=size, upperBound=-1)


@fault("an output of several sizes", *_EXTRACTORS)
def _(copy: Copy) -> None:
    _array(copy).enumeratedShapes.shapes.add(shape=_array(copy).shape)


@fault("an output with a default", *_EXTRACTORS)
def _(copy: Copy) -> None:
    _array(copy).floatDefaultValue = 1


@fault("a block with inputs of its own", _PROGRAM)
def _(copy: Copy) -> None:
    copy.block.inputs.add().CopyFrom(copy.main.inputs[0])


@fault("an attribute of the program", _PROGRAM)
def _(copy: Copy) -> None:
    copy.spec.mlProgram.attributes["other"].type.tensorType.dataType = _INT32


@fault("an attribute of the function", _PROGRAM)
def _(copy: Copy) -> None:
    copy.main.attributes["other"].type.tensorType.dataType = _INT32


@fault("an attribute of the block", _PROGRAM)
def _(copy: Copy) -> None:
    copy.block.attributes["other"].type.tensorType.dataType = _INT32


# Declared types

_FLOAT16, _FLOAT32, _INT32 = 10, 11, 23  # MIL_pb2.DataType


@fault("the image as float16", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.main.inputs[0].type.tensorType.dataType = _FLOAT16


@fault("the image with another rank than sides", "cnn")
def _(copy: Copy) -> None:
    copy.main.inputs[0].type.tensorType.rank = 20


@fault("another height of the image in the program", "cnn")
def _(copy: Copy) -> None:
    copy.main.inputs[0].type.tensorType.dimensions[2].constant.size += 1


@fault("any height of the image in the program", "cnn")
def _(copy: Copy) -> None:
    copy.main.inputs[0].type.tensorType.dimensions[2].unknown.SetInParent()


@fault("a result of no type", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].ClearField("type")


@fault("a result that is a tuple", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    declared = copy.giving("block1").outputs[0].type
    before = type(declared)()
    before.CopyFrom(declared)
    declared.tupleType.types.add().CopyFrom(before)


@fault("a result of another rank", "cnn")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].type.tensorType.rank = 3


@fault("a result with a side more", "cnn")
def _(copy: Copy) -> None:
    tensor = copy.giving("block1").outputs[0].type.tensorType
    tensor.rank += 1
    tensor.dimensions.add().constant.size = 1


@fault("a result of another size", "cnn")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].type.tensorType.dimensions[1].constant.size += 1


@fault("a result of any size", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].type.tensorType.dimensions[1].unknown.SetInParent()


@fault("a result of the size 0", "cnn")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].type.tensorType.dimensions[1].constant.size = 0


@fault("a result as float16", "cnn")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].type.tensorType.dataType = _FLOAT16


@fault("a result as whole numbers", "cnn", "cnn float16")
def _(copy: Copy) -> None:
    copy.giving("block1").outputs[0].type.tensorType.dataType = _INT32


@fault("a cast to float16 declared as float32", "cnn float16")
def _(copy: Copy) -> None:
    copy.operations("cast")[0].outputs[0].type.tensorType.dataType = _FLOAT32


@fault("a weight of 8 bits declared as float32", "vit 8 bits", "vit 8 bits iOS18")
def _(copy: Copy) -> None:
    operation = next(one for one in copy.block.operations if one.type.startswith("constexpr_"))
    operation.outputs[0].type.tensorType.dataType = _FLOAT32


@fault("another number of classes declared", "cnn")
def _(copy: Copy) -> None:
    (classify,) = copy.operations("classify")
    classes = classify.inputs["classes"].arguments[0].value
    classes.type.listType.length.constant.size += 1


@fault("a label of no type", "cnn")
def _(copy: Copy) -> None:
    copy.operations("classify")[0].outputs[0].ClearField("type")


@fault("probabilities that are no dictionary", "cnn")
def _(copy: Copy) -> None:
    copy.operations("classify")[0].outputs[1].type.tupleType.SetInParent()
