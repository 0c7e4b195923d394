"""External weights of an ONNX file, checked before anything opens them.

A model file can name any path as the place of its weights; read unchecked, it could pull any
file of this machine into a model. Only regular files beside or below the model are read, through
no link, within their length.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from silverprint.errors import BackboneError

if TYPE_CHECKING:
    import onnx


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor: initializers, sparse ones and attributes, in nested graphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        yield from _node_tensors(node)


def _node_tensors(node: onnx.NodeProto) -> Iterator[onnx.TensorProto]:
    for attribute in node.attribute:
        yield from attribute.tensors
        if attribute.HasField("t"):
            yield attribute.t
        sparse = list(attribute.sparse_tensors)
        if attribute.HasField("sparse_tensor"):
            sparse.append(attribute.sparse_tensor)
        for tensor in sparse:
            yield from (tensor.values, tensor.indices)
        for graph in [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]:
            yield from tensors(graph)


def load_external_data(model: onnx.ModelProto, path: Path) -> None:
    """Bring external weights of the model at `path` into it.

    Raises:
        BackboneError: a file is missing, outside the model's folder, reached through a link, not
            a regular file, or shorter than the model says.
    """
    stored = list(tensors(model.graph))
    for function in model.functions:
        for node in function.node:
            stored.extend(_node_tensors(node))
    for tensor in stored:
        if tensor.data_location != tensor.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        tensor.raw_data = _read(path, tensor.name, entries)
        tensor.data_location = tensor.DEFAULT
        del tensor.external_data[:]


def _read(model: Path, name: str, entries: dict[str, str]) -> bytes:
    location = entries.get("location", "")
    relative = PurePosixPath(location.replace("\\", "/"))
    if (
        not location
        or "\0" in location
        or relative.is_absolute()
        or ".." in relative.parts
        or Path(location).is_absolute()
        or Path(location).drive
    ):
        raise BackboneError(
            f"{model}: the weights of {name!r} are said to lie at {location!r}; "
            "they must lie in the model's own folder"
        )
    file = model.parent / relative
    try:
        for part in [file, *file.parents]:
            if part == model.parent:
                break
            if stat.S_ISLNK(os.lstat(part).st_mode):
                raise BackboneError(
                    f"{part}: a link; put the weights themselves beside {model.name}"
                )
        if not stat.S_ISREG(os.lstat(file).st_mode):
            raise BackboneError(f"{file}: not a regular file; {model.name} expects weights there")
        size = os.lstat(file).st_size
        offset, length = _extent(model, name, entries)
        length = size - offset if length < 0 else length
        if offset < 0 or offset + length > size:
            raise BackboneError(
                f"{file}: {size} bytes, but {model.name} expects {name!r} at bytes "
                f"{offset} to {offset + length}; the file is cut short or belongs to another model"
            )
        with file.open("rb") as stream:
            stream.seek(offset)
            return stream.read(length)
    except FileNotFoundError as error:
        raise BackboneError(
            f"{file}: no such file; it holds weights of {model.name} and must lie beside it"
        ) from error
    except OSError as error:
        raise BackboneError(f"{file}: cannot be read ({error.strerror})") from error


def _extent(model: Path, name: str, entries: dict[str, str]) -> tuple[int, int]:
    """Offset and length; the length is -1 for all that follows."""
    try:
        return int(entries.get("offset", 0)), int(entries.get("length", -1))
    except ValueError as error:
        raise BackboneError(f"{model}: {name!r} has an unreadable offset or length") from error
