"""The files of a folder, and which picture a name in annotations means."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from silverprint.data.formats import EXTENSIONS
from silverprint.data.reading import display_name
from silverprint.data.scan import entries, is_folder, is_picture, label_of
from silverprint.errors import InvalidDataError

_MOST_COMPARED = 5000


class Folder:
    """What lies in a folder and those in it; hidden files do not count (`silverprint.data.scan`).

    Names are compared in Unicode normal form C, parts divided by ``/`` or ``\\``.
    """

    def __init__(self, root: Path) -> None:
        """List `root`.

        Raises:
            InvalidDataError: it cannot be listed, or holds no picture.
        """
        self.root = root
        self.others: list[Path] = []
        self._by_path: dict[str, str] = {}
        waiting = [(root, "")]
        while waiting:
            folder, inside = waiting.pop()
            for entry in entries(folder, "a folder of pictures and their annotations"):
                if is_folder(entry):
                    waiting.append((Path(entry.path), f"{inside}{label_of(entry.name)}/"))
                elif is_picture(entry):
                    self._by_path[inside + label_of(entry.name)] = entry.path
                elif not entry.is_dir():
                    self.others.append(Path(entry.path))
        if not self._by_path:
            raise InvalidDataError(
                display_name(root),
                f"holds no picture; give a folder of pictures ({', '.join(sorted(EXTENSIONS))})",
            )
        self.others.sort()
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        for relative in self._by_path:
            name = relative.rpartition("/")[2]
            self._by_name.setdefault(name, []).append(relative)
            self._by_stem.setdefault(name.rpartition(".")[0], []).append(relative)

    @property
    def pictures(self) -> dict[str, str]:
        """The path of each picture, by its place in the folder such as ``images/1.jpg``."""
        return self._by_path

    def named(self, name: str) -> list[str]:
        """The paths of the pictures that `name` may mean: none, one or several.

        It means the picture at that place in the folder, or in ``images`` in it. Else the one with
        that file name, as long as the folders that both tell of do not differ: ``1.jpg`` and
        ``/elsewhere/a/1.jpg`` may mean ``a/1.jpg``, ``b/1.jpg`` does not.
        """
        parts = _parts(name)
        key = "/".join(parts)
        for at in (key, f"images/{key}"):
            if at in self._by_path:
                return [self._by_path[at]]
        found = []
        for relative in self._by_name.get(parts[-1] if parts else "", []):
            own = relative.split("/")
            shared = min(len(own), len(parts))
            if own[-shared:] == parts[-shared:]:
                found.append(self._by_path[relative])
        return found

    def beside(self, file: str) -> list[str]:
        """The pictures that a file of the same stem may belong to: none, one or several.

        First those in the same folder; then those in a folder whose path differs in one name, such
        as ``train/images`` from ``train/labels``; then all.
        """
        folders = _parts(os.path.relpath(file, self.root))
        stem = folders.pop().rpartition(".")[0]
        ranked: tuple[list[str], ...] = ([], [], [])
        for relative in self._by_stem.get(stem, []):
            own = relative.split("/")[:-1]
            if own == folders:
                rank = 0
            elif len(own) == len(folders):
                differing = sum(a != b for a, b in zip(own, folders, strict=True))
                rank = 1 if differing == 1 else 2
            else:
                rank = 2
            ranked[rank].append(self._by_path[relative])
        return next(filter(None, ranked), [])

    def hint(self, name: str) -> str:
        """What to say of a name that means no picture."""
        parts = _parts(name)
        file = parts[-1] if parts else ""
        known = self._by_stem.get(file.rpartition(".")[0]) or self._by_name.get(file)
        if known is None and len(self._by_name) <= _MOST_COMPARED:
            near = get_close_matches(file, list(self._by_name), n=1)
            known = self._by_name[near[0]] if near else None
        return f"; did you mean {known[0]!r}?" if known else ""


def _parts(name: str) -> list[str]:
    parts = label_of(name).replace("\\", "/").split("/")
    return [part for part in parts if part not in ("", ".", "..")]
