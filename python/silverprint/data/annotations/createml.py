"""Create ML's JSON: a list of pictures, each with its boxes.

``[{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 9, "y": 9, "width": 4,
"height": 4}}]}]``, or with the keys ``imagefilename`` and ``annotation``. No boxes: an empty list,
null, or no such key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.folder import Folder
from silverprint.data.annotations.json_reader import JsonReader
from silverprint.data.annotations.listing import Listing, why_no_numbers
from silverprint.data.reading import display_name
from silverprint.errors import InvalidDataError, nearest

IMAGE_KEYS = ("image", "imagefilename")
ANNOTATION_KEYS = ("annotations", "annotation")


def read(path: Path, folder: Folder, annotation_type: BoundingBox | None) -> Listing:
    """The annotations in `path`, of pictures in `folder`.

    Raises:
        InvalidDataError: the file cannot serve; the reason names the entry.
    """
    listing = Listing(
        display_name(path), "Create ML", annotation_type or BoundingBox(), fixed=False
    )
    reader = JsonReader(path)
    add_entries(listing, reader.elements(), lambda name: (folder.named(name), None))
    reader.end()
    return listing


def add_entries(
    listing: Listing,
    entries: Iterable[Any],
    find: Callable[[str], tuple[list[str], str | None]],
) -> None:
    """Add pictures and boxes in Create ML's form; `find` gives paths and key of a name."""
    for number, entry in enumerate(entries):
        place = f"entry [{number}]"
        if not isinstance(entry, dict):
            raise listing.refusal(
                place, f'{_short(entry)}, no object; write {{"image": ..., "annotations": [...]}}'
            )
        name = _image(listing, place, entry)
        paths, key = find(name)
        owner = listing.add_picture(name, paths, place, key=key)
        add_boxes(listing, owner, _boxes(listing, place, entry), f"{place}, {name!r}")


def add_boxes(listing: Listing, owner: int, boxes: object, place: str) -> None:
    """Add the boxes of a picture: a list of ``{"label": ..., "coordinates": {...}}``.

    x, y, width and height may also stand beside the label.
    """
    if not isinstance(boxes, (list, tuple)):
        raise listing.refusal(place, f"{_short(boxes)} where a list of boxes is expected")
    extend, known = listing.values.extend, listing.number_of
    for index, box in enumerate(boxes):
        try:
            at = box.get("coordinates", box)
            extend((at["x"], at["y"], at["width"], at["height"]))
            label = box["label"]
        except (AttributeError, KeyError, TypeError, OverflowError, IndexError) as error:
            raise _refused_box(listing, box, f"{place}, box [{index}]") from error
        listing.numbers.append(known(label, place))
        listing.owners.append(owner)
        listing.indices.append(index)


def _image(listing: Listing, place: str, entry: dict[Any, Any]) -> str:
    for key in IMAGE_KEYS:
        if key in entry:
            if isinstance(entry[key], str) and entry[key].strip() and "\0" not in entry[key]:
                name: str = entry[key]
                return name
            raise listing.refusal(place, f"{key!r} is {_short(entry[key])}, no file name")
    raise listing.refusal(
        place, f"neither 'image' nor 'imagefilename'{_near(IMAGE_KEYS[0], entry)}"
    )


def _boxes(listing: Listing, place: str, entry: dict[Any, Any]) -> object:
    for key in ANNOTATION_KEYS:
        if key in entry:
            return [] if entry[key] is None else entry[key]
    hint = _near(ANNOTATION_KEYS[0], entry)
    if hint:
        raise listing.refusal(place, f"neither 'annotations' nor 'annotation'{hint}")
    return []


def _refused_box(listing: Listing, box: object, place: str) -> InvalidDataError:
    if not isinstance(box, dict):
        return listing.refusal(place, f"{_short(box)}, no object with a label and coordinates")
    at = box.get("coordinates", box)
    complete = isinstance(at, dict) and {"x", "y", "width", "height"} <= at.keys()
    if complete and "label" not in box:
        return listing.refusal(place, f"no 'label'{_near('label', box)}; give the box one")
    if "coordinates" not in box and not {"x", "y"} & box.keys():
        return listing.refusal(place, f"no 'coordinates'{_near('coordinates', box)}")
    return listing.refusal(place, f"{why_no_numbers(at)}; correct or remove the box")


def _near(key: str, entry: dict[Any, Any]) -> str:
    return nearest(key, [str(name) for name in entry])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
