"""Pictures that cannot be read: how many may be, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from silverprint.errors import InvalidDataError, InvalidParameterError


def check_share(name: str, value: object) -> None:
    """Raise InvalidParameterError unless `value` is a share from 0 to 1."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 <= value <= 1:  # type: ignore[operator]
        raise InvalidParameterError(name, value, "a share from 0 to 1")


def check_failures(
    failures: Sequence[tuple[str, InvalidDataError]],
    totals: Counter[str],
    *,
    origin: object,
    max_unreadable: float,
) -> None:
    """Refuse to go on where too much of a data source cannot be read.

    Args:
        failures: (label, error) of each picture that cannot be read.
        totals: pictures given of each label.
        max_unreadable: share of all pictures that may be unreadable; of one label, four times it.

    Raises:
        InvalidDataError: too many are, grouped by cause, or none of a label is left.
    """
    if not failures:
        return
    by_label = Counter(label for label, _ in failures)
    everything = sum(totals.values())
    summary = summarise_failures([error for _, error in failures])
    if len(failures) == everything:
        raise InvalidDataError(origin, f"none of the {everything} pictures can be read: {summary}")
    if len(failures) > max_unreadable * everything:
        raise InvalidDataError(
            origin,
            f"{len(failures)} of {everything} pictures cannot be read, more than "
            f"max_unreadable={max_unreadable:g} allows: {summary}",
        )
    for label, count in by_label.items():
        if count > min(1.0, 4 * max_unreadable) * totals[label] or count == totals[label]:
            own = summarise_failures([error for name, error in failures if name == label])
            raise InvalidDataError(
                origin,
                f"{count} of {totals[label]} pictures of label {label!r} cannot be read: {own}",
            )


def summarise_failures(errors: Sequence[InvalidDataError]) -> str:
    """Errors grouped by cause, most frequent first, each with a file that shows it."""
    causes: dict[str, list[object]] = {}
    for error in errors:
        causes.setdefault(error.reason, []).append(error.file)
    parts = [
        f"{len(files)} {reason} (such as {files[0]})"
        for reason, files in sorted(causes.items(), key=lambda cause: (-len(cause[1]), cause[0]))
    ]
    return "; ".join(parts)
