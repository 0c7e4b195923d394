"""Child process: converts one subject with one tool, and prints what that took as JSON.

Reads an `Order` as JSON from standard input. It is a process of its own so that its peak memory
counts for nothing else, and so that each tool can run in an environment of its own; other tools
than ours import nothing of silverprint here.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common

Tool = Literal["silverprint", "onnx2coreml", "onnxsim"]
Precision = Literal["float16", "float32"]


@dataclass(frozen=True)
class Order:
    """What to convert, and how.

    Attributes:
        tool: who converts.
        file: the ONNX file.
        output: ends in .mlpackage or .mlmodel.
        precision: of the numbers in it.
        size: height and width of the picture.
        labels: in the order of the scores.
        pictures: files that ours proves the result on.
        trained: the file is a classifier of silverprint, not a foreign one.
    """

    tool: Tool
    file: str
    output: str
    precision: Precision
    size: int
    labels: tuple[str, ...]
    pictures: tuple[str, ...]
    trained: bool

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def main() -> None:
    order = Order(**json.loads(sys.stdin.read()))
    os.environ["TQDM_DISABLE"] = "1"
    tools = {"silverprint": silverprint, "onnx2coreml": onnx2coreml, "onnxsim": onnxsim}
    begin = time.perf_counter()
    answer: dict[str, Any]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            answer = tools[order.tool](order)
    except Exception as error:  # whatever a tool raises is its answer
        answer = {"error": f"{type(error).__name__}: {error}"}
    answer["seconds"] = time.perf_counter() - begin
    answer["memory"] = common.peak_memory()
    print(json.dumps(answer))


def silverprint(order: Order) -> dict[str, Any]:
    """Written and proven."""
    import silverprint as sp

    written = sp.coreml.export(
        order.file,
        order.output,
        labels=None if order.trained else order.labels,
        options=sp.coreml.ExportOptions(precision=order.precision),
        pictures=order.pictures,
    )
    return {"unproven": list(written.proof.unproven)}


def onnx2coreml(order: Order) -> dict[str, Any]:
    """As its own `convert` does it."""
    import onnx2coreml

    form = Path(order.output).suffix[1:]
    precision = {"float16": "fp16", "float32": "fp32"}[order.precision]
    model = onnx2coreml.convert(_fixed(order), format=form, compute_precision=precision)
    model.save(order.output)
    return {}


def onnxsim(order: Order) -> dict[str, Any]:
    """Simplified, then exported, as its command line does it."""
    import coremltools
    import onnxsim

    simplified, _ = onnxsim.simplify(_fixed(order))
    onnxsim.export_coreml(
        simplified,
        order.output,
        compute_precision=getattr(coremltools.precision, order.precision.upper()),
    )
    return {}


def _fixed(order: Order) -> Any:
    """The ONNX model for one picture."""
    import onnx

    model = onnx.load(order.file)
    for dim, side in zip(
        model.graph.input[0].type.tensor_type.shape.dim,
        (1, 3, order.size, order.size),
        strict=True,
    ):
        dim.dim_value = side
    return model


if __name__ == "__main__":
    main()
