"""Which files below a folder are pictures, and which folders are labels.

The rules, for every kind of source that looks into a folder:

- A picture is known by its extension, upper or lower case (`formats.EXTENSIONS`). Files with
  another or no extension are sidecars (annotations, notes) and ignored.
- Names that start with a dot are hidden, and so are ``__MACOSX`` and ``@eaDir`` (copies and
  thumbnails made by archivers and disk stations): they and all below are ignored.
- Links to files are followed. Links to folders are not, so a scan always ends.
- Whether a picture can be read is found out when it is read.
"""

from __future__ import annotations

import logging
import os
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from silverprint.data.formats import EXTENSIONS
from silverprint.data.reading import display_name, printable
from silverprint.errors import InvalidDataError

LABEL_FOLDERS = "a folder that holds one sub-folder of pictures for each label"
_HIDDEN = {"__MACOSX", "@eaDir"}
_TRAIN = ("train", "training")
_HELD_OUT = ("val", "valid", "validation", "test", "testing")
_log = logging.getLogger("silverprint")


def label_of(name: str) -> str:
    r"""The label that a folder or file name stands for.

    Unicode normal form C, so that the same text typed on two systems is one label. Bytes that are
    not UTF-8 become ``\xe9`` and the like, so that every label can be printed and stored.
    """
    return unicodedata.normalize("NFC", printable(name))


def entries(folder: Path, wanted: str = "a folder of pictures") -> list[os.DirEntry[str]]:
    """What `folder` holds and does not hide, sorted by name.

    Raises:
        InvalidDataError: it is missing, not a folder, or may not be listed.
    """
    try:
        with os.scandir(folder) as found:
            visible = [e for e in found if e.name[0] != "." and e.name not in _HIDDEN]
    except FileNotFoundError as error:
        raise InvalidDataError(display_name(folder), f"no such folder; give {wanted}") from error
    except NotADirectoryError as error:
        raise InvalidDataError(
            display_name(folder), f"a file, not a folder; give {wanted}"
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InvalidDataError(display_name(folder), f"cannot be listed: {reason}") from error
    return sorted(visible, key=lambda e: e.name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder and not a link to one."""
    return entry.is_dir(follow_symlinks=False)


def is_picture(entry: os.DirEntry[str]) -> bool:
    """Whether it is named like a picture and is no folder nor a link to one."""
    return os.path.splitext(entry.name)[1].lower() in EXTENSIONS and not entry.is_dir()


def pictures_below(folder: Path) -> tuple[list[Path], int]:
    """All pictures in `folder` and the folders in it, and the number of other files."""
    pictures: list[Path] = []
    others = 0
    waiting = [folder]
    while waiting:
        for entry in entries(waiting.pop()):
            if is_folder(entry):
                waiting.append(Path(entry.path))
            elif is_picture(entry):
                pictures.append(Path(entry.path))
            elif entry.is_dir():
                _log.warning("%s: a link to a folder, not followed", printable(entry.path))
            else:
                others += 1
    return pictures, others


def scan_label_folders(root: Path) -> dict[str, list[Path]]:
    """The pictures in each folder of `root`, by label; what was left out is logged.

    Raises:
        InvalidDataError: `root` cannot be listed, holds no label folder with pictures, or is a
            data set already divided into train and test folders.
    """
    inside = entries(root, LABEL_FOLDERS)
    folders = [entry for entry in inside if is_folder(entry)]
    loose = sum(is_picture(entry) for entry in inside)
    _refuse_divided(root, folders)
    found: dict[str, list[Path]] = {}
    for entry in inside:
        if not is_folder(entry):
            if entry.is_dir():
                _log.warning("%s: a link to a folder, not followed", printable(entry.path))
            continue
        pictures, others = pictures_below(Path(entry.path))
        label = label_of(entry.name)
        if not pictures:
            _log.warning(
                "%s: left out, for it holds no picture (%d other files)",
                printable(entry.path),
                others,
            )
            continue
        if label in found:
            _log.warning(
                "%s: joined with another folder, whose name is the same text", printable(entry.path)
            )
        found.setdefault(label, []).extend(pictures)
    if not found:
        raise InvalidDataError(display_name(root), _why_nothing(len(inside), len(folders), loose))
    if loose:
        _log.warning("%s: %d pictures outside the label folders left out", printable(root), loose)
    return found


def _why_nothing(inside: int, folders: int, loose: int) -> str:
    if loose:
        return (
            f"holds {loose} pictures but no label folders; put the pictures of each label into a "
            "folder of its name, or use labeled_files if the file names start with the label"
        )
    if folders:
        return (
            f"none of its {folders} folders holds a picture; give {LABEL_FOLDERS} "
            f"({', '.join(sorted(EXTENSIONS))})"
        )
    if inside:
        return f"holds neither label folders nor pictures; give {LABEL_FOLDERS}"
    return f"empty; give {LABEL_FOLDERS}"


def _refuse_divided(root: Path, folders: Iterable[os.DirEntry[str]]) -> None:
    """Refuse a folder whose sub-folders are parts of a data set rather than labels.

    They are if two of them are named like parts (train, val, test and their kin) and have a label
    folder in common, or if one so named is the only folder and holds several.
    """
    folders = list(folders)
    parts = {}
    for entry in folders:
        if entry.name.lower() in _TRAIN + _HELD_OUT:
            parts[entry.name] = {
                label_of(e.name) for e in entries(Path(entry.path)) if is_folder(e)
            }
    shared = [
        (one, other)
        for one in parts
        for other in parts
        if one < other and parts[one] & parts[other]
    ]
    alone = len(parts) == len(folders) == 1 and len(next(iter(parts.values()))) > 1
    if not shared and not alone:
        return
    names = sorted({name for pair in shared for name in pair} or parts, key=_by_part)
    advice = f"pass {printable(root / names[0])} as data"
    if len(names) > 1 and names[0].lower() in _TRAIN:
        advice += f" and {printable(root / names[1])} as validation="
        advice += "".join(f", and keep {name} for evaluation" for name in names[2:])
    if shared:
        reason = f"its folders {', '.join(names)} hold the same labels, so they are no labels"
    else:
        reason = f"its only folder, {names[0]}, holds the label folders"
    raise InvalidDataError(display_name(root), f"{reason}; {advice}")


def _by_part(name: str) -> int:
    return (_TRAIN + _HELD_OUT).index(name.lower())
