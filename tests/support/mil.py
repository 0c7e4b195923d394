"""Small ML Programs made with coremltools' builder, and the same mathematics in ONNX Runtime."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import helper, numpy_helper

from silverprint.export.coreml.execute import execute
from silverprint.export.coreml.library import quiet
from silverprint.export.coreml.reader import SavedModel, read_model

Array = np.ndarray[Any, Any]


def save_program(
    path: Path, build: Callable[..., Any], inputs: Mapping[str, Array], *, target: str = "iOS15"
) -> SavedModel:
    """An ML Program of what `build` makes of its parameters, saved and read back.

    `build` takes coremltools' builder and a variable for each of `inputs`, by name. No pass
    changes what it made.
    """
    with quiet():
        import coremltools as ct
        from coremltools.converters.mil.mil import Builder, Function, Program, types

        dtypes = {"float32": types.fp32, "int32": types.int32, "float16": types.fp16}
        places = {
            name: Builder.placeholder(shape=value.shape, dtype=dtypes[str(value.dtype)])
            for name, value in inputs.items()
        }
        program = Program()
        with Function(places, opset_version=getattr(ct.target, target)) as function:
            made = build(Builder, **function.inputs)
            function.set_outputs(list(made) if isinstance(made, tuple | list) else [made])
            program.add_function("main", function)
        model = ct.convert(
            program,
            convert_to="mlprogram",
            minimum_deployment_target=getattr(ct.target, target),
            compute_precision=ct.precision.FLOAT32,
            pass_pipeline=ct.PassPipeline.EMPTY,
            skip_model_load=True,
        )
        model.save(str(path))
    return read_model(path)


def run_program(
    folder: Path, build: Callable[..., Any], inputs: Mapping[str, Array], *, target: str = "iOS15"
) -> list[Array]:
    """The outputs of that program, executed."""
    path = folder / "program.mlpackage"
    saved = save_program(path, build, inputs, target=target)
    return list(execute(saved, inputs).values())


def run_programs(
    folder: Path,
    builds: Mapping[str, Callable[..., Any]],
    inputs: Mapping[str, Array],
    *,
    target: str = "iOS15",
) -> dict[str, Array]:
    """Many operators in one program: the first output of each of `builds`, by its key.

    Each takes the builder and those of `inputs` that its parameters name.
    """

    def build(mb: Any, **variables: Any) -> list[Any]:
        results = []
        for one in builds.values():
            wanted = list(inspect.signature(one).parameters)[1:]
            made = one(mb, *(variables[each] for each in wanted))
            made = made[0] if isinstance(made, tuple | list) else made
            results.append(mb.identity(x=made))
        return results

    outputs = execute(save_program(folder / "all.mlpackage", build, inputs, target=target), inputs)
    return dict(zip(builds, outputs.values(), strict=True))


def onnx_run(
    operator: str, *inputs: Any, opset: int = 21, outputs: int = 1, **attributes: Any
) -> Any:
    """What ONNX Runtime computes for one node; an input that is None is left out."""
    arrays = {f"i{at}": np.asarray(value) for at, value in enumerate(inputs) if value is not None}
    names = [f"i{at}" if value is not None else "" for at, value in enumerate(inputs)]
    results = [f"o{at}" for at in range(outputs)]
    graph = helper.make_graph(
        [helper.make_node(operator, names, results, **attributes)],
        "one",
        [],
        [helper.make_empty_tensor_value_info(name) for name in results],
        [numpy_helper.from_array(value, name) for name, value in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    found = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, {})
    return found[0] if outputs == 1 else found


def assert_close(found: Array, expected: Array, tolerance: float = 2e-6) -> None:
    """Equal shapes, and equal to `tolerance` of the largest expected value."""
    assert found.shape == expected.shape
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance * scale)


def random(*shape: int, seed: int = 0, low: float = -3, high: float = 3) -> Array:
    values = np.random.default_rng(seed).uniform(low, high, shape)
    return values.astype(np.float32)


def integers(values: Sequence[int] | int) -> Array:
    return np.array(values, np.int32)
