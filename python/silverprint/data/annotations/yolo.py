"""YOLO's text files: a file for each picture, a line for each box.

``0 0.5 0.5 0.2 0.1`` is a label's number, centre x and y, width and height as fractions of the
picture. The names of the labels stand in ``data.yaml``, ``classes.txt`` or ``obj.names``
(`class_names`). A picture without a file, or with an empty one, has no objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.class_names import find_names, read_names
from silverprint.data.annotations.folder import Folder
from silverprint.data.annotations.listing import Listing
from silverprint.data.manifest import utf8_text
from silverprint.data.reading import display_name, printable, read_picture
from silverprint.errors import InvalidDataError

TYPE = BoundingBox("normalized", "top_left", "center")


def read(files: Sequence[Path], name: object, folder: Folder, names: Path | None) -> Listing:
    """The annotations in `files`, of pictures in `folder`.

    Args:
        files: of the labels.
        name: what errors call the data.
        folder: the pictures.
        names: the file that names the labels; None: looked for beside the files and above.

    Raises:
        InvalidDataError: a file cannot serve; the reason names the line.
    """
    found = find_names(files, folder) if names is None else names
    by_number = read_names(found)
    listing = Listing(name, "YOLO", TYPE, fixed=True)
    listed = set()
    for path in files:
        pictures = folder.beside(str(path))
        owner = listing.add_picture(path.stem, pictures, printable(path.name))
        listed.update(pictures)
        _add_lines(listing, owner, path, by_number, found)
    for place, picture in folder.pictures.items():
        if picture not in listed:
            listing.add_picture(place, [picture], place)
    return listing


def is_label_file(path: Path) -> bool:
    """Whether the first line that is not blank has five numbers; an empty file might do, too."""
    lines = read_picture(path)[:4096].split(b"\n")
    first = next((line for line in lines if line.strip()), b"")
    try:
        return len([float(word) for word in first.split()]) == 5
    except ValueError:
        return False


def _add_lines(
    listing: Listing, owner: int, path: Path, names: dict[int, str], names_file: Path
) -> None:
    file = display_name(path)
    for index, line in enumerate(utf8_text(read_picture(path), file).splitlines()):
        words = line.split()
        if not words:
            continue
        try:
            number = int(words[0])
            x, y, width, height = map(float, words[1:])
        except ValueError:
            raise InvalidDataError(
                file,
                f"line {index + 1}: {line[:60]!r}; give the number of a label, x, y, width and "
                "height, of a box, no polygon",
            ) from None
        if number not in names:
            raise InvalidDataError(
                file,
                f"line {index + 1}: label {number} has no name in {display_name(names_file)}, "
                f"which names {len(names)}; add it there",
            )
        place = f"{printable(names_file.name)}, label {number}"
        listing.add_box(
            owner, listing.number_of(names[number], place), index, (x, y, width, height)
        )
