"""Names of values in an ONNX graph, those in its subgraphs included."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx


def graphs(body: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """`body` and every graph inside its nodes."""
    yield body
    for node in body.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)
            for inner in attribute.graphs:
                yield from graphs(inner)


def used_names(body: onnx.GraphProto) -> set[str]:
    """Every name of a value."""
    used = set()
    for part in graphs(body):
        used |= {name for node in part.node for name in (*node.input, *node.output)}
        used |= {value.name for value in (*part.initializer, *part.input, *part.output)}
    return used


def rename(body: onnx.GraphProto, renamed: Mapping[str, str]) -> None:
    """Give values other names, in place; names are swapped safely."""
    for part in graphs(body):
        for node in part.node:
            node.input[:] = [renamed.get(name, name) for name in node.input]
            node.output[:] = [renamed.get(name, name) for name in node.output]
        for value in (*part.initializer, *part.input, *part.output):
            value.name = renamed.get(value.name, value.name)


def free_names(body: onnx.GraphProto, names: Collection[str]) -> None:
    """Rename values that Core ML would call like one of `names`, in place; but no outputs."""
    used = used_names(body)
    outputs = {value.name for value in body.output}
    clashing = [name for name in used - outputs if identifier(name) in names]
    used |= set(names)
    renamed = {}
    for old in sorted(clashing):
        new = f"{identifier(old)}_tensor"
        while new in used:
            new += "_"
        used.add(new)
        renamed[old] = new
    rename(body, renamed)


def identifier(name: str) -> str:
    """`name` as Core ML writes it: everything but letters, digits and ``_`` becomes ``_``."""
    return re.sub(r"[^A-Za-z0-9_]", "_", name)
