"""The proof of files that coremltools itself converted and compressed.

The reference is an ONNX graph written by hand beside the MIL program.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from silverprint.errors import ExportError
from silverprint.export.coreml import available
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.proof import Proof, prove
from silverprint.export.coreml.reader import main_block, read_model
from support.coreml_copies import Copy
from support.coreml_networks import HEIGHT, WIDTH, Sketch, pictures

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

TARGETS = ["iOS15", "iOS16", "iOS17", "iOS18", "iOS26"]
Array = np.ndarray[Any, Any]


def weights() -> dict[str, Array]:
    random = np.random.default_rng(12)
    return {
        "kernel": (random.normal(size=(8, 3, 4, 4)) / 500).astype(np.float32),
        "head": (random.normal(size=(64, 8 * (HEIGHT // 4) * 8)) / 20).astype(np.float32),
    }


def reference() -> onnx.ModelProto:
    s = Sketch(0)
    kernel, head = (s.weight(name, array) for name, array in weights().items())
    x = s.add("Relu", "act", s.add("Conv", "conv", "image", kernel, strides=[4, 4]))
    x = s.add("Einsum", "products", x, s.add("Sigmoid", "gate", x), equation="nchw,nuhw->nchu")
    flat = s.add("Flatten", "flat", s.add("Tanh", "bounded", x))
    return s.model(s.add("Gemm", "features", flat, head, transB=1))


def converted(path: Path, target: str, precision: str = "FLOAT32") -> Path:
    """As `coremltools.convert` writes it."""
    with quiet():
        import coremltools as ct
        from coremltools.converters.mil.mil import Builder

        mb: Any = Builder
        opset, given = getattr(ct.target, target), weights()

        def build(image: Any) -> Any:
            x = mb.relu(x=mb.conv(x=image, weight=given["kernel"], strides=[4, 4]))
            turned = mb.transpose(x=mb.sigmoid(x=x), perm=[0, 3, 2, 1])
            x = mb.tanh(x=mb.einsum(values=[x, turned], equation="nchw,nwhu->nchu"))
            flat = mb.reshape(x=x, shape=[1, -1])
            return mb.linear(x=flat, weight=given["head"], name="features")

        size = (1, 3, HEIGHT, WIDTH)
        model = ct.convert(
            mb.program(input_specs=[mb.TensorSpec(size)], opset_version=opset)(build),
            inputs=[ct.ImageType("image", size)],
            minimum_deployment_target=opset,
            compute_precision=getattr(ct.precision, precision),
            skip_model_load=True,
        )
        model.save(str(path))
    return path


def proven(path: Path) -> Proof:
    return prove(path, reference(), pictures())


@pytest.mark.parametrize("precision", ["FLOAT32", "FLOAT16"])
@pytest.mark.parametrize("target", TARGETS)
def test_a_file_by_coremltools_is_proven_to_the_last_operator(
    tmp_path: Path, target: str, precision: str
) -> None:
    """With a ``cast`` of the image to float16 and outputs of the type that coremltools chooses."""
    proof = proven(converted(tmp_path / "F.mlpackage", target, precision))
    assert proof.unproven == ()
    assert proof.types == (precision.lower(),)


@pytest.mark.parametrize(
    ("target", "operator"),
    [
        ("iOS17", "constexpr_affine_dequantize"),
        ("iOS18", "constexpr_blockwise_shift_scale"),
        ("iOS26", "constexpr_blockwise_shift_scale"),
    ],
)
def test_weights_that_coremltools_made_8_bits_are_proven(
    tmp_path: Path, target: str, operator: str
) -> None:
    converted(tmp_path / "F.mlpackage", target)
    with quiet():
        import coremltools as ct
        from coremltools.optimize import coreml as optimize

        one = optimize.OpLinearQuantizerConfig(mode="linear_symmetric", weight_threshold=0)
        model = ct.models.MLModel(str(tmp_path / "F.mlpackage"), skip_model_load=True)
        small = optimize.linear_quantize_weights(model, optimize.OptimizationConfig(one))
        small.save(str(tmp_path / "S.mlpackage"))
    kinds = [one.type for one in main_block(read_model(tmp_path / "S.mlpackage").spec).operations]
    assert kinds.count(operator) == 2
    proof = proven(tmp_path / "S.mlpackage")
    assert (proof.unproven, proof.types[-1]) == ((), "int8")


@pytest.mark.parametrize("version", [7, 8, 9, 10])
def test_a_newer_specification_version_is_the_business_of_who_wrote_it(
    tmp_path: Path, version: int
) -> None:
    copy = Copy(converted(tmp_path / "F.mlpackage", "iOS16"), tmp_path)
    copy.spec.specificationVersion = version
    assert proven(copy.save()).unproven == ()


@pytest.mark.parametrize("version", [0, 6, 11])
def test_a_specification_version_must_know_the_operators_and_be_known(
    tmp_path: Path, version: int
) -> None:
    copy = Copy(converted(tmp_path / "F.mlpackage", "iOS16"), tmp_path)
    copy.spec.specificationVersion = version
    with pytest.raises(ExportError, match=rf"version {version}; what stands in it needs 7 to 10"):
        proven(copy.save())


def is_trained(spec: Any) -> None:
    spec.isUpdatable = True
    spec.description.trainingInput.add().CopyFrom(spec.description.input[0])


def is_optional(spec: Any) -> None:
    spec.description.input[0].type.isOptional = True


@pytest.mark.parametrize("change", [is_trained, is_optional])
def test_no_proof_speaks_for_what_may_change_or_be_left_out(
    tmp_path: Path, change: Callable[[Any], None]
) -> None:
    copy = Copy(converted(tmp_path / "F.mlpackage", "iOS16"), tmp_path)
    change(copy.spec)
    with pytest.raises(ExportError, match=r"check \(e\).*(isUpdatable|optional inputs)"):
        proven(copy.save())


def test_operands_of_an_einstein_sum_must_be_those_of_the_reference(tmp_path: Path) -> None:
    copy = Copy(converted(tmp_path / "F.mlpackage", "iOS16"), tmp_path)
    (operation,) = copy.operations("einsum")
    first, second = operation.inputs["values"].arguments
    (transpose,) = copy.operations("transpose")
    (gate,) = copy.operations("sigmoid")
    first.name, transpose.inputs["x"].arguments[0].name = gate.outputs[0].name, first.name
    assert second.name == transpose.outputs[0].name
    with pytest.raises(ExportError, match=r"check \([ad]\)"):
        proven(copy.save())
