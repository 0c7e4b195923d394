"""Pictures to pixels: uint8 RGB, upright, in sRGB."""

from __future__ import annotations

import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from silverprint.data.colour import to_rgb
from silverprint.data.formats import is_cut_short, open_picture
from silverprint.data.reading import display_name, read_picture
from silverprint.data.rule import PictureRule
from silverprint.errors import InvalidDataError

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

    Picture = str | os.PathLike[str] | bytes | Image.Image | npt.NDArray[np.uint8]

__all__ = ["MAX_PIXELS", "decode", "read_picture"]

MAX_PIXELS = 178_956_970
"""Largest picture in pixels, after scaled decode: where Pillow, too, stops by default."""

_EXIF_KEYS = ("exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif")
_TOO_LARGE = f"more than {MAX_PIXELS // 1_000_000} million pixels"
_huge = threading.Lock()


def decode(
    image: Picture, rule: PictureRule | None = None, *, name: object = None
) -> npt.NDArray[np.uint8]:
    """The pixels of a picture: uint8 of shape (height, width, 3), RGB, C-contiguous.

    Args:
        image: a path, the bytes of a picture file, a PIL image, or a uint8 array of shape (H, W)
            grey, (H, W, 3) RGB or (H, W, 4) RGBA, which goes over black.
        rule: lets a JPEG file be decoded at 1/2, 1/4 or 1/8 of its size, never below
            ``rule.needed_size``. It is not resampled further here.
        name: what errors call the picture, where `image` is not a path.

    `PictureRule` documents orientation and colour, `colour.to_rgb` the pixel modes. Of several
    frames or pages the first counts. The result may be read only, and may be `image` itself.
    Threads may call this at the same time.

    Raises:
        InvalidDataError: the picture cannot be read; equal causes have equal reasons.
    """
    from PIL import Image

    source: bytes | Image.Image
    if isinstance(image, (str, os.PathLike)):
        name = display_name(image) if name is None else name
        source = read_picture(image)
    elif isinstance(image, (bytes, bytearray, memoryview)):
        name = "<bytes>" if name is None else name
        source = bytes(image)
    elif isinstance(image, np.ndarray):
        return _from_array(image, "<array>" if name is None else name)
    elif isinstance(image, Image.Image):
        if name is None:
            file = getattr(image, "filename", "")
            name = display_name(file) if file else "<PIL image>"
        source = image
    else:
        raise InvalidDataError(
            f"<{type(image).__name__}>",
            "not a picture; give a path, bytes, a PIL image or a uint8 array",
        )
    try:
        if isinstance(source, Image.Image):
            return _pixels(source, name)
        opened = open_picture(source, name)
        if rule is not None and opened.format == "JPEG":
            _reduce(opened, rule, len(source))
        return _pixels(opened, name)
    except InvalidDataError:
        raise
    except MemoryError as error:
        raise InvalidDataError(name, "not enough memory to decode it") from error
    except Image.DecompressionBombError as error:
        raise InvalidDataError(name, _TOO_LARGE) from error
    except Exception as error:
        # Damaged files make the many codecs raise whatever they like, struct.error included.
        cut = isinstance(source, bytes) and is_cut_short(source)
        cut = cut or "truncated" in str(error).lower()
        raise InvalidDataError(name, "truncated" if cut else "damaged") from error


def _pixels(image: Image.Image, name: object) -> npt.NDArray[np.uint8]:
    width, height = image.size
    if width < 1 or height < 1:
        raise InvalidDataError(name, "no pixels")
    if width * height > MAX_PIXELS:
        raise InvalidDataError(name, _TOO_LARGE)
    _load(image)
    orientation = orientation_of(image)  # after load: a PNG may hold its EXIF at the end
    image = to_rgb(image, name)
    if orientation != 1:
        image = _upright(image, orientation)
    return np.asarray(image)


def _load(image: Image.Image) -> None:
    from PIL import Image

    if image.width * image.height <= (Image.MAX_IMAGE_PIXELS or MAX_PIXELS):
        image.load()
        return
    # Pillow's TIFF reader warns here. One at a time: catch_warnings is not safe in threads.
    with _huge, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.load()


def _reduce(image: ImageFile, rule: PictureRule, length: int) -> None:
    """Set a JPEG of `length` bytes up for decoding at the smallest scale that the rule allows."""
    width, height = image.size
    # A Huffman-coded JPEG spends at least a bit on every 8x8 block; one that claims more is not
    # what it says, and libjpeg would fill it with grey.
    if width * height > MAX_PIXELS and (width * height > 512 * length or _is_buffered(image)):
        return
    if orientation_of(image) >= 5:
        needed_height, needed_width = rule.needed_size(height, width)
    else:
        needed_width, needed_height = rule.needed_size(width, height)
    for scale in (8, 4, 2):
        # libjpeg rounds the reduced size up.
        if -(-width // scale) >= needed_width and -(-height // scale) >= needed_height:
            image.draft(None, (max(1, width // scale), max(1, height // scale)))
            return


def _is_buffered(image: ImageFile) -> bool:
    """Whether libjpeg will hold the coefficients of the full picture, whatever the scale.

    It does so for several scans, be they progressive or one for each colour.
    """
    layers = getattr(image, "layers", 0)
    if image.info.get("progressive") or image.fp is None:
        return True
    # Pillow has stopped behind the header of the first scan (ITU-T T.81, B.2.3).
    length = 6 + 2 * layers
    image.fp.seek(max(0, image.fp.tell() - length))
    return image.fp.read(3) != bytes([0, length, layers])


def orientation_of(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; 1 where there is none that can be read."""
    info = image.info
    if not any(key in info for key in _EXIF_KEYS):
        return 1  # a TIFF has been turned by Pillow while loading
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:
        # Pillow's EXIF reader raises many things on damaged metadata; the picture is whole.
        return 1
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 1


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    from PIL.Image import Transpose

    # EXIF 2.32, table 6; Pillow's rotations are counter-clockwise.
    turn = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }[orientation]
    return image.transpose(turn)


def _from_array(pixels: npt.NDArray[Any], name: object) -> npt.NDArray[np.uint8]:
    channels = pixels.shape[2:]
    if pixels.dtype != np.uint8 or pixels.ndim < 2 or channels not in ((), (3,), (4,)):
        raise InvalidDataError(
            name,
            f"not uint8 of shape (H, W), (H, W, 3) or (H, W, 4) but {pixels.dtype} {pixels.shape}",
        )
    if pixels.size == 0:
        raise InvalidDataError(name, "no pixels")
    if channels == ():
        return np.repeat(pixels[:, :, None], 3, axis=2)
    if channels == (4,):
        from PIL import Image

        return np.asarray(to_rgb(Image.fromarray(np.ascontiguousarray(pixels)), name))
    return np.ascontiguousarray(pixels)
