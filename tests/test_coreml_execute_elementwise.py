"""ML Program operators that work number by number: saved, read back, executed.

Each is held against ONNX Runtime's operator of the same meaning; where ONNX has none, against its
formula in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from silverprint.export.coreml import available
from silverprint.export.coreml.execute.mil_operators import known, lookup
from support.mil import Array, assert_close, integers, onnx_run, random, run_programs

pytestmark = pytest.mark.skipif(available() is not None, reason=str(available()))

X = random(2, 3, 4, 5)
UNIT = random(2, 3, 4, 5, seed=1, low=-0.9, high=0.9)
POSITIVE = random(2, 3, 4, 5, seed=2, low=0.1, high=9)
ROW = random(1, 3, 1, 5, seed=3, low=0.5, high=4)
EDGES = np.array(
    [-np.inf, -1e30, -88, -2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, 88, 1e30, np.inf]
)
EDGES = EDGES.astype(np.float32)

Build = Callable[..., Any]


def executed(folder: Any, builds: dict[str, Build], target: str = "iOS15") -> dict[str, Array]:
    inputs = {"x": X, "unit": UNIT, "positive": POSITIVE, "row": ROW, "edges": EDGES}
    return run_programs(folder, builds, inputs, target=target)


# One input

UNARY: dict[str, tuple[str, Array]] = {
    "abs": ("Abs", X),
    "acos": ("Acos", UNIT),
    "asin": ("Asin", UNIT),
    "atan": ("Atan", X),
    "atanh": ("Atanh", UNIT),
    "ceil": ("Ceil", X),
    "cos": ("Cos", X),
    "cosh": ("Cosh", X),
    "erf": ("Erf", X),
    "exp": ("Exp", X),
    "floor": ("Floor", X),
    "relu": ("Relu", EDGES),
    "round": ("Round", EDGES),
    "sigmoid": ("Sigmoid", EDGES),
    "sign": ("Sign", EDGES),
    "sin": ("Sin", X),
    "sinh": ("Sinh", X),
    "softplus": ("Softplus", EDGES),
    "softsign": ("Softsign", X),
    "sqrt": ("Sqrt", POSITIVE),
    "tan": ("Tan", UNIT),
    "tanh": ("Tanh", EDGES),
}


@pytest.fixture(scope="module")
def unary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    def build(name: str, given: Array) -> Build:
        """Its parameter is the input that the operator takes."""
        if given is X:
            return lambda mb, x: getattr(mb, name)(x=x)
        if given is UNIT:
            return lambda mb, unit: getattr(mb, name)(x=unit)
        if given is POSITIVE:
            return lambda mb, positive: getattr(mb, name)(x=positive)
        return lambda mb, edges: getattr(mb, name)(x=edges)

    builds = {name: build(name, given) for name, (_, given) in UNARY.items()}
    return executed(tmp_path_factory.mktemp("unary"), builds)


@pytest.mark.parametrize("name", UNARY)
def test_functions_of_one_input(unary: dict[str, Array], name: str) -> None:
    operator, given = UNARY[name]
    expected = onnx_run(operator, given)
    assert unary[name].dtype == np.float32
    np.testing.assert_allclose(unary[name], expected, rtol=4e-6, atol=1e-6)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


FORMULAS: dict[str, tuple[Build, Callable[[Array], Array]]] = {
    "exp2": (lambda mb, x: mb.exp2(x=x), lambda x: 2**x),
    "square": (lambda mb, x: mb.square(x=x), lambda x: x * x),
    "identity": (lambda mb, x: mb.identity(x=x), lambda x: x),
    "threshold": (lambda mb, x: mb.threshold(x=x, alpha=0.5), lambda x: np.maximum(x, 0.5)),
    "relu6": (lambda mb, x: mb.relu6(x=mb.mul(x=x, y=4.0)), lambda x: np.clip(4 * x, 0, 6)),
    "silu": (lambda mb, x: mb.silu(x=x), lambda x: x * sigmoid(x)),
    "linear_activation": (
        lambda mb, x: mb.linear_activation(x=x, alpha=0.3, beta=-0.2),
        lambda x: 0.3 * x - 0.2,
    ),
    "scaled_tanh": (
        lambda mb, x: mb.scaled_tanh(x=x, alpha=1.7, beta=0.6),
        lambda x: 1.7 * np.tanh(0.6 * x),
    ),
    "clamped_relu": (
        lambda mb, x: mb.clamped_relu(x=x, alpha=0.25, beta=1.5),
        lambda x: np.minimum(1.5, np.where(x >= 0, x, 0.25 * x)),
    ),
    "softplus_parametric": (
        lambda mb, x: mb.softplus_parametric(
            x=x, alpha=np.float32([1, 2, -1]), beta=np.float32([0.5, -1, 2])
        ),
        lambda x: (
            np.reshape([1, 2, -1], (3, 1, 1))
            * np.log1p(np.exp(np.reshape([0.5, -1, 2], (3, 1, 1)) * x))
        ),
    ),
    "gelu exact": (
        lambda mb, x: mb.gelu(x=x, mode="EXACT"),
        lambda x: np.vectorize(lambda one: one / 2 * (1 + math.erf(one / math.sqrt(2))))(x),
    ),
    "gelu tanh": (
        lambda mb, x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "gelu sigmoid": (
        lambda mb, x: mb.gelu(x=x, mode="SIGMOID_APPROXIMATION"),
        lambda x: x * sigmoid(1.702 * x),
    ),
    "inverse": (lambda mb, x: mb.inverse(x=x, epsilon=0.5), lambda x: 1 / (x + 0.5)),
    "cast down": (
        lambda mb, x: mb.cast(x=mb.cast(x=x, dtype="int32"), dtype="fp32"),
        lambda x: np.trunc(x),
    ),
    "cast bool": (
        lambda mb, x: mb.cast(x=mb.cast(x=mb.relu(x=x), dtype="bool"), dtype="fp32"),
        lambda x: x > 0,
    ),
}
POSITIVE_FORMULAS: dict[str, tuple[Build, Callable[[Array], Array]]] = {
    "log": (lambda mb, positive: mb.log(x=positive, epsilon=0.25), lambda x: np.log(x + 0.25)),
    "rsqrt": (
        lambda mb, positive: mb.rsqrt(x=positive, epsilon=0.125),
        lambda x: 1 / np.sqrt(x + 0.125),
    ),
}


@pytest.fixture(scope="module")
def formulas(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    builds = {name: build for name, (build, _) in {**FORMULAS, **POSITIVE_FORMULAS}.items()}
    return executed(tmp_path_factory.mktemp("formulas"), builds)


@pytest.mark.parametrize("name", [*FORMULAS, *POSITIVE_FORMULAS])
def test_formulas(formulas: dict[str, Array], name: str) -> None:
    given, (_, formula) = (
        (X, FORMULAS[name]) if name in FORMULAS else (POSITIVE, POSITIVE_FORMULAS[name])
    )
    assert_close(formulas[name], formula(given.astype(np.float64)))


PARAMETRIC: dict[str, tuple[Build, Callable[[], Array]]] = {
    "clip": (
        lambda mb, x: mb.clip(x=x, alpha=-1.0, beta=0.75),
        lambda: onnx_run("Clip", X, np.float32(-1), np.float32(0.75)),
    ),
    "elu": (lambda mb, x: mb.elu(x=x, alpha=0.4), lambda: onnx_run("Elu", X, alpha=0.4)),
    "leaky_relu": (
        lambda mb, x: mb.leaky_relu(x=x, alpha=0.1),
        lambda: onnx_run("LeakyRelu", X, alpha=0.1),
    ),
    "prelu": (
        lambda mb, x: mb.prelu(x=x, alpha=np.float32([0.1, -0.2, 0.3])),
        lambda: onnx_run("PRelu", X, np.float32([0.1, -0.2, 0.3]).reshape(3, 1, 1)),
    ),
    "sigmoid_hard": (
        lambda mb, x: mb.sigmoid_hard(x=x, alpha=0.2, beta=0.4),
        lambda: onnx_run("HardSigmoid", X, alpha=0.2, beta=0.4),
    ),
    "thresholded_relu": (
        lambda mb, x: mb.thresholded_relu(x=x, alpha=0.7),
        lambda: onnx_run("ThresholdedRelu", X, alpha=0.7),
    ),
    "gelu exact": (
        lambda mb, x: mb.gelu(x=x),
        lambda: onnx_run("Gelu", X, approximate="none"),
    ),
    "gelu tanh": (
        lambda mb, x: mb.gelu(x=x, mode="TANH_APPROXIMATION"),
        lambda: onnx_run("Gelu", X, approximate="tanh"),
    ),
    "softmax last": (lambda mb, x: mb.softmax(x=x), lambda: onnx_run("Softmax", X, axis=-1)),
    "softmax first": (
        lambda mb, x: mb.softmax(x=mb.mul(x=x, y=40.0), axis=1),
        lambda: onnx_run("Softmax", X * 40, axis=1),
    ),
}


@pytest.fixture(scope="module")
def parametric(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    builds = {name: build for name, (build, _) in PARAMETRIC.items()}
    return executed(tmp_path_factory.mktemp("parametric"), builds)


@pytest.mark.parametrize("name", PARAMETRIC)
def test_functions_with_parameters(parametric: dict[str, Array], name: str) -> None:
    assert_close(parametric[name], PARAMETRIC[name][1]())


def test_a_threshold_belongs_to_the_upper_side() -> None:
    """MIL: x where x >= alpha; ONNX has > there."""
    thresholded = lookup("thresholded_relu", 5)
    assert thresholded is not None
    x, alpha = np.float32([-1, 1, 2]), np.float32(1)
    assert thresholded.compute(x=x, alpha=alpha).tolist() == [0, 1, 2]


# Two inputs

BINARY: dict[str, tuple[Build, Callable[[], Array]]] = {
    "add": (lambda mb, x, row: mb.add(x=x, y=row), lambda: onnx_run("Add", X, ROW)),
    "sub": (lambda mb, x, row: mb.sub(x=x, y=row), lambda: onnx_run("Sub", X, ROW)),
    "mul": (lambda mb, x, row: mb.mul(x=x, y=row), lambda: onnx_run("Mul", X, ROW)),
    "real_div": (lambda mb, x, row: mb.real_div(x=x, y=row), lambda: onnx_run("Div", X, ROW)),
    "floor_div": (
        lambda mb, x, row: mb.floor_div(x=x, y=row),
        lambda: onnx_run("Floor", onnx_run("Div", X, ROW)),
    ),
    "mod": (lambda mb, x, row: mb.mod(x=x, y=row), lambda: X - ROW * np.floor(X / ROW)),
    "pow": (
        lambda mb, positive, row: mb.pow(x=positive, y=row),
        lambda: onnx_run("Pow", POSITIVE, ROW),
    ),
    "maximum": (lambda mb, x, row: mb.maximum(x=x, y=row), lambda: onnx_run("Max", X, ROW)),
    "minimum": (lambda mb, x, unit: mb.minimum(x=x, y=unit), lambda: onnx_run("Min", X, UNIT)),
}
COMPARED = {
    "equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
}
LOGICAL = {"logical_and": "And", "logical_or": "Or", "logical_xor": "Xor"}


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Array]:
    def compared(name: str) -> Build:
        return lambda mb, x: mb.cast(
            x=getattr(mb, name)(x=mb.round(x=x), y=np.float32(1)), dtype="int32"
        )

    def logical(name: str) -> Build:
        return lambda mb, x, unit: mb.cast(
            x=getattr(mb, name)(
                x=mb.greater(x=x, y=np.float32(0)), y=mb.greater(x=unit, y=np.float32(0))
            ),
            dtype="int32",
        )

    builds = {name: build for name, (build, _) in BINARY.items()}
    builds |= {name: compared(name) for name in [*COMPARED, "not_equal"]}
    builds |= {name: logical(name) for name in LOGICAL}
    builds["logical_not"] = lambda mb, x: mb.cast(
        x=mb.logical_not(x=mb.less(x=x, y=np.float32(0))), dtype="int32"
    )
    builds["select"] = lambda mb, x, unit, row: mb.select(
        cond=mb.less(x=unit, y=np.float32(0)), a=x, b=mb.add(x=row, y=x)
    )
    return executed(tmp_path_factory.mktemp("binary"), builds)


@pytest.mark.parametrize("name", BINARY)
def test_functions_of_two_inputs(binary: dict[str, Array], name: str) -> None:
    assert_close(binary[name], BINARY[name][1]())


@pytest.mark.parametrize("name", [*COMPARED, "not_equal"])
def test_comparisons(binary: dict[str, Array], name: str) -> None:
    equal = onnx_run("Equal", np.round(X), np.float32(1))
    compared = name in COMPARED and onnx_run(COMPARED[name], np.round(X), np.float32(1))
    expected = compared if name in COMPARED else ~equal
    assert equal.any()
    assert binary[name].dtype == np.int32
    np.testing.assert_array_equal(binary[name], expected)


@pytest.mark.parametrize("name", LOGICAL)
def test_logic(binary: dict[str, Array], name: str) -> None:
    np.testing.assert_array_equal(binary[name], onnx_run(LOGICAL[name], X > 0, UNIT > 0))


def test_not_and_select(binary: dict[str, Array]) -> None:
    np.testing.assert_array_equal(binary["logical_not"], onnx_run("Not", X < 0))
    np.testing.assert_array_equal(binary["select"], onnx_run("Where", UNIT < 0, X, ROW + X))


@pytest.mark.parametrize(
    ("name", "expected"), [("floor_div", [-3, -3, 2, 3]), ("mod", [1, -1, -1, 1])]
)
def test_integers_divide_towards_minus_infinity(name: str, expected: list[int]) -> None:
    """As Python's // and %."""
    operator = lookup(name, 5)
    assert operator is not None
    found = operator.compute(x=integers([-8, 8, -5, 10]), y=integers([3, -3, -2, 3]))
    assert found.dtype == np.int32
    assert found.tolist() == expected


def test_a_cast_cuts_fractions_off_before_it_looks_at_the_limits() -> None:
    cast = lookup("cast", 7)
    assert cast is not None
    found = cast.compute(x=np.float32([127.9, -128.9, -0.5, 3]), dtype="int8")
    assert found.dtype == np.int8
    assert found.tolist() == [127, -128, 0, 3]


# What MIL leaves open


@pytest.mark.parametrize(
    ("name", "opset", "arguments", "message"),
    [
        ("real_div", 5, {"x": integers([3]), "y": integers([2])}, "rounds integers"),
        ("cast", 5, {"x": np.float32([3e9]), "dtype": "int32"}, "beyond int32"),
        ("cast", 5, {"x": np.float32([np.nan]), "dtype": "int32"}, "beyond int32"),
        ("cast", 5, {"x": np.float32([1]), "dtype": "fp8"}, "cast to 'fp8'"),
        ("gelu", 5, {"x": np.float32([1]), "mode": "exact"}, "gelu in the mode 'exact'"),
        ("clip", 7, {"x": X, "alpha": np.float32(1), "beta": np.float32(1)}, "clip between"),
    ],
)
def test_what_mil_does_not_define_is_refused(
    name: str, opset: int, arguments: dict[str, Any], message: str
) -> None:
    operator = lookup(name, opset)
    assert operator is not None
    with pytest.raises(ValueError, match=f"MIL does not define .*{message}"):
        operator.compute(**arguments)


def test_quantized_numbers(tmp_path_factory: pytest.TempPathFactory) -> None:
    scale, zero = np.float32([0.02, 0.05, 0.01]), np.int8([3, -7, 0])
    builds: dict[str, Build] = {
        "vector": lambda mb, x: mb.dequantize(
            input=mb.quantize(input=x, scale=scale, zero_point=zero, axis=1, output_dtype="int8"),
            scale=scale,
            zero_point=zero,
            axis=1,
        ),
        "scalar": lambda mb, x: mb.cast(
            x=mb.quantize(input=x, scale=np.float32(0.04), output_dtype="uint8"), dtype="int32"
        ),
    }
    found = executed(tmp_path_factory.mktemp("quantized"), builds, "iOS17")
    levels = onnx_run("QuantizeLinear", X, scale, zero, axis=1)
    assert {levels.min(), levels.max()} >= {-128, 127}, "some are clipped"
    assert_close(found["vector"], onnx_run("DequantizeLinear", levels, scale, zero, axis=1))
    expected = onnx_run("QuantizeLinear", X, np.float32(0.04), np.uint8(0))
    np.testing.assert_array_equal(found["scalar"], expected)


@pytest.mark.parametrize("name", known())
def test_parameters_are_those_of_coremltools(name: str) -> None:
    """For each operator set: the same names, and none required that coremltools leaves out."""
    from coremltools.converters.mil.mil.ops.registry import SSAOpRegistry

    oldest = 6  # specification version of iOS 15, whose operator set is CoreML5
    versions = SSAOpRegistry.core_ops[name]
    assert versions
    for version, definition in versions.items():
        specification = max(oldest, version.value)
        if any(specification >= max(oldest, other.value) > version.value for other in versions):
            continue
        operator = lookup(name, specification - 1)
        assert operator is not None, version
        theirs = definition.input_spec.input_types
        assert set(theirs) <= operator.allowed, version
        assert operator.required <= {one for one, kind in theirs.items() if not kind.optional}
