"""Einstein sums of one or two tensors, as transposes and one matrix product."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any


def einsum(equation: str, operands: Sequence[Any], name: str) -> Any:
    """The MIL value called `name` of an ONNX ``Einsum``.

    Sides of 1 stretch. Raises ValueError: more than two tensors, an ellipsis, a letter twice in
    one of them, a single number as the result.
    """
    from coremltools.converters.mil.mil import Builder

    terms, result = _parsed(equation, len(operands))
    sizes: dict[str, int] = {}
    for term, value in zip(terms, operands, strict=True):
        for letter, size in zip(term, value.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    reduced = []
    for place, (term, value) in enumerate(zip(terms, operands, strict=True)):
        wide = [sizes[letter] for letter in term]
        if wide != list(value.shape):
            reps = [side // own for side, own in zip(wide, value.shape, strict=True)]
            value = Builder.tile(x=value, reps=reps)
        others = "".join(terms[:place] + terms[place + 1 :]) + result
        lonely = [axis for axis, letter in enumerate(term) if letter not in others]
        if lonely:
            value = Builder.reduce_sum(x=value, axes=lonely, keep_dims=False)
            term = "".join(letter for letter in term if letter in others)
        reduced.append((term, value))
    (left, x), *rest = reduced
    if not rest:
        return Builder.transpose(x=x, perm=[left.index(letter) for letter in result], name=name)
    ((right, y),) = rest
    batch = [letter for letter in left if letter in right and letter in result]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]

    def matrices(value: Any, term: str, groups: Sequence[Sequence[str]]) -> Any:
        order = [letter for group in groups for letter in group]
        turned = Builder.transpose(x=value, perm=[term.index(letter) for letter in order])
        shape = [math.prod(sizes[letter] for letter in group) for group in groups]
        return Builder.reshape(x=turned, shape=shape)

    product = Builder.matmul(
        x=matrices(x, left, (batch, rows, summed)), y=matrices(y, right, (batch, summed, columns))
    )
    order = [*batch, *rows, *columns]
    shaped = Builder.reshape(x=product, shape=[sizes[letter] for letter in order])
    return Builder.transpose(x=shaped, perm=[order.index(letter) for letter in result], name=name)


def _parsed(equation: str, operands: int) -> tuple[list[str], str]:
    """The letters of each tensor, and of the result."""
    given, arrow, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    if not arrow:
        letters = "".join(terms)
        result = "".join(sorted(letter for letter in letters if letters.count(letter) == 1))
    for term in (*terms, result):
        if "." in term or len(set(term)) != len(term):
            raise ValueError(f"Einsum {equation!r}: no translation for '...' or a letter twice")
    if len(terms) != operands or operands > 2:
        raise ValueError(f"Einsum {equation!r} of {operands} tensors: only one or two")
    if not result:
        raise ValueError(f"Einsum {equation!r}: no translation for a single number as the result")
    return terms, result
