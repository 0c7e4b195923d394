"""From a composed ONNX graph to a Core ML model in memory; the one place that knows onnx2coreml."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from silverprint.errors import ExportError
from silverprint.export.coreml.graph import prepare
from silverprint.export.coreml.library import quiet, require
from silverprint.export.coreml.names import IMAGE, LABEL

if TYPE_CHECKING:
    import onnx

Precision = Literal["float16", "float32"]

HEAD_LIMIT = 1e3
"""A head with a weight or bias beyond this stays float32: float16 keeps only 11 bits of it."""

_HEAD = {
    *("softmax", "linear", "relu", "matmul", "add", "sub", "mul", "real_div", "transpose", "const"),
}
"""What a head may be made of, from the probabilities back to the features."""


def translate(
    graph: onnx.ModelProto,
    *,
    height: int,
    width: int,
    labels: Sequence[str],
    precision: Precision = "float16",
) -> Any:
    """A coremltools ``MLModel`` (ML Program, iOS 15) that computes what `graph` computes.

    `graph` begins at ``image`` (float32 NCHW, RGB, 0..255; batch, height and width may be
    symbols) and has the output ``targetProbability`` [N, len(labels)]. The model takes an RGB
    image of `height` x `width` pixels and gives ``target`` and ``target_probs``.

    Raises ExportError: Core ML export is not available here, operators without a translation
    (all of them, with the nodes), a graph of another form, another number of labels.
    """
    require()
    ready = prepare(graph, height, width)
    with quiet():
        program = _to_mil(ready)
        found = tuple(program.functions["main"].outputs[0].shape)
        if found != (1, len(labels)):
            raise ExportError(
                f"the graph gives {list(found)} probabilities for {len(labels)} labels"
            )
        try:
            return _convert(program, height, width, labels, precision)
        except Exception as error:
            # A frame of coremltools owns a temporary folder: it goes now, without its warning.
            traceback.clear_frames(error.__traceback__)
            raise ExportError(f"coremltools could not write this graph: {_brief(error)}") from error


def _to_mil(graph: onnx.ModelProto) -> Any:
    import coremltools as ct
    from onnx2coreml import ConversionError, Converter, UnsupportedOpError

    try:
        # float32 even for a float16 package: coremltools rounds later, without first cutting
        # large weights down to what float16 can hold. The fusions are expanded again anyway.
        return Converter().to_mil(
            graph, target=ct.target.iOS15, precision=ct.precision.FLOAT32, fuse=False
        )
    except UnsupportedOpError as error:
        lines = [
            f"  {operator}: {', '.join(error.missing[operator])}"
            for operator in sorted(error.missing)
        ]
        raise ExportError(
            "these operators of the graph have no Core ML translation:\n"
            + "\n".join(lines)
            + "\nexport the backbone without them, or write the model as .onnx"
        ) from error
    except ConversionError as error:
        raise ExportError(
            f"operator {error.op_key}, node {error.node_name!r}, cannot be translated to Core ML: "
            f"{_brief(error.cause)}"
        ) from error
    except Exception as error:
        raise ExportError(f"the graph cannot be translated to Core ML: {_brief(error)}") from error


def _convert(
    program: Any, height: int, width: int, labels: Sequence[str], precision: Precision
) -> Any:
    import coremltools as ct

    passes = ct.PassPipeline.DEFAULT
    # It turns the normalisation into a batch_norm with an epsilon of its own.
    passes.remove_passes({"common::fuse_elementwise_to_batchnorm"})
    if precision == "float32":
        compute = ct.precision.FLOAT32
    elif _largest_in_head(program) > HEAD_LIMIT:
        compute = ct.transform.FP16ComputePrecision(op_selector=_outside_head())
    else:
        compute = ct.precision.FLOAT16
    return ct.convert(
        program,
        convert_to="mlprogram",
        minimum_deployment_target=ct.target.iOS15,
        inputs=[ct.ImageType(IMAGE, shape=(1, 3, height, width), color_layout=ct.colorlayout.RGB)],
        classifier_config=ct.ClassifierConfig(list(labels), predicted_feature_name=LABEL),
        compute_precision=compute,
        pass_pipeline=passes,
        skip_model_load=True,
    )


def _largest_in_head(program: Any) -> float:
    """The largest absolute constant between the probabilities and the features."""
    largest = 0.0
    pending = [program.functions["main"].outputs[0].op]
    while pending:
        operation = pending.pop()
        if operation is None or operation.op_type not in _HEAD:
            continue
        if operation.op_type == "const":
            value = np.asarray(operation.outputs[0].val)
            if value.dtype.kind == "f":
                largest = max(largest, float(np.abs(value).max(initial=0.0)))
        for given in operation.inputs.values():
            pending += [one.op for one in (given if isinstance(given, list | tuple) else [given])]
    return largest


def _outside_head() -> Callable[[Any], bool]:
    """Selects what may become float16: all that is not part of the head."""

    def within(operation: Any) -> bool:
        if operation.op_type not in _HEAD:
            return False
        users = [user for value in operation.outputs for user in value.child_ops]
        if users:
            return all(within(user) for user in users)
        return bool(operation.op_type == "softmax")

    return lambda operation: not within(operation)


def _brief(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip() or 'no message'}"
