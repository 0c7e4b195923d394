"""Names of labels by number, as YOLO data sets list them.

``classes.txt`` and ``obj.names`` hold a name in each line. Of ``data.yaml`` only ``names:`` is
read, in the four spellings that are in use::

    names: [cat, 'dog']        names: {0: cat, 1: "dog"}
    names:                     names:
      - cat                      0: cat
      - 'dog'                    1: "dog"
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from silverprint.data.annotations.folder import Folder
from silverprint.data.manifest import utf8_text
from silverprint.data.reading import display_name, read_picture
from silverprint.data.scan import entries
from silverprint.errors import InvalidDataError

YAML = (".yaml", ".yml")
_LISTS = ("classes.txt", "obj.names")
_KEY = re.compile(r"names[ \t]*:(?=\s|$)")
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<sign>[\[\]{},:])
      | '(?P<single>(?:[^']|'')*)'
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | (?P<plain>[^\s\[\]{},:'"\#&*!|>%@`](?:[^,:\[\]{}\n\#]|:(?!\s)|(?<!\s)\#)*)
    )""",
    re.VERBOSE,
)
_END = re.compile(r"\s*\Z")
_EXAMPLE = "write them as names: [cat, dog]"


def find_names(files: Sequence[Path], folder: Folder) -> Path:
    """The file that names the labels: in the folder of `files`, or the next one above with any.

    The folder of the pictures is the last that is looked into; where the files lie outside of it,
    the one above theirs.

    Raises:
        InvalidDataError: there is none, or two in one folder.
    """
    for at in _places(files, folder):
        found = [path for path in (Path(e.path) for e in entries(at)) if is_names_file(path)]
        if len(found) > 1:
            raise InvalidDataError(
                display_name(at),
                f"the labels are named in {found[0].name} and in {found[1].name}; choose one with "
                f"annotation_file={str(found[0])!r}",
            )
        if found:
            return found[0]
    raise InvalidDataError(
        display_name(folder.root),
        "YOLO's labels are numbers, and nothing names them; add a data.yaml with names:, or a "
        "classes.txt with a name in each line",
    )


def is_names_file(path: Path) -> bool:
    """Whether `path` is called like a file of names, or is YAML with the key ``names``."""
    if not os.path.isfile(path):
        return False
    if path.suffix.lower() in YAML:
        return any(map(_KEY.match, utf8_text(read_picture(path), display_name(path)).splitlines()))
    return path.name.lower() in _LISTS or path.suffix.lower() == ".names"


def read_names(path: Path) -> dict[int, str]:
    """The name of each number.

    Raises:
        InvalidDataError: `path` holds none that can be read.
    """
    name = display_name(path)
    text = utf8_text(read_picture(path), name)
    if path.suffix.lower() in YAML:
        found = _of_yaml(text, name)
    else:
        found = dict(enumerate(line.strip() for line in text.strip().splitlines()))
    for number, label in found.items():
        if not label:
            raise InvalidDataError(name, f"label {number} has a blank name; give it one")
    if not found:
        raise InvalidDataError(name, f"names no label; {_EXAMPLE}")
    return found


def _places(files: Sequence[Path], folder: Folder) -> list[Path]:
    first = files[0].parent
    above = [first, *first.parents]
    return above[: above.index(folder.root) + 1] if folder.root in above else above[:2]


def _of_yaml(text: str, name: object) -> dict[int, str]:
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if _KEY.match(line)]
    if len(starts) != 1:
        what = "no line begins with names:" if not starts else "names: stands there twice"
        raise InvalidDataError(name, f"{what}; {_EXAMPLE}")
    rest = _KEY.sub("", lines[starts[0]], count=1)
    below = lines[starts[0] + 1 :]
    try:
        if rest.lstrip()[:1] in ("[", "{"):
            return _flow("\n".join([rest, *below]))
        return _block([rest, *below])
    except ValueError as error:
        raise InvalidDataError(
            name, f"line {starts[0] + 1}: names: cannot be read ({error}); {_EXAMPLE}"
        ) from error


def _flow(text: str) -> dict[int, str]:
    """``[a, b]`` or ``{0: a, 1: b}``."""
    tokens = _tokens(text)
    closing = {"[": "]", "{": "}"}[next(tokens)[1]]
    found: dict[int, str] = {}
    while True:
        quoted, word = next(tokens, (False, ""))
        if not quoted and word == closing:
            return found
        number = len(found)
        if closing == "}":
            number = _number(word, found)
            if next(tokens, None) != (False, ":"):
                raise ValueError(f"no ':' after {number}")
            quoted, word = next(tokens, (False, ""))
        if not quoted and (word in ("", "[", "]", "{", "}", ",", ":")):
            raise ValueError(f"a name expected, not {word or 'the end'!r}")
        found[number] = word
        after = next(tokens, None)
        if after == (False, closing):
            return found
        if after != (False, ","):
            raise ValueError(f"',' or {closing!r} expected after {word!r}")


def _block(lines: Sequence[str]) -> dict[int, str]:
    """``- a`` in each line, or ``0: a``."""
    found: dict[int, str] = {}
    for position, line in enumerate(lines):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if position == 0:
            raise ValueError(f"{stripped[:40]!r} is neither a list nor numbers with names")
        if stripped.startswith("- "):
            number, value = len(found), stripped[2:]
        elif line[:1] in (" ", "\t"):
            before, colon, value = stripped.partition(":")
            if not colon:
                raise ValueError(f"{stripped[:40]!r} has no ':'")
            number = _number(before, found)
        else:
            break
        words = [word for _, word in _tokens(value)]
        if len(words) != 1:
            raise ValueError(f"{stripped[:40]!r} is not one name; put it into quotes")
        found[number] = words[0]
    return found


def _number(word: str, found: dict[int, str]) -> int:
    text = word.strip().strip("'\"")
    if not text.isdecimal() or int(text) in found:
        raise ValueError(f"{text[:40]!r} where the number of another label is expected")
    return int(text)


def _tokens(text: str) -> Iterator[tuple[bool, str]]:
    """Whether it was in quotes, and each sign, word or quoted text; comments are left out."""
    text = re.sub(r"(?m)(^|\s)#[^'\"\n]*$", "", text)
    at = 0
    while not _END.match(text, at):
        match = _TOKEN.match(text, at)
        if match is None:
            raise ValueError(f"{text[at : at + 30].strip()[:20]!r} is not understood")
        at = match.end()
        if match["single"] is not None:
            yield True, match["single"].replace("''", "'")
        elif match["double"] is not None:
            yield True, re.sub(r"\\(.)", r"\1", match["double"])
        else:
            yield False, (match["sign"] or match["plain"]).strip()
