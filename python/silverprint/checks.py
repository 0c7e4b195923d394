"""Numbers that users give, as plain int and float."""

from __future__ import annotations

import math
import operator
from numbers import Real

import numpy as np

from silverprint.errors import InvalidParameterError


def real(name: str, value: object, allowed: str, least: float, most: float) -> float:
    """`value` as a float from `least` to `most`, both included; NumPy's numbers will do.

    Raises:
        InvalidParameterError: it is no number, or outside; `allowed` says what is expected.
    """
    number = math.nan
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
    if not least <= number <= most:
        raise InvalidParameterError(name, value, allowed)
    return number


def whole(name: str, value: object, allowed: str, least: int, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`, both included; NumPy's integers will do.

    Raises:
        InvalidParameterError: it is no whole number, or outside; `allowed` says what is expected.
    """
    try:
        number = least - 1 if isinstance(value, (bool, np.bool_)) else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        raise InvalidParameterError(name, value, allowed)
    return number
