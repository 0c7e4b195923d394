"""Which files of a folder are its annotations, known by what they hold."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from silverprint.data.annotations import coco, createml, voc, yolo
from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.class_names import is_names_file
from silverprint.data.annotations.folder import Folder
from silverprint.data.annotations.json_reader import JsonReader
from silverprint.data.annotations.listing import Listing
from silverprint.data.reading import display_name, printable, read_picture
from silverprint.errors import InvalidDataError, InvalidParameterError

Kind: TypeAlias = Literal["Create ML", "COCO", "Pascal VOC", "YOLO"]
_WANTED = (
    "a JSON file of Create ML or COCO, a folder of Pascal VOC's XML files, or YOLO's text files "
    "with a data.yaml"
)


@dataclass(frozen=True)
class Found:
    """Annotations of one format: a file, or a folder of them.

    Attributes:
        kind: the format.
        path: the file or folder.
        files: the file itself, or those in the folder.
        names: the file of YOLO's names, where it was given.
    """

    kind: Kind
    path: Path
    files: tuple[Path, ...]
    names: Path | None = None


def read_listing(folder: Folder, found: Found, annotation_type: BoundingBox | None) -> Listing:
    """What `found` says of the pictures in `folder`.

    Raises:
        InvalidParameterError: `annotation_type` is given for a format that defines its own.
        InvalidDataError: the annotations cannot serve.
    """
    if found.kind == "Create ML":
        return createml.read(found.path, folder, annotation_type)
    if annotation_type is not None:
        raise InvalidParameterError(
            "annotation_type",
            annotation_type,
            f"None, for {printable(found.path)} is in the format of {found.kind}, which defines "
            "what the numbers of a box mean",
        )
    if found.kind == "COCO":
        return coco.read(found.path, folder)
    if found.kind == "Pascal VOC":
        return voc.read(found.files, display_name(found.path), folder)
    return yolo.read(found.files, display_name(found.path), folder, found.names)


def annotations_in(folder: Folder) -> Found:
    """The annotations that lie in `folder` or in those in it.

    Raises:
        InvalidDataError: there are none, or several; the reason names them.
    """
    found = _found(folder, folder.others)
    if len(found) == 1:
        return found[0]
    if found:
        shown = " and ".join(f"{_shown(folder, one.path)} ({one.kind})" for one in found[:5])
        raise InvalidDataError(
            display_name(folder.root),
            f"holds {len(found)} annotation files, {shown}; choose one, such as "
            f"annotation_file={_shown(folder, found[0].path)!r}",
        )
    json = [path.name for path in folder.others if path.suffix.lower() == ".json"]
    other = f"; {json[0]} is JSON, but neither Create ML's nor COCO's" if json else ""
    raise InvalidDataError(
        display_name(folder.root),
        f"holds no annotation file{other}; add {_WANTED}, or say annotation_file= where it is",
    )


def annotations_at(path: Path, folder: Folder) -> Found:
    """The annotations that `path` is or holds.

    A relative path starts at the current folder, or, if nothing is there, at `folder`.

    Raises:
        InvalidDataError: it is missing, or no annotations that are known.
    """
    if not os.path.lexists(path) and os.path.lexists(folder.root / path):
        path = folder.root / path
    if os.path.isdir(path):
        found = _found(folder, _files_below(path))
        if len(found) == 1:
            return found[0]
        what = "more than one kind of annotations" if found else "no annotations"
        raise InvalidDataError(display_name(path), f"holds {what}; give {_WANTED}")
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return Found("Pascal VOC", path, (path,))
    if is_names_file(path):
        files = _label_files(folder, _files_below(path.parent))
        files = files or _label_files(folder, folder.others)
        if not files:
            raise InvalidDataError(
                display_name(path), "names labels, but no text file of YOLO lies beside or below it"
            )
        return Found("YOLO", path, files, path)
    kind = _kind_of_json(path)
    if kind is None:
        raise InvalidDataError(display_name(path), f"{_what_else(path)}; give {_WANTED}")
    return Found(kind, path, (path,))


def _found(folder: Folder, files: Sequence[Path]) -> list[Found]:
    found = []
    for path in files:
        if path.suffix.lower() == ".json" and (kind := _kind_of_json(path)):
            found.append(Found(kind, path, (path,)))
    xml = tuple(path for path in files if path.suffix.lower() == ".xml")
    if any(b"<annotation" in read_picture(path)[:4096] for path in xml):
        found.append(Found("Pascal VOC", _common(xml), xml))
    labels = _label_files(folder, files)
    if labels:
        found.append(Found("YOLO", _common(labels), labels))
    return found


def _kind_of_json(path: Path) -> Kind | None:
    """The format of a JSON file, from its first character and the keys that occur in it."""
    data = read_picture(path)
    first = data.removeprefix(b"\xef\xbb\xbf")[:4096].lstrip()[:1]
    if first == b"{" and b'"images"' in data and b'"annotations"' in data:
        return "COCO"
    if first == b"[" and any(b'"%s"' % key.encode() in data for key in createml.IMAGE_KEYS):
        return "Create ML"
    return None


def _what_else(path: Path) -> str:
    """What a file is that is none of the known formats; broken JSON is told where it breaks."""
    if path.suffix.lower() != ".json":
        return "no annotations that are known"
    reader = JsonReader(path)
    reader.value()
    reader.end()
    return "JSON, but neither Create ML's (a list of pictures) nor COCO's (images, annotations)"


def _label_files(folder: Folder, files: Sequence[Path]) -> tuple[Path, ...]:
    """YOLO's label files: those with lines of five numbers; empty ones only beside such."""
    text = [path for path in files if path.suffix.lower() == ".txt" and not is_names_file(path)]
    of_pictures = {path for path in text if folder.beside(str(path))}
    full = [path for path in text if yolo.is_label_file(path)]
    if not full:
        return ()
    empty = of_pictures.difference(full)
    return tuple(sorted({*full, *empty}))


def _files_below(path: Path) -> list[Path]:
    found: list[Path] = []
    for root, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in files if not name.startswith(".")]
    return sorted(found)


def _common(files: Sequence[Path]) -> Path:
    return Path(os.path.commonpath([path.parent for path in files]))


def _shown(folder: Folder, path: Path) -> str:
    inside = path.relative_to(folder.root).as_posix() if path.is_relative_to(folder.root) else path
    return printable(str(inside))
