"""Names of values, as a saved file changes them."""

from __future__ import annotations

import re
from collections.abc import Iterable


def sanitised(name: str) -> str:
    """A name as coremltools writes it in an ML Program."""
    changed = re.sub(r"[^A-Za-z0-9_]", "_", name)
    return f"_{changed}" if changed[:1].isdigit() else changed


def by_saved_name(names: Iterable[str]) -> dict[str, str]:
    """From the name in a file, of either format, to the name in the reference.

    coremltools adds a suffix to what it makes float16.
    """
    listed = list(names)
    found = {f"{sanitised(name)}_cast_fp16": name for name in reversed(listed)}
    found |= {sanitised(name): name for name in reversed(listed)}
    return found | {name: name for name in listed}
