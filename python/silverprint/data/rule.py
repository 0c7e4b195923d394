"""The picture rule: the one record that says how a picture becomes the tensor `image`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from silverprint.errors import InvalidParameterError, nearest

CROP_AND_SCALE = ("center_crop", "scale_fill", "scale_fit")
LARGEST_SIDE = 16384
_VERSIONS = (1,)


@dataclass(frozen=True)
class PictureRule:
    """How a picture becomes `height` x `width` RGB pixels.

    The same record serves training, evaluation, prediction and export, and stands in every
    model. Version 1 means, in this order:

    1. The first frame or page is decoded to 8-bit RGB. A JPEG may be decoded at 1/2, 1/4 or
       1/8 of its size (libjpeg's scaled inverse DCT), never below `needed_size`.
    2. Samples of more than 8 bits: 16-bit grey is divided by 257 and rounded.
    3. An embedded ICC profile is followed to sRGB (perceptual intent); a picture without a
       usable one is taken as sRGB.
    4. Transparency is composited over black, in sRGB.
    5. The EXIF orientation (or, without EXIF, that of XMP) is applied.
    6. Antialiased bilinear resampling (triangle filter whose support grows with the
       reduction, as Pillow's ``BILINEAR``) according to `crop_and_scale`:

       - ``"center_crop"``: scaled until the shorter side covers, the middle kept;
       - ``"scale_fit"``: the whole picture, centred, with black bars;
       - ``"scale_fill"``: stretched to the size, its aspect ratio not kept.

    Immutable: threads may share it.

    Raises:
        InvalidParameterError: a field has a value that is not allowed.
    """

    height: int
    width: int
    crop_and_scale: str = "center_crop"
    version: int = 1

    def __post_init__(self) -> None:
        for name in ("height", "width"):
            side = getattr(self, name)
            if type(side) is not int or not 1 <= side <= LARGEST_SIDE:
                raise InvalidParameterError(
                    name, side, f"a whole number of pixels from 1 to {LARGEST_SIDE}"
                )
        if self.crop_and_scale not in CROP_AND_SCALE:
            raise InvalidParameterError(
                "crop_and_scale",
                self.crop_and_scale,
                f"one of {', '.join(CROP_AND_SCALE)}{nearest(self.crop_and_scale, CROP_AND_SCALE)}",
            )
        if type(self.version) is not int or self.version not in _VERSIONS:
            raise InvalidParameterError(
                "version", self.version, "1; a newer silverprint may know other versions"
            )

    def needed_size(self, width: int, height: int) -> tuple[int, int]:
        """Smallest (width, height) to decode an upright `width` x `height` picture at.

        From that size on, the resampling reduces wherever it would have reduced the full
        picture. Never more than the picture itself.
        """
        scale_to_width = self.width * height >= self.height * width
        if self.crop_and_scale == "scale_fit":
            scale_to_width = not scale_to_width
        if self.crop_and_scale == "scale_fill":
            needed = (self.width, self.height)
        elif scale_to_width:
            needed = (self.width, -(-height * self.width // width))
        else:
            needed = (-(-width * self.height // height), self.height)
        return min(needed[0], width), min(needed[1], height)

    def to_json(self) -> dict[str, Any]:
        """The fields as a dictionary of JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> PictureRule:
        """The rule that `to_json` wrote.

        Raises:
            InvalidParameterError: a field is missing, unknown or not allowed.
        """
        known = tuple(cls.__dataclass_fields__)
        if not isinstance(record, Mapping):
            raise InvalidParameterError("picture_rule", record, f"an object with {known}")
        for name in record:
            if name not in known:
                raise InvalidParameterError(
                    "picture_rule", name, f"only {', '.join(known)}{nearest(name, known)}"
                )
        for name in known:
            # A record without its version cannot be read safely, so no field has a default here.
            if name not in record:
                raise InvalidParameterError("picture_rule", dict(record), f"a field {name!r}")
        return cls(**record)
