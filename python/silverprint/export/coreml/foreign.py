"""Makes any ONNX backbone or classifier begin at ``image``, as graphs of silverprint do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import numpy.typing as npt

from silverprint.errors import ExportError, nearest
from silverprint.export.coreml.graph.renaming import free_names, identifier, rename, used_names
from silverprint.export.coreml.names import IMAGE, PROBABILITIES
from silverprint.export.coreml.options import Layout
from silverprint.features import graph as graphs
from silverprint.features.normalisation import stated_normalisation

if TYPE_CHECKING:
    import onnx

Scores = Literal["logits", "probabilities"]

_PASSING = {"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Cast"}
_NORMALISED = f"{graphs.OURS}normalised"


@dataclass(frozen=True)
class Adopted:
    """A graph from ``image`` (float32 NCHW, RGB, 0..255) on.

    Attributes:
        graph: normalisation, then the model; weights inside.
        height, width: of the picture, in pixels.
        licence: of the weights, as the file states it; "" where it does not.
    """

    graph: onnx.ModelProto
    height: int
    width: int
    licence: str


def adopt_backbone(
    path: str | os.PathLike[str],
    *,
    outputs: Sequence[str] | None = None,
    size: tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: Layout | None = None,
) -> Adopted:
    """The feature extractor at `path`, ready for `write_backbone`.

    Args:
        outputs: tensors to keep, outputs or inner ones; None: every output. What Swift does not
            allow in their names becomes ``_``.
        size: (height, width), where the file leaves it free and its metadata has no
            ``input_size``.
        mean, std: normalisation on the 0..255 scale, (x - mean) / std, for red, green and blue.
            None: from the file's metadata (``mean``, ``std``). A graph that normalises itself
            takes ``mean=(0, 0, 0), std=(1, 1, 1)``.
        channel_order: "RGB" or "BGR", as the backbone expects. None: as its metadata says, or RGB.

    Raises:
        BackboneError: the file is missing, damaged, or does not take one picture.
        ExportError: normalisation or size is not known, or there is no such tensor.
    """
    model = graphs.load(Path(path))
    _choose(model.graph, path, outputs)
    adopted = _begin_at_image(model, path, size, mean, std, channel_order)
    body = adopted.graph.graph
    renamed: dict[str, str] = {}
    for value in body.output:
        name = identifier(value.name)
        name = f"_{name}" if name[:1].isdigit() or name == IMAGE else name
        while name in renamed.values():
            name += "_"
        renamed[value.name] = name
    free_names(body, renamed.values())
    rename(body, renamed)
    return adopted


def adopt_classifier(
    path: str | os.PathLike[str],
    *,
    output: str | None = None,
    scores: Scores | None = None,
    size: tuple[int, int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    channel_order: Layout | None = None,
) -> Adopted:
    """The classifier at `path`, ready for `write_classifier`: it gives ``targetProbability``.

    Args:
        output: the tensor of the scores, [N, C] or [N, C, 1, 1]; None: the first output.
        scores: whether these are "logits", which get a softmax, or "probabilities". None:
            probabilities if the graph ends in a softmax, else logits.
        size, mean, std, channel_order: as for `adopt_backbone`.

    Raises:
        BackboneError, ExportError: as `adopt_backbone`; the graph ends in a sigmoid, which gives
            each label by itself.
    """
    from onnx import TensorProto, helper

    if scores not in (None, *get_args(Scores)):
        known = get_args(Scores)
        raise ExportError(
            f"scores={scores!r}: expected {' or '.join(known)}{nearest(scores, known)}"
        )
    model = graphs.load(Path(path))
    _choose(model.graph, path, None if output is None else [output])
    del model.graph.output[1:]
    operator = _last_operator(model.graph, model.graph.output[0].name)
    if scores is None and operator == "Sigmoid":
        raise ExportError(
            f"{path}: its scores come from a sigmoid, each label's by itself: Core ML has no such "
            'classifier; export it as a backbone, or pass scores="logits"'
        )
    adopted = _begin_at_image(model, path, size, mean, std, channel_order)
    body = adopted.graph.graph
    last, flat, result = body.output[0].name, f"{graphs.OURS}scores", PROBABILITIES
    is_probability = scores == "probabilities" or (scores is None and operator == "Softmax")
    target = result if is_probability else flat
    body.node.append(
        helper.make_node("Flatten", [last], [target], f"{graphs.OURS}flatten_scores", axis=1)
    )
    if not is_probability:
        body.node.append(
            helper.make_node("Softmax", [flat], [result], f"{graphs.OURS}softmax", axis=1)
        )
    del body.output[:]
    body.output.append(helper.make_tensor_value_info(result, TensorProto.FLOAT, None))
    return adopted


def _begin_at_image(
    model: onnx.ModelProto,
    path: str | os.PathLike[str],
    size: tuple[int, int] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    channel_order: Layout | None,
) -> Adopted:
    from onnx import TensorProto, helper, numpy_helper

    entries = graphs.metadata(model)
    own_input, height, width = graphs.image_input(model, path)
    height, width = _size(path, (height, width), size, entries.get("input_size", ""))
    found_mean, found_std = stated_normalisation(entries)
    constants = {
        "mean": _three(path, "mean", found_mean if mean is None else mean),
        "std": _three(path, "std", found_std if std is None else std),
    }
    stated = entries.get("channel_order") or "RGB"
    order = stated if channel_order is None else channel_order
    if order not in ("RGB", "BGR"):
        raise ExportError(f"{path}: channel_order={order!r}: expected 'RGB' or 'BGR'")
    body = model.graph
    clashing = {name for name in used_names(body) if name in (IMAGE, PROBABILITIES)}
    clashing |= {name for name in used_names(body) if name.startswith(graphs.OURS)}
    renamed = {name: f"{graphs.OURS}backbone/{name}" for name in clashing}
    rename(body, renamed | {own_input: _NORMALISED})
    steps = [("Sub", "mean", "centred"), ("Div", "std", "scaled")]
    nodes, current = [], IMAGE
    for operator, name, result in steps:
        constant = numpy_helper.from_array(constants[name], graphs.OURS + name)
        body.initializer.append(constant)
        result = graphs.OURS + result
        nodes.append(helper.make_node(operator, [current, constant.name], [result], result))
        current = result
    if order == "BGR":
        swapped = numpy_helper.from_array(np.array([2, 1, 0], np.int64), f"{graphs.OURS}bgr_order")
        body.initializer.append(swapped)
        inputs, name = [current, swapped.name], f"{graphs.OURS}to_bgr"
        nodes.append(helper.make_node("Gather", inputs, [_NORMALISED], name, axis=1))
    else:
        nodes[-1].output[0] = _NORMALISED
    nodes += body.node
    del body.node[:]
    body.node.extend(nodes)
    batch = body.input[0].type.tensor_type.shape.dim[0]
    first = batch.dim_value if batch.HasField("dim_value") else "batch"
    weights = {tensor.name for tensor in body.initializer}
    kept = [value for value in body.input if value.name in weights]
    del body.input[:]
    body.input.append(
        helper.make_tensor_value_info(IMAGE, TensorProto.FLOAT, [first, 3, height, width])
    )
    body.input.extend(kept)
    del body.value_info[:]
    return Adopted(model, height, width, entries.get("licence", entries.get("license", "")))


def _size(
    path: object,
    fixed: tuple[int | None, int | None],
    given: tuple[int, int] | None,
    stated: str,
) -> tuple[int, int]:
    """(height, width) from the graph, the caller or the metadata, in this order."""
    if given is not None:
        pair = isinstance(given, Sequence) and len(given) == 2
        if not pair or not all(type(side) is int for side in given):
            raise ExportError(f"{path}: size={given!r}: expected (height, width) in pixels")
        given = (given[0], given[1])
    wanted = given or ((int(stated),) * 2 if stated.isdecimal() else (None, None))
    height, width = fixed[0] or wanted[0], fixed[1] or wanted[1]
    if height is None or width is None:
        raise ExportError(f"{path}: leaves height and width free; pass size=(height, width)")
    if given is not None and given != (height, width):
        raise ExportError(
            f"{path}: takes pictures of {height} x {width} only, not {given[0]} x {given[1]}"
        )
    return height, width


def _three(path: object, name: str, values: Sequence[float] | None) -> npt.NDArray[np.float32]:
    """The constant of one step of the normalisation, float32 [1, 3, 1, 1]."""
    if values is None:
        raise ExportError(
            f"{path}: its metadata has no {name} of one or three numbers; pass mean= and std= on "
            "the 0..255 scale, or mean=(0, 0, 0), std=(1, 1, 1) for a graph that normalises itself"
        )
    found = np.full(3, np.nan, np.float32)
    with suppress(TypeError, ValueError, OverflowError), np.errstate(over="ignore"):
        if np.asarray(values).dtype.kind in "iuf":
            found = np.asarray(values, np.float32)
    good = found.shape == (3,) and bool(np.isfinite(found).all())
    if not good or (name == "std" and not (found > 0).all()):
        positive = "positive " if name == "std" else ""
        raise ExportError(f"{path}: {name}={values!r}: expected three {positive}numbers")
    return found.reshape(1, 3, 1, 1)


def _choose(body: onnx.GraphProto, path: object, outputs: Sequence[str] | None) -> None:
    """Make `outputs` the outputs of the graph; None: as they are."""
    import onnx

    known = {value.name: value for value in body.output}
    produced = [name for node in body.node for name in node.output if name]
    chosen = list(known) if outputs is None else list(dict.fromkeys(outputs))
    for name in chosen:
        if name not in produced:
            raise ExportError(
                f"{path}: no tensor {name!r}{nearest(name, produced)}; its outputs are "
                f"{', '.join(known)}"
            )
    if not chosen:
        raise ExportError(f"{path}: no output is left; name at least one")
    values = [known.get(name) or onnx.ValueInfoProto(name=name) for name in chosen]
    del body.output[:]
    body.output.extend(values)


def _last_operator(body: onnx.GraphProto, name: str) -> str:
    """The operator that makes `name`, looking through those that only pass it on."""
    producers = {result: node for node in body.node for result in node.output}
    while name in producers:
        node = producers[name]
        if node.op_type not in _PASSING:
            return str(node.op_type)
        name = node.input[0]
    return ""
