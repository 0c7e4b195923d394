"""Which kinds of picture file are known, and opening one of them by its first bytes.

Known are JPEG (of an MPO its first picture), PNG, WebP, BMP, GIF and TIFF, AVIF where Pillow was
built with it, and HEIC/HEIF where `pi_heif` is installed (``silverprint[heif]``). The name of a
file plays no part. Nothing here starts another program, as Pillow does for EPS.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from io import BytesIO
from typing import TYPE_CHECKING

from silverprint.data.heif import has_readable_items
from silverprint.errors import InvalidDataError

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

EXTENSIONS = frozenset(
    f".{extension}"
    for extension in (
        *("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "apng", "webp", "bmp", "dib", "gif"),
        *("tif", "tiff", "avif", "avifs", "heic", "heics", "heif", "heifs", "hif"),
    )
)
"""Lower-case extensions by which a folder scan takes a file for a picture."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
)
_READERS = {
    "JPEG": ("PIL.JpegImagePlugin", "JpegImageFile"),
    "PNG": ("PIL.PngImagePlugin", "PngImageFile"),
    "GIF": ("PIL.GifImagePlugin", "GifImageFile"),
    "BMP": ("PIL.BmpImagePlugin", "BmpImageFile"),
    "TIFF": ("PIL.TiffImagePlugin", "TiffImageFile"),
    "WebP": ("PIL.WebPImagePlugin", "WebPImageFile"),
    "AVIF": ("PIL.AvifImagePlugin", "AvifImageFile"),
    "HEIC": ("pi_heif", "HeifImageFile"),
}
_AVIF_BRANDS = {b"avif", b"avis"}
_HEIF_BRANDS = {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs"}
_HEIF_BRANDS |= {b"mif1", b"msf1", b"mif2"}

# What Pillow says of odd metadata is no concern of somebody who trains on a thousand pictures.
# catch_warnings is not safe in threads, so one narrow filter is put in place instead, again
# whenever somebody has reset the filters.
_QUIET_MODULES = r"PIL\.(Image|PngImagePlugin|TiffImagePlugin)$"
_QUIET = ("ignore", None, UserWarning, re.compile(_QUIET_MODULES), 0)


def open_picture(data: bytes, name: object) -> ImageFile:
    """The picture in `data`, its header read and its pixels not yet.

    Pillow's own classes are called without ``Image.open``, whose pixel limit is one for the whole
    process, gives warnings, and would refuse large JPEGs before their scaled decode.

    Raises:
        InvalidDataError: `data` is empty, of no known kind, or of one whose library is missing.
    """
    if not data:
        raise InvalidDataError(name, "empty file")
    kind = _kind(data)
    if kind is None:
        raise InvalidDataError(name, "not a picture")
    opener = _opener(kind)
    if opener is None and kind == "HEIC":
        raise InvalidDataError(name, "HEIC needs silverprint[heif]")
    if opener is None:
        raise InvalidDataError(name, f"{kind} needs a Pillow built with it")
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", category=UserWarning, module=_QUIET_MODULES)
    if kind == "HEIC" and not has_readable_items(data):
        raise InvalidDataError(name, "damaged")
    return opener(BytesIO(data))


def is_cut_short(data: bytes) -> bool:
    """Whether a PNG lacks its end or a WebP is shorter than it says; of others nothing is known."""
    if data[:4] == b"RIFF":
        return len(data) < 8 + int.from_bytes(data[4:8], "little")
    return data[:4] == b"\x89PNG" and b"IEND" not in data[-64:]


def _kind(data: bytes) -> str | None:
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[4:8] != b"ftyp":
        return None
    # ISO/IEC 14496-12, 4.3: size, "ftyp", major brand, minor version, compatible brands.
    end = min(int.from_bytes(data[:4], "big"), 256)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIF_BRANDS else None


@cache
def _opener(kind: str) -> Callable[[BytesIO], ImageFile] | None:
    """The class that opens this kind, or None where its library is missing."""
    module_name, class_name = _READERS[kind]
    try:
        module = import_module(module_name)
    except ImportError:
        return None
    if not getattr(module, "SUPPORTED", True):  # Pillow was built without this codec
        return None
    opener: Callable[[BytesIO], ImageFile] = getattr(module, class_name)
    return opener
