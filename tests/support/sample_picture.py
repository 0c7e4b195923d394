"""The picture that the stored model files of `tests/formats` were asked about."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def sample_picture(width: int = 45, height: int = 31) -> npt.NDArray[np.uint8]:
    """uint8 (height, width, 3), from a formula that stays the same in every version."""
    y, x, channel = np.ogrid[:height, :width, :3]
    return ((x * 5 + y * (7 + 4 * channel) + channel * 60) % 256).astype(np.uint8)
