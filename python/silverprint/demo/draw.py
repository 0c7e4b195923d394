"""The picture set of ``silverprint demo``."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from silverprint.demo.camera import photograph
from silverprint.demo.scene import compose
from silverprint.demo.shapes import FIGURES
from silverprint.errors import InvalidDataError, InvalidParameterError

LABELS = tuple(FIGURES)
"""The labels, in alphabetical order."""

MARKER = ".silverprint-demo"
"""The hidden file by which a folder of drawn pictures is known again."""


def draw_pictures(
    folder: str | Path,
    *,
    per_label: int = 40,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Draw ``folder/<label>/<label>_001.jpg`` and so on, `per_label` for each of `LABELS`.

    Every picture shows one thing among clutter, and only its shape tells the label. Pictures
    are 320 to 400 pixels wide and 240 to 300 high. A picture's bytes depend on `seed`, its
    label, its number and the versions of numpy and Pillow: a larger `per_label` adds pictures
    and changes none, and two seeds share no picture. Earlier drawings in the folder are
    replaced; other files that were put there since stay.

    `progress` is called with (pictures done, pictures in all) after each.

    Raises `InvalidDataError` where the folder holds something that was not drawn here or
    cannot be made, `InvalidParameterError` for a `per_label` below 1 or a `seed` below 0, and
    `OSError` where writing fails later, as on a full disk.
    """
    for name, value, least in (("per_label", per_label, 1), ("seed", seed, 0)):
        if not isinstance(value, int) or value < least:
            raise InvalidParameterError(name, value, f"a whole number of at least {least}")
    root = Path(folder)
    _claim(root)
    total = per_label * len(LABELS)
    for position, label in enumerate(LABELS):
        for number in range(1, per_label + 1):
            rng = np.random.default_rng([seed, position, number])
            picture = photograph(compose(label, rng), rng)
            picture.save(root / label / f"{label}_{number:03}.jpg", quality=85)
            if progress is not None:
                progress(position * per_label + number, total)


def _claim(root: Path) -> None:
    """Make `root` with its label folders ours and empty of earlier drawings, or refuse it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        if not (root / MARKER).is_file():
            if any(root.iterdir()):
                raise InvalidDataError(
                    root, "holds files that were not drawn here; name a new or an empty folder"
                )
            (root / MARKER).write_text(
                "Pictures drawn by silverprint demo, which replaces them when it runs again.\n"
            )
        for label in LABELS:
            (root / label).mkdir(exist_ok=True)
            for old in (root / label).iterdir():
                if re.fullmatch(rf"{label}_\d{{3,}}\.jpg", old.name):
                    old.unlink()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidDataError(
            root, f"cannot be made a folder of pictures ({reason}); name another folder"
        ) from error
