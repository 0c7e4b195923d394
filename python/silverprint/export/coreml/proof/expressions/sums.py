"""Einstein sums as what they are made of: sums over axes, moves and one product of matrices."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from silverprint.export.coreml.proof.expressions import layers
from silverprint.export.coreml.proof.expressions.values import Unreadable, Value, moved


def einsum(equation: str, operands: Sequence[Value], name: str, place: int) -> Value:
    """The sum of products of one or two tensors over the letters that the result lacks.

    Sides of 1 stretch. Raises Unreadable: more tensors, an ellipsis, a letter twice in one tensor.
    """
    terms, result = _parsed(equation)
    sizes: dict[str, int] = {}
    for term, value in zip(terms, operands, strict=True):
        for letter, size in zip(term, value.shape, strict=True):
            sizes[letter] = max(size, sizes.get(letter, 1))
    summed = []
    for at, (term, value) in enumerate(zip(terms, operands, strict=True)):
        others = "".join(terms[:at] + terms[at + 1 :]) + result
        wide = _stretched(value, [sizes[letter] for letter in term])
        summed.append(_summed(term, wide, others, name, place))
    if len(summed) == 1:
        ((term, value),) = summed
        return _turned(value, term, result, [sizes[one] for one in result], name, place)
    (left, x), (right, y) = summed
    batch = [one for one in left if one in right and one in result]
    inner = [one for one in left if one in right and one not in result]
    rows = [one for one in left if one not in right]
    columns = [one for one in right if one not in left]

    def matrices(term: str, value: Value, *groups: list[str]) -> Value:
        order = "".join(one for group in groups for one in group)
        shape = [math.prod(sizes[one] for one in group) for group in groups]
        return _turned(value, term, order, shape, name, place)

    product = layers.matmul(
        matrices(left, x, batch, rows, inner),
        matrices(right, y, batch, inner, columns),
        name,
        place,
    )
    order = "".join([*batch, *rows, *columns])
    shape = [sizes[one] for one in order]
    apart = moved(product, lambda index: index.reshape(shape), name, place)
    return _turned(apart, order, result, [sizes[one] for one in result], name, place)


def _parsed(equation: str) -> tuple[list[str], str]:
    given, arrow, result = equation.replace(" ", "").partition("->")
    terms = given.split(",")
    if not arrow:
        result = "".join(sorted(one for one in set(given) - {","} if given.count(one) == 1))
    if len(terms) > 2 or any("." in one or len(set(one)) < len(one) for one in (*terms, result)):
        raise Unreadable(f"einsum {equation!r}")
    return terms, result


def _stretched(value: Value, shape: Sequence[int]) -> Value:
    return moved(value, lambda index: np.broadcast_to(index, shape), value.name, value.place)


def _summed(term: str, value: Value, others: str, name: str, place: int) -> tuple[str, Value]:
    """`value` summed over the letters that stand nowhere else, and its letters then."""
    axes = [axis for axis, letter in enumerate(term) if letter not in others]
    if not axes:
        return term, value
    kept = "".join(letter for letter in term if letter in others)
    return kept, layers.reduce("reduce_sum", value, axes, False, name, place)


def _turned(
    value: Value, term: str, order: str, shape: Sequence[int], name: str, place: int
) -> Value:
    """`value`, whose axes are the letters of `term`, with them in another order, in `shape`."""
    axes = [term.index(letter) for letter in order]
    return moved(value, lambda index: index.transpose(axes).reshape(shape), name, place)
