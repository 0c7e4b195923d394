"""What a disk holds after a power loss: the log of failing_disk.c, replayed over a folder.

`Model(folder)` is the folder as it is. `apply` does a logged call to it, `lose` takes away what
was not flushed (support/disk.py says how), and `root.write` makes a folder of the rest.
"""

from __future__ import annotations

import os
import random
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

_CHANGING = ("write", "truncate", "fsync", "rename", "unlink", "mkdir", "link")
KINDS = ("open", *_CHANGING, "close", "print", "any")
"""As failing_disk.c numbers them; "any" stands for all but "print"."""

LOSSES = ("nothing", "all", "contents", "names", "some")
"""What is lost of all that was not flushed. "contents" are those of files, with all names kept,
"names" the other way round, "some" is a random choice.
"""

_LOG_START = 4096
_RECORD = struct.Struct("=HHIQQII")
_CREATED, _NAMELESS, _SYMBOLIC = 1, 4, 8
_EXCHANGE = 2  # RENAME_EXCHANGE


@dataclass(frozen=True)
class Call:
    """A call as it was logged. Paths are relative to the folder; `error` is 0 where it succeeded.

    `number` is the offset of a write, the size of a truncation, the mode of a new file or folder,
    the flags of a rename. `data` holds the bytes written or printed, the new path of a rename or
    the target of a symbolic link.
    """

    kind: str
    error: int
    node: int
    number: int
    detail: int
    path: str
    data: bytes

    @property
    def changes_disk(self) -> bool:
        """Whether a power loss may leave something else after the call than before it."""
        made = self.kind == "open" and self.detail != 0
        return not self.error and (made or self.kind in _CHANGING)


def read_log(log: Path) -> tuple[int, list[Call]]:
    """How many calls were failed or killed, and all that were made."""
    calls = []
    with log.open("rb") as stream:
        size, hits, ready = struct.unpack("=QQQ", stream.read(24))
        assert ready, "failing_disk.c was not loaded: is the program static or set-uid?"
        stream.seek(_LOG_START)
        while stream.tell() < _LOG_START + size:
            record = _RECORD.unpack(stream.read(_RECORD.size))
            kind, error, path_size, node, number, detail, data_size = record
            path, data = os.fsdecode(stream.read(path_size)), stream.read(data_size)
            calls.append(Call(KINDS[kind], error, node, number, detail, path, data))
    return hits, calls


class _Link:
    """A symbolic link: nothing is ever written to it."""

    def __init__(self, target: str) -> None:
        self.target = target

    def write(self, path: Path) -> None:
        path.symlink_to(self.target)


class _File:
    """Bytes that are on the disk, and changes of which the first `kept` are."""

    def __init__(self, start: bytes, mode: int) -> None:
        self.start, self.mode = start, stat.S_IMODE(mode)
        self.changes: list[tuple[int, bytes] | int] = []  # (offset, what was written), or a size
        self.kept = 0

    def keep(self, count: int) -> None:
        self.kept = max(self.kept, count)

    def tear(self, choice: random.Random) -> None:
        """Keep a part of the first write that is lost, if there is one."""
        change = self.changes[self.kept] if self.kept < len(self.changes) else 0
        if isinstance(change, tuple):
            offset, data = change
            border = (offset // 512 + choice.randint(1, 1 + len(data) // 512)) * 512
            self.changes[self.kept] = offset, data[: border - offset]
            self.kept += 1

    def content(self) -> bytes:
        data = bytearray(self.start)
        for change in self.changes[: self.kept]:
            if isinstance(change, int):
                del data[change:]
                data.extend(bytes(change - len(data)))
            elif change[1]:
                offset, written = change
                data.extend(bytes(max(0, offset - len(data))))
                data[offset : offset + len(written)] = written
        return bytes(data)

    def write(self, path: Path) -> None:
        path.write_bytes(self.content())
        path.chmod(self.mode)


class _Folder:
    """Names that are on the disk, and changes of which the first `kept` are."""

    def __init__(self, start: dict[str, _Entry], mode: int) -> None:
        self.start, self.mode = start, stat.S_IMODE(mode)
        self.current = dict(start)  # as the running program sees it
        self.changes: list[_Change] = []
        self.kept = 0

    def change(self, names: dict[str, _Entry | None]) -> _Change:
        """Set names, or remove those that are None."""
        change = _Change(self, len(self.changes), names)
        self.changes.append(change)
        _change(self.current, names)
        return change

    def keep(self, count: int) -> None:
        first, self.kept = self.kept, max(self.kept, count)
        for change in self.changes[first : self.kept]:
            if change.twin:
                change.twin.folder.keep(change.twin.index + 1)

    def names(self) -> dict[str, _Entry]:
        names = dict(self.start)
        for change in self.changes[: self.kept]:
            _change(names, change.names)
        return names

    def listing(self, prefix: str = "") -> dict[str, object]:
        """All paths: to the bytes of a file, the target of a link, None of a folder."""
        found: dict[str, object] = {}
        for name, entry in self.names().items():
            if isinstance(entry, _Folder):
                found |= {prefix + name: None, **entry.listing(f"{prefix}{name}/")}
            else:
                found[prefix + name] = entry.target if isinstance(entry, _Link) else entry.content()
        return found

    def write(self, path: Path) -> None:
        path.mkdir(parents=True)
        for name, entry in self.names().items():
            entry.write(path / name)
        path.chmod(self.mode)


_Entry: TypeAlias = _File | _Folder | _Link


@dataclass
class _Change:
    """Names of a folder that changed at once, with those of another folder in a `twin`."""

    folder: _Folder
    index: int
    names: dict[str, _Entry | None]
    twin: _Change | None = None


def _change(names: dict[str, _Entry], changed: Mapping[str, _Entry | None]) -> None:
    for name, entry in changed.items():
        names.pop(name, None)
        if entry is not None:
            names[name] = entry


class Model:
    """A folder, and what is done to it while nobody has said yet that it is on the disk."""

    def __init__(self, folder: Path) -> None:
        self._nodes: dict[int, _Entry] = {}  # by inode; a number may be used again
        self._retired: list[_Entry] = []
        self.root = self._read_folder(folder)

    def _read_folder(self, folder: Path) -> _Folder:
        names: dict[str, _Entry] = {}
        for path in sorted(folder.iterdir()):
            status = path.lstat()
            if stat.S_ISDIR(status.st_mode):
                names[path.name] = self._read_folder(path)
                continue
            if status.st_ino not in self._nodes:  # else another link to a file
                link = stat.S_ISLNK(status.st_mode)
                new = _Link(os.readlink(path)) if link else _File(path.read_bytes(), status.st_mode)
                self._nodes[status.st_ino] = new
            names[path.name] = self._nodes[status.st_ino]
        status = folder.stat()
        root = self._nodes[status.st_ino] = _Folder(names, status.st_mode)
        return root

    def _find(self, path: str) -> tuple[_Folder, str]:
        *parents, name = path.split("/")
        folder = self.root
        for parent in parents:
            inner = folder.current[parent]
            assert isinstance(inner, _Folder), path
            folder = inner
        return folder, name

    def apply(self, call: Call) -> None:
        """Do what a call did; one that failed did nothing."""
        if not call.changes_disk:
            return
        match call.kind:
            case "fsync":
                node = self._node(call)
                assert not isinstance(node, _Link), call.path
                node.keep(len(node.changes))
            case "open" if call.detail & _CREATED:
                self._add(call, _File(b"", call.number))
            case "open":
                self._file(call).changes.append(0)
            case "write":
                self._file(call).changes.append((call.number, call.data))
            case "truncate":
                self._file(call).changes.append(call.number)
            case "mkdir":
                self._add(call, _Folder({}, call.number))
            case "link" if call.detail & _SYMBOLIC:
                self._add(call, _Link(os.fsdecode(call.data)))
            case "link":
                self._name(call.path, self._node(call))
            case "unlink":
                self._name(call.path, None)
            case "rename":
                self._rename(call.path, os.fsdecode(call.data), bool(call.number & _EXCHANGE))

    def _add(self, call: Call, node: _Entry) -> None:
        if call.node in self._nodes:
            self._retired.append(self._nodes[call.node])
        self._nodes[call.node] = node
        if not call.detail & _NAMELESS:
            self._name(call.path, node)

    def _node(self, call: Call) -> _Entry:
        assert call.node in self._nodes, f"{call.path}: made by a call that is not in the log"
        return self._nodes[call.node]

    def _file(self, call: Call) -> _File:
        file = self._node(call)
        assert isinstance(file, _File), call.path
        return file

    def _name(self, path: str, entry: _Entry | None) -> None:
        folder, name = self._find(path)
        folder.change({name: entry})

    def _rename(self, old: str, new: str, exchange: bool) -> None:
        (source, old_name), (target, new_name) = self._find(old), self._find(new)
        moved, there = source.current[old_name], target.current.get(new_name)
        if moved is there:
            return  # two links to a file: POSIX leaves both
        left = there if exchange else None
        if source is target:
            source.change({old_name: left, new_name: moved})
        else:
            out, into = source.change({old_name: left}), target.change({new_name: moved})
            out.twin, into.twin = into, out

    def lose(self, loss: str, choice: random.Random) -> None:
        """A power loss: one of `LOSSES` of all that was not flushed."""
        for node in [*self._retired, *self._nodes.values()]:
            if isinstance(node, _Link):
                continue
            if loss == "some":
                some = choice.randint(node.kept, len(node.changes))
                # Often an end: what is lost beside what is kept is what programs stumble over.
                node.keep(choice.choice((node.kept, some, len(node.changes))))
                if isinstance(node, _File) and choice.random() < 0.5:
                    node.tear(choice)
            elif loss == "nothing" or loss == ("names" if isinstance(node, _File) else "contents"):
                node.keep(len(node.changes))
