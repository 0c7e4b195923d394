"""JSON read piece by piece, so that a file of half a gigabyte needs little more than its text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from silverprint.data.manifest import utf8_text
from silverprint.data.reading import display_name, read_picture
from silverprint.errors import InvalidDataError

_SPACE = re.compile(r"[ \t\n\r]*")
_COMMA = re.compile(r"[ \t\n\r]*,[ \t\n\r]*")


class JsonReader:
    """A place in a text of JSON, that moves on as values are taken.

    NaN and Infinity, which are no JSON but written by Python, are read as such.
    """

    def __init__(self, path: Path) -> None:
        """Read a file in UTF-8.

        Raises:
            InvalidDataError: it cannot be read, or is not UTF-8.
        """
        self.name = display_name(path)
        self._source = utf8_text(read_picture(path), self.name)
        self._decode = json.JSONDecoder().raw_decode
        self._at = 0
        self.peek()

    def peek(self) -> str:
        """The next character that is no white space, "" at the end."""
        found = _SPACE.match(self._source, self._at)
        assert found is not None
        self._at = found.end()
        return self._source[self._at : self._at + 1]

    def value(self) -> Any:
        """The value that stands here; no white space may stand before it.

        Raises:
            InvalidDataError: there is none, or it is broken.
        """
        try:
            value, self._at = self._decode(self._source, self._at)
        except json.JSONDecodeError as error:
            raise self._broken(error.msg, error.pos) from error
        except RecursionError as error:
            raise self._broken("nested too deeply", self._at) from error
        except ValueError as error:  # a whole number with thousands of digits
            raise self._broken(str(error), self._at) from error
        return value

    def elements(self) -> Iterator[Any]:
        """The values of the array that stands here; it has to be gone through to the end."""
        self._expect("[")
        if self._closed("]"):
            return
        while True:  # a million times, so with one call where three would be plainer
            yield self.value()
            comma = _COMMA.match(self._source, self._at)
            if comma is not None:
                self._at = comma.end()
            elif self._closed("]"):
                return
            else:
                self._expect(",")

    def members(self) -> Iterator[str]:
        """The keys of the object that stands here; each value is taken before the next key is."""
        self._expect("{")
        if self._closed("}"):
            return
        while True:
            if self.peek() != '"':
                raise self._broken("a key in double quotes expected", self._at)
            key = self.value()
            self._expect(":")
            self.peek()
            yield key
            if self._closed("}"):
                return
            self._expect(",")

    def end(self) -> None:
        """Check that nothing follows."""
        if self.peek():
            raise self._broken("the end of the file expected", self._at)

    def _expect(self, sign: str) -> None:
        if self.peek() != sign:
            raise self._broken(f"{sign!r} expected", self._at)
        self._at += 1

    def _closed(self, sign: str) -> bool:
        if self.peek() != sign:
            return False
        self._at += 1
        return True

    def _broken(self, reason: str, at: int) -> InvalidDataError:
        line = self._source.count("\n", 0, at) + 1
        column = at - self._source.rfind("\n", 0, at)
        return InvalidDataError(
            self.name,
            f"line {line}, column {column}: not JSON ({reason}); correct it, or write the file "
            "again with the tool that it comes from",
        )
