"""Pascal VOC's XML: a file for each picture.

``bndbox`` holds xmin, ymin, xmax and ymax in pixels, taken as edges from the top left, as labelling
tools write them: nothing is added or subtracted for the first format's counting from 1. Objects
marked difficult or truncated are objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from xml.parsers import expat

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.folder import Folder
from silverprint.data.annotations.listing import Listing
from silverprint.data.reading import display_name, printable, read_picture
from silverprint.errors import InvalidDataError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

TYPE = BoundingBox("pixel", "top_left", "top_left")
_EDGES = ("xmin", "ymin", "xmax", "ymax")


def read(files: Sequence[Path], name: object, folder: Folder) -> Listing:
    """The annotations in `files`, of pictures in `folder`.

    A file belongs to the picture that its ``filename`` names, else to that with its own stem.

    Raises:
        InvalidDataError: a file cannot serve; the reason names the object.
    """
    listing = Listing(name, "Pascal VOC", TYPE, fixed=True)
    for path in files:
        root = parse(path)
        if root.tag != "annotation":
            continue
        file, place = display_name(path), printable(path.name)
        image = (root.findtext("filename") or "").strip()
        pictures = folder.named(image) if image else []
        if len(pictures) != 1:
            pictures = folder.beside(str(path)) or pictures
        owner = listing.add_picture(image or path.stem, pictures, place, _size(file, root))
        for index, thing in enumerate(root.iterfind("object")):
            left, top, right, bottom = _edges(file, index, thing)
            number = listing.number_of(thing.findtext("name"), f"{place}, object [{index}]")
            listing.add_box(owner, number, index, (left, top, right - left, bottom - top))
    if not listing.pictures:
        raise InvalidDataError(name, "none of its XML files holds <annotation>; give Pascal VOC's")
    return listing


def parse(path: Path) -> Element:
    """The root of an XML file. One with a document type, and so with entities, is refused.

    Raises:
        InvalidDataError: it is no XML, or has a document type.
    """
    from xml.etree.ElementTree import TreeBuilder

    name = display_name(path)

    def refuse(*_: object) -> None:
        raise InvalidDataError(
            name, "it declares a document type, which annotations need not; take <!DOCTYPE> out"
        )

    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = refuse
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(read_picture(path), True)
        return builder.close()
    except InvalidDataError:
        raise
    except expat.ExpatError as error:
        raise InvalidDataError(
            name,
            f"line {error.lineno}, column {error.offset + 1}: not XML "
            f"({expat.ErrorString(error.code)}); correct it, or write it again",
        ) from error
    except (ValueError, LookupError) as error:  # an encoding that is not known or not of bytes
        raise InvalidDataError(name, f"not XML ({error}); save it as UTF-8") from error


def _size(file: object, root: Element) -> tuple[int, int]:
    """Width and height; (0, 0) where they are not stated."""
    sides = []
    for key in ("width", "height"):
        text = (root.findtext(f"size/{key}") or "0").strip()
        try:
            side = float(text or 0)
            whole = int(side)
        except (ValueError, OverflowError):
            whole, side = -1, 0
        if whole != side or not 0 <= whole < 2**31:
            raise InvalidDataError(file, f"<{key}> is {text!r}; give whole pixels, or 0")
        sides.append(whole)
    return (sides[0], sides[1]) if all(sides) else (0, 0)


def _edges(file: object, index: int, thing: Element) -> list[float]:
    found = []
    for key in _EDGES:
        text = (thing.findtext(f"bndbox/{key}") or "").strip()
        try:
            found.append(float(text))
        except ValueError:
            what = f"is {text!r}" if text else "is missing"
            raise InvalidDataError(
                file, f"object [{index}]: <{key}> of its <bndbox> {what}; give a number"
            ) from None
    return found
