"""Numbers that users give: NumPy's will do, and nothing else is guessed at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import silverprint as sp
from silverprint.checks import real, whole


@pytest.mark.parametrize("value", [2, 2.0, np.int64(2), np.float32(2), np.uint8(2)])
def test_a_real_number_becomes_a_float(value: Any) -> None:
    assert type(real("x", value, "a number", 0, 3)) is float
    assert real("x", value, "a number", 2, 2) == 2.0


@pytest.mark.parametrize("value", [2, np.int64(2), np.uint8(2)])
def test_a_whole_number_becomes_an_int(value: Any) -> None:
    assert type(whole("x", value, "a number", 0)) is int
    assert whole("x", value, "a number", 2, 2) == 2


@pytest.mark.parametrize("value", [True, "2", None, 1j, [2], np.nan, np.inf, 10**400, -1, 4])
def test_all_else_is_an_error_that_names_it(value: Any) -> None:
    for check in (real, whole):
        with pytest.raises(sp.InvalidParameterError, match=r"x=.*: expected a number up to 3"):
            check("x", value, "a number up to 3", 0, 3)


@pytest.mark.parametrize("value", [2.0, np.float64(2), np.True_])
def test_a_whole_number_is_not_a_float(value: Any) -> None:
    with pytest.raises(sp.InvalidParameterError):
        whole("x", value, "a number", 0)


def test_parameters_take_numpy_numbers_and_keep_plain_ones() -> None:
    perceptron = sp.MultilayerPerceptron(np.array([256, 64]), l2=np.float32(0.5))
    assert repr(perceptron) == (
        "MultilayerPerceptron(layer_sizes=(256, 64), l2=0.5, class_weights=None)"
    )
    parameters = sp.ModelParameters(seed=np.int64(3), max_iterations=np.int32(9))
    assert (type(parameters.seed), type(parameters.max_iterations)) == (int, int)
    assert sp.Split(np.float32(0.25), np.int16(1)) == sp.Split(0.25, 1)


@pytest.mark.parametrize("value", [1e39, 10**400, np.inf, 0, -1, "0.1"])
def test_a_penalty_that_no_float_holds_is_refused(value: Any) -> None:
    for kind in (sp.LogisticRegressor, sp.MultilayerPerceptron):
        with pytest.raises(sp.InvalidParameterError, match="l2="):
            kind(l2=value)


@pytest.mark.parametrize("weight", [1e-50, 1e300, 10**400, 0, "a"])
def test_a_class_weight_that_no_float_holds_is_refused(weight: Any) -> None:
    with pytest.raises(sp.InvalidParameterError, match=r"class_weights\['cat'\]="):
        sp.LogisticRegressor(class_weights={"cat": weight})


def test_class_weights_are_copied() -> None:
    given = {"cat": 2.0}
    regressor = sp.LogisticRegressor(class_weights=given)
    given["cat"] = 0.0
    assert regressor.class_weights == {"cat": 2.0}


def test_layers_of_billions_of_weights_are_refused_before_any_picture_is_read() -> None:
    perceptron = sp.MultilayerPerceptron([65536, 65536])
    with pytest.raises(sp.InvalidParameterError, match=r"layer_sizes=.*134,217,728 weights, not"):
        perceptron.check_size(848, 10)
    sp.MultilayerPerceptron([4096, 4096]).check_size(848, 10)


def test_a_data_frame_as_data_points_to_frame() -> None:
    pandas = pytest.importorskip("pandas")
    with pytest.raises(sp.InvalidParameterError, match=r"DataSource\.frame"):
        sp.ImageClassifier(pandas.DataFrame({"image": ["a.jpg"], "label": ["cat"]}))
