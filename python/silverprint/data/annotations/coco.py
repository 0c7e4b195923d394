"""COCO's JSON: lists of images, annotations and categories that refer to each other by id.

``bbox`` is left, top, width and height in pixels. Crowd regions (``iscrowd``) are dropped.
Segmentations are read past. Categories of one name are one label.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Any

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.folder import Folder
from silverprint.data.annotations.json_reader import JsonReader
from silverprint.data.annotations.listing import Listing
from silverprint.data.reading import display_name
from silverprint.errors import InvalidDataError

TYPE = BoundingBox("pixel", "top_left", "top_left")
_LISTS = ("images", "annotations", "categories")


def read(path: Path, folder: Folder) -> Listing:
    """The annotations in `path`, of pictures in `folder`.

    Raises:
        InvalidDataError: the file cannot serve; the reason names the entry.
    """
    listing = Listing(display_name(path), "COCO", TYPE, fixed=True)
    reader = JsonReader(path)
    images: dict[object, int] = {}
    categories: dict[object, int] = {}
    image_ids: list[object] = []
    category_ids: list[object] = []
    seen = set()
    for key in reader.members():
        if key not in _LISTS:
            reader.value()
            continue
        if key in seen or reader.peek() != "[":
            what = "stands there twice" if key in seen else "is no list"
            raise InvalidDataError(listing.name, f"{key!r} {what}; give one list of them")
        seen.add(key)
        if key == "images":
            _images(listing, reader, folder, images)
        elif key == "categories":
            _categories(listing, reader, categories)
        else:
            _annotations(listing, reader, image_ids, category_ids)
    reader.end()
    for key in _LISTS:
        if key not in seen:
            raise InvalidDataError(
                listing.name, f"no list of {key!r}; give an object-detection file of COCO"
            )
    listing.owners = _referred(listing, "image_id", image_ids, "images", images)
    listing.numbers = _referred(listing, "category_id", category_ids, "categories", categories)
    listing.indices = array("i", range(len(image_ids)))
    return listing


def _images(
    listing: Listing, reader: JsonReader, folder: Folder, images: dict[object, int]
) -> None:
    for number, image in enumerate(reader.elements()):
        place = f"images[{number}]"
        identity = _identity(listing, place, image, images)
        name = image.get("file_name")
        if not isinstance(name, str) or not name.strip() or "\0" in name:
            raise listing.refusal(place, f"'file_name' is {name!r}, no file name")
        size = _side(listing, place, image, "width"), _side(listing, place, image, "height")
        images[identity] = listing.add_picture(
            name, folder.named(name), place, size if all(size) else (0, 0)
        )


def _categories(listing: Listing, reader: JsonReader, categories: dict[object, int]) -> None:
    for number, category in enumerate(reader.elements()):
        place = f"categories[{number}]"
        identity = _identity(listing, place, category, categories)
        categories[identity] = listing.number_of(category.get("name"), place)


def _annotations(
    listing: Listing, reader: JsonReader, image_ids: list[object], category_ids: list[object]
) -> None:
    extend = listing.values.extend
    for number, annotation in enumerate(reader.elements()):
        try:
            x, y, width, height = annotation["bbox"]
            extend((x, y, width, height))
            image_ids.append(annotation["image_id"])
            category_ids.append(annotation["category_id"])
            if annotation.get("iscrowd"):
                listing.crowds.append(number)
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
            raise _refused(listing, f"annotations[{number}]", annotation) from error


def _refused(listing: Listing, place: str, annotation: object) -> InvalidDataError:
    if not isinstance(annotation, dict):
        return listing.refusal(place, "no object")
    for key in ("bbox", "image_id", "category_id"):
        if key not in annotation:
            return listing.refusal(place, f"no {key!r}; give an object-detection file of COCO")
    return listing.refusal(
        place, f"'bbox' is {annotation['bbox']!r}; give [left, top, width, height] in pixels"
    )


def _identity(listing: Listing, place: str, entry: Any, known: dict[object, int]) -> object:
    if not isinstance(entry, dict) or not isinstance(entry.get("id"), (int, str)):
        raise listing.refusal(place, "no object with an 'id'; give each one of its own")
    if entry["id"] in known:
        raise listing.refusal(place, f"another one has the id {entry['id']!r} too; renumber them")
    identity: object = entry["id"]
    return identity


def _side(listing: Listing, place: str, image: dict[str, Any], key: str) -> int:
    """Width or height; 0 if it is not stated."""
    side = image.get(key) or 0
    if isinstance(side, (int, float)) and 0 <= side < 2**31 and side == int(side):
        return int(side)
    raise listing.refusal(place, f"{key!r} is {side!r}; give whole pixels, or leave it out")


def _referred(
    listing: Listing, key: str, ids: list[object], of: str, known: dict[object, int]
) -> array[int]:
    """The numbers behind `ids`."""
    try:
        return array("i", [known[identity] for identity in ids])
    except (KeyError, TypeError):
        for number, identity in enumerate(ids):
            if not isinstance(identity, (int, float, str)) or identity not in known:
                raise listing.refusal(
                    f"annotations[{number}]",
                    f"{key!r} is {identity!r}, the id of none of the {len(known)} {of}; "
                    "correct it or remove the annotation",
                ) from None
        raise
