"""The one comparison of check (e)."""

from __future__ import annotations

from silverprint.errors import ExportError


def same(what: str, found: object, expected: object) -> None:
    """Raise ExportError unless `found`, which stands in the file as `what`, is as `expected`."""
    if found != expected:
        raise ExportError(f"check (e): the saved file has {what} {found!r} instead of {expected!r}")
