"""Every pixel mode of Pillow to upright 8-bit sRGB."""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np

from silverprint.errors import InvalidDataError

if TYPE_CHECKING:
    from PIL import Image, ImageCms

_SPACE = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}


def to_rgb(image: Image.Image, name: object) -> Image.Image:
    """`image` in mode RGB and sRGB, transparency over black.

    =====================  ================================================================
    mode                   rule
    =====================  ================================================================
    1, L, RGB, RGBX        as they are; a transparent colour becomes black
    LA, La, RGBA, RGBa,    colour over black by its alpha; La and RGBa hold premultiplied
    PA, P                  colours; P has alpha where its file gives the palette any
    I;16 and its kin       divided by 257 and rounded
    I                      the same, if all samples lie in 0..65535, else an error
    F                      times 255 and rounded, if all samples lie in 0..1, else an error
    CMYK                   by its profile, else (255-C)(255-K)/255; Adobe's inverted samples
                           have been turned by Pillow
    YCbCr, HSV, LAB        Pillow's conversion (JPEG, hexcone, CIE D50)
    =====================  ================================================================

    Raises:
        InvalidDataError: samples out of their range, or a mode not in this table.
    """
    colour, alpha = _split(image, name)
    profile = image.info.get("icc_profile")
    if profile and image.mode != "LAB":
        colour = _to_srgb(colour, profile)
    if colour.mode != "RGB":
        colour = colour.convert("RGB")
    if alpha is None:
        return colour
    from PIL import Image

    return Image.composite(colour, Image.new("RGB", colour.size), alpha)


def _split(image: Image.Image, name: object) -> tuple[Image.Image, Image.Image | None]:
    """Colour in mode L, RGB or CMYK, and alpha in mode L or None."""
    mode = image.mode
    clear = "transparency" in image.info
    if mode in _SPACE and not clear:
        return image, None
    if mode.startswith("I;16") or mode in ("I", "F"):
        return _deep(image, name)
    if mode == "LA":
        grey, alpha = image.split()
        return grey, alpha
    if mode == "La":
        return _split(image.convert("LA"), name)
    palette_alpha = mode == "P" and image.palette is not None and image.palette.mode == "RGBA"
    if clear or palette_alpha or mode in ("RGBA", "RGBa", "PA"):
        whole = image if mode == "RGBA" else image.convert("RGBA")
        return whole.convert("RGB"), whole.getchannel("A")
    if mode == "1":
        return image.convert("L"), None
    if mode in ("P", "RGBX", "YCbCr", "HSV", "LAB"):
        return image.convert("RGB"), None
    raise InvalidDataError(name, f"pixel mode {mode} is not known")


def _deep(image: Image.Image, name: object) -> tuple[Image.Image, Image.Image | None]:
    """Grey of more than 8 bits as mode L."""
    from PIL import Image

    samples = np.asarray(image)
    if image.mode == "F":
        if not (samples.min() >= 0 and samples.max() <= 1):  # written so that NaN fails
            raise InvalidDataError(name, "float samples outside 0..1")
        grey = np.rint(samples * np.float32(255)).astype(np.uint8)
    else:
        if image.mode == "I" and not (samples.min() >= 0 and samples.max() <= 65535):
            raise InvalidDataError(name, "integer samples outside 0..65535")
        grey = ((samples.astype(np.uint32) + 128) // 257).astype(np.uint8)
    clear = image.info.get("transparency")
    alpha = None
    if isinstance(clear, int):
        alpha = Image.fromarray(np.where(samples == clear, 0, 255).astype(np.uint8))
    return Image.fromarray(grey), alpha


def _to_srgb(colour: Image.Image, profile: bytes) -> Image.Image:
    if colour.mode == "L" and profile[16:20] == b"RGB ":
        colour = colour.convert("RGB")
    transform = _transform(profile, colour.mode)
    if transform is None:
        return colour
    return transform.apply(colour)


@lru_cache(maxsize=64)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From `profile` to sRGB; None if the profile is unusable, or changes nothing.

    A profile changes nothing if it moves no colour of a 17-step grid by more than one level: the
    many spellings of sRGB are found by what they do, not by their names. Little CMS transforms
    hold no state of a call, so threads share them.
    """
    from PIL import Image, ImageCms

    # ICC.1:2022, 7.2: the colour space stands at byte 16 of the header.
    if profile[16:20].decode("latin-1").strip() != _SPACE[mode]:
        return None
    try:
        source = ImageCms.ImageCmsProfile(BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        transform = ImageCms.buildTransform(source, target, mode, "RGB")
        if mode == "CMYK":
            return transform
        steps = np.linspace(0, 255, 17).round().astype(np.uint8)
        grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(17, -1, 3)
        probe = Image.fromarray(grid if mode == "RGB" else np.ascontiguousarray(grid[:, :, 0]))
        before = np.asarray(probe.convert("RGB")).astype(int)
        after = np.asarray(transform.apply(probe)).astype(int)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return None if np.abs(after - before).max() <= 1 else transform
