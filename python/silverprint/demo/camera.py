"""What light and camera do to a scene before it is a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from silverprint.demo.paint import Picture, smooth_noise


def photograph(scene: Picture, rng: np.random.Generator) -> Image.Image:
    """Uneven light, exposure, colour cast, vignetting, lens or motion blur and sensor noise."""
    height, width = scene.shape[:2]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    angle = rng.uniform(0, 2 * np.pi)
    light = 1 + rng.uniform(0, 0.4) * (x * np.cos(angle) + y * np.sin(angle))
    light *= 1 - rng.uniform(0, 0.25) * (x * x + y * y)
    if rng.random() < 0.35:
        edge = smooth_noise(rng, height, width, (3, 3)) + rng.uniform(-0.3, 0.3)
        light *= 1 - rng.uniform(0.2, 0.45) * np.clip(0.5 + rng.uniform(3, 12) * edge, 0, 1)
    gain = 2 ** rng.uniform(-0.6, 0.6) * rng.uniform(0.85, 1.15, size=3)
    seen = scene * light[..., None] * gain.astype(np.float32)
    # A shoulder instead of hard clipping keeps shape in the highlights.
    seen = np.where(seen > 0.8, 1 - 0.2 * np.exp((0.8 - seen) / 0.2), seen)
    image = Image.fromarray(_bytes(seen))
    if rng.random() < 0.2:
        image = image.filter(_motion(rng))
    image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.1)))
    exact = np.asarray(image, dtype=np.float32) / np.float32(255)
    noise = rng.standard_normal((height, width, 3), dtype=np.float32)
    grain = rng.uniform(0.005, 0.03) * np.sqrt(exact + 0.05)
    return Image.fromarray(_bytes(exact + grain * noise))


def _motion(rng: np.random.Generator) -> ImageFilter.Kernel:
    """A 5x5 line of random direction."""
    angle = rng.uniform(0, np.pi)
    kernel = np.zeros((5, 5))
    for step in np.linspace(-2, 2, 9):
        kernel[2 + round(step * np.sin(angle)), 2 + round(step * np.cos(angle))] += 1
    return ImageFilter.Kernel((5, 5), list(kernel.ravel()))


def _bytes(picture: Picture) -> NDArray[np.uint8]:
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
