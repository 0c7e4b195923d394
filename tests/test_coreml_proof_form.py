"""The form of a file that can be proven: its specification version, and the types it declares.

Which version a NeuralNetwork needs is what coremltools' own builder writes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from silverprint.errors import ExportError
from silverprint.export.coreml import available
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.proof.declared import check_declared
from silverprint.export.coreml.proof.form import check_form
from silverprint.export.coreml.reader import SavedModel, main_block
from support.mil import save_program

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

Build = Callable[[Any], None]
FIVE = [False] * 5

LAYERS: dict[str, tuple[int, Build]] = {
    "relu": (4, lambda b: b.add_activation("l", "RELU", "x", "y")),
    "clip": (4, lambda b: b.add_clip("l", "x", "y", 0, 6)),
    "gelu": (4, lambda b: b.add_gelu("l", "x", "y")),
    "clamped relu": (5, lambda b: b.add_clamped_relu("l", "x", "y", 0.0, 6.0)),
    "cumulative sum": (5, lambda b: b.add_cumsum("l", ["x"], "y", axis=-1)),
    "sorting": (5, lambda b: b.add_argsort("l", "x", "y", axis=-1)),
    "depth to space": (
        4,
        lambda b: b.add_reorganize_data("l", "x", "y", mode="DEPTH_TO_SPACE", block_size=2),
    ),
    "pixel shuffle": (
        5,
        lambda b: b.add_reorganize_data("l", "x", "y", mode="PIXEL_SHUFFLE", block_size=2),
    ),
    "concatenation": (4, lambda b: b.add_concat_nd("l", ["x", "x"], "y", axis=1)),
    "interleaving": (5, lambda b: b.add_concat_nd("l", ["x", "x"], "y", 1, interleave=True)),
    "upsampling": (4, lambda b: b.add_upsample("l", 2, 2, "x", "y", mode="BILINEAR")),
    "aligned upsampling": (
        5,
        lambda b: b.add_upsample(
            "l", 2, 2, "x", "y", mode="BILINEAR", linear_upsample_mode="ALIGN_CORNERS_TRUE"
        ),
    ),
    "tiles": (4, lambda b: b.add_tile("l", "x", "y", reps=[1, 2])),
    "a slice": (
        4,
        lambda b: b.add_slice_static(
            "l", "x", "y", [0] * 5, [1] * 5, [1] * 5, FIVE, FIVE, squeeze_masks=FIVE
        ),
    ),
    "a squeezed slice": (
        5,
        lambda b: b.add_slice_static(
            "l", "x", "y", [0] * 5, [1] * 5, [1] * 5, FIVE, FIVE, squeeze_masks=[True, *FIVE[1:]]
        ),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_needs_the_version_that_coremltools_writes_for_it(name: str) -> None:
    with quiet():
        from coremltools.models import datatypes
        from coremltools.models.neural_network import NeuralNetworkBuilder

        builder = NeuralNetworkBuilder(
            [("x", datatypes.Array(1, 8, 4, 4))], [("y", None)], disable_rank5_shape_mapping=True
        )
        version, add = LAYERS[name]
        add(builder)
    spec = builder.spec
    assert spec.specificationVersion == version
    spec.description.output[0].type.multiArrayType.shape.extend([1, 8, 4, 4])
    check_form(spec, own=True)
    spec.specificationVersion = version + 1
    check_form(spec, own=False)
    for changed, own in ((version + 1, True), (version - 1, False)):
        spec.specificationVersion = changed
        with pytest.raises(ExportError, match=f"the specification version {changed}"):
            check_form(spec, own=own)


def changed_form(change: Callable[[Any], None]) -> Any:
    with quiet():
        from coremltools.models import datatypes
        from coremltools.models.neural_network import NeuralNetworkBuilder

        shape = [("x", datatypes.Array(2, 3))]
        builder = NeuralNetworkBuilder(shape, [("y", None)], disable_rank5_shape_mapping=True)
        builder.add_activation("l", "RELU", "x", "y")
    change(builder.spec.description.output[0].type.multiArrayType)
    return builder.spec


def test_another_tool_may_leave_the_shape_of_an_output_out() -> None:
    spec = changed_form(lambda array: array.ClearField("shape"))
    check_form(spec, own=False)
    with pytest.raises(ExportError, match="the output 'y' without a shape"):
        check_form(spec, own=True)


def with_range(array: Any) -> None:
    array.shape[:] = [2, 3]
    array.shapeRange.sizeRanges.add(lowerBound=1, upperBound=-1)


def with_default(array: Any) -> None:
    array.floatDefaultValue = 1


@pytest.mark.parametrize("change", [with_range, with_default])
@pytest.mark.parametrize("own", [True, False])
def test_nobody_may_leave_the_size_or_the_numbers_open(
    change: Callable[[Any], None], own: bool
) -> None:
    with pytest.raises(ExportError, match=r"check \(e\).*'y' with a (size that may|default)"):
        check_form(changed_form(change), own=own)


X = np.array([[1, 0, 2], [0, 3, 4]], np.float32)


def saved(path: Path, build: Callable[..., Any], target: str = "iOS17") -> SavedModel:
    return save_program(path / "P.mlpackage", build, {"x": X}, target=target)


def test_a_size_that_the_picture_decides_may_be_open(tmp_path: Path) -> None:
    def build(mb: Any, x: Any) -> Any:
        return mb.gather_nd(x=x, indices=mb.non_zero(x=x), name="picked")

    model = saved(tmp_path, build)
    check_declared(model)
    (picked,) = (one for one in main_block(model.spec).operations if one.type == "gather_nd")
    assert not picked.outputs[0].type.tensorType.dimensions[0].HasField("constant")


@pytest.mark.parametrize("number", [10, 12, 24])  # MIL_pb2.DataType: float16, float64, int64
def test_a_cast_gives_what_it_says(tmp_path: Path, number: int) -> None:
    model = saved(tmp_path, lambda mb, x: mb.cast(x=x, dtype="int32", name="whole"))
    check_declared(model)
    (cast,) = (one for one in main_block(model.spec).operations if one.type == "cast")
    cast.outputs[0].type.tensorType.dataType = number
    with pytest.raises(ExportError, match=r"'whole' .* gives int32"):
        check_declared(model)


def test_an_output_has_the_type_of_its_description(tmp_path: Path) -> None:
    model = saved(tmp_path, lambda mb, x: mb.relu(x=x, name="y"))
    check_declared(model)
    model.spec.description.output[0].type.multiArrayType.dataType = 65552  # float16
    with pytest.raises(ExportError, match=r"gives 'y' as float32 \[2, 3\], the .* says float16"):
        check_declared(model)


def test_what_coremltools_notes_about_itself_says_nothing(tmp_path: Path) -> None:
    model = saved(tmp_path, lambda mb, x: mb.relu(x=x, name="y"))
    attributes = model.spec.mlProgram.attributes
    attributes["buildInfo"].type.tensorType.dataType = 2
    check_form(model.spec, own=False)
    attributes["other"].type.tensorType.dataType = 2
    with pytest.raises(ExportError, match=r"attributes of the program \['other'\]"):
        check_form(model.spec, own=False)


def test_a_picture_in_grey_cannot_be_proven(tmp_path: Path) -> None:
    model = saved(tmp_path, lambda mb, x: mb.relu(x=x, name="y"))
    image = model.spec.description.input[0].type.imageType
    image.width, image.height, image.colorSpace = 3, 2, 10  # GRAYSCALE
    with pytest.raises(ExportError, match=r"check \(b\): the image 'x' is neither RGB nor BGR"):
        check_declared(model)
