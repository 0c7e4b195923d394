"""The size of a picture, from its header."""

from __future__ import annotations

import os

from silverprint.data.decode import orientation_of
from silverprint.data.formats import open_picture
from silverprint.data.reading import display_name, read_picture
from silverprint.errors import InvalidDataError

_LATE_IN_PNG = (b"eXIf", b"XML:com.adobe.xmp", b"Raw profile type exif")


def picture_size(
    picture: str | os.PathLike[str] | bytes, *, name: object = None
) -> tuple[int, int]:
    """Width and height of a picture file once it is turned upright by its EXIF orientation.

    Pixels are not decoded, but for a PNG with EXIF, which may stand behind them.

    Args:
        picture: a path, or the bytes of a file.
        name: what errors call the picture, where bytes are given.

    Raises:
        InvalidDataError: it cannot be read.
    """
    if isinstance(picture, bytes):
        name, data = "<bytes>" if name is None else name, picture
    else:
        name, data = display_name(picture), read_picture(picture)
    try:
        image = open_picture(data, name)
        if image.format == "PNG" and any(key in data for key in _LATE_IN_PNG):
            image.load()
        width, height = image.size
        # Pillow states the size of a TIFF upright already.
        turned = image.format != "TIFF" and orientation_of(image) >= 5
    except InvalidDataError:
        raise
    except Exception as error:
        # Damaged files make the many codecs raise whatever they like, struct.error included.
        raise InvalidDataError(name, "damaged") from error
    if width < 1 or height < 1:
        raise InvalidDataError(name, "no pixels")
    return (height, width) if turned else (width, height)
