"""What annotations say, before it is checked: filled by one of the formats."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from silverprint.data.annotations.bounding_box import BoundingBox
from silverprint.data.annotations.report import counted
from silverprint.data.reading import printable
from silverprint.data.scan import label_of
from silverprint.errors import InvalidDataError, nearest

_SHOWN = 5


@dataclass
class Listing:
    """Pictures and boxes in the order of the annotations.

    Attributes:
        name: the file or folder, for messages.
        kind: the format, for messages.
        type: what the numbers of a box mean.
        fixed: whether the format defines that, or the user may choose.
        pictures: paths.
        places: where each picture stands in the annotations, for messages.
        sizes: width and height of each picture, one after the other; 0 where not stated.
        owners: the picture of each box.
        numbers: the label of each box, by its position in `labels`.
        values: x, y, width and height of each box, one after the other.
        indices: where each box stands; see `report.DroppedBox`.
        labels: the labels, each once, in the order in which they were met.
        crowds: positions of boxes that are crowd regions.
        unknown: name and place of pictures that were not found.
    """

    name: object
    kind: str
    type: BoundingBox
    fixed: bool
    pictures: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    sizes: array[int] = field(default_factory=lambda: array("i"))
    owners: array[int] = field(default_factory=lambda: array("i"))
    numbers: array[int] = field(default_factory=lambda: array("i"))
    values: array[float] = field(default_factory=lambda: array("d"))
    indices: array[int] = field(default_factory=lambda: array("i"))
    labels: list[str] = field(default_factory=list)
    crowds: list[int] = field(default_factory=list)
    unknown: list[tuple[str, str]] = field(default_factory=list)
    _by_path: dict[str, int] = field(default_factory=dict)
    _by_label: dict[str, int] = field(default_factory=dict)

    def add_picture(
        self,
        name: str,
        paths: Sequence[str],
        place: str,
        size: tuple[int, int] = (0, 0),
        key: str | None = None,
    ) -> int:
        """Add a picture; its number.

        Args:
            name: what the annotations call it.
            paths: what that may mean; none: `require_known` will tell.
            place: where it stands in the annotations.
            size: width and height, (0, 0) if not stated.
            key: what tells it apart from others, where that is not its path.

        Raises:
            InvalidDataError: the name means several pictures, or one that is there already.
        """
        number = len(self.pictures)
        if len(paths) > 1:
            raise self.refusal(
                place,
                f"{name!r} may mean {' or '.join(map(printable, paths[:2]))}; name the folder too",
            )
        if paths:
            before = self._by_path.setdefault(paths[0] if key is None else key, number)
            if before != number:
                raise self.refusal(
                    place,
                    f"{name!r} stands in {self.places[before]} too; list each picture once, with "
                    "all of its boxes",
                )
        else:
            self.unknown.append((name, place))
        self.pictures.append(paths[0] if paths else name)
        self.places.append(place)
        self.sizes.extend(size)
        return number

    def number_of(self, label: object, place: str) -> int:
        """The position of `label` in `labels`; a new one is added.

        Raises:
            InvalidDataError: it is no text, or blank.
        """
        if not isinstance(label, str) or not label.strip():
            raise self.refusal(place, f"the label is {label!r}; give text that is not blank")
        if label not in self._by_label:
            name = label_of(label.strip())
            if name not in self._by_label:
                self._by_label[name] = len(self.labels)
                self.labels.append(name)
            self._by_label[label] = self._by_label[name]
        return self._by_label[label]

    def add_box(self, owner: int, number: int, index: int, values: Sequence[float]) -> None:
        """Add a box: its picture, label, place and x, y, width, height."""
        self.values.extend(values)
        self.owners.append(owner)
        self.numbers.append(number)
        self.indices.append(index)

    def refusal(self, place: str, reason: str) -> InvalidDataError:
        """The error for what stands at `place`."""
        return InvalidDataError(self.name, f"{place}: {reason}")

    def require_known(self, where: object, hint: str) -> None:
        """Check that all pictures were found.

        Raises:
            InvalidDataError: some were not; the reason names the first of them.
        """
        if not self.unknown:
            return
        shown = ", ".join(f"{name!r} ({place})" for name, place in self.unknown[:_SHOWN])
        more = ", ..." if len(self.unknown) > _SHOWN else ""
        raise InvalidDataError(
            self.name,
            f"{len(self.unknown)} of {counted(len(self.pictures), 'picture')} that it names "
            f"cannot be found in {where}: {shown}{more}{hint}; add the pictures, or take their "
            "entries out",
        )


def why_no_numbers(values: object) -> str:
    """What is wrong with `values`, which should have been ``{"x": 1.5, ...}``."""
    names = ("x", "y", "width", "height")
    if not isinstance(values, dict):
        return f"{values!r} where x, y, width and height are expected"
    for name in names:
        if name not in values:
            return f"no {name!r} among {', '.join(map(repr, values))}{_near(name, values)}"
        try:
            array("d", [values[name]])
        except (TypeError, OverflowError):
            return f"{name} is {values[name]!r}, no number"
    return f"{values!r} cannot be read"


def _near(name: str, values: dict[object, object]) -> str:
    return nearest(name, [key for key in values if isinstance(key, str)])
