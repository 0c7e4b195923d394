"""What is other now than when a run of a session was begun."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from silverprint.classifier import saved_parameters
from silverprint.classifier.extraction import TRAINING_PART
from silverprint.classifier.wanted import Wanted
from silverprint.data.changes import Changes, compare
from silverprint.data.source import DataSource
from silverprint.errors import ModifiedTrainingDataError
from silverprint.training.progress import Phase
from silverprint.training.store.documents import Key
from silverprint.training.store.run import RunRecord, feature_records

Digests = Callable[[Sequence[Path]], Sequence[bytes]]


@dataclass(frozen=True)
class Differences:
    """What is other; `str` says it in a line.

    Attributes:
        changes: of the pictures, by part.
        parameters: name, value before and value now of each that differs.
        regrouped: whether pictures that are still there have other groups.
        numerics: whether features were extracted with another runtime, decoder or processor.
        extracted_anew: whether no feature of the run can serve any more.
    """

    changes: Mapping[str, Changes]
    parameters: Mapping[str, tuple[object, object]]
    regrouped: bool
    numerics: bool
    extracted_anew: bool

    @classmethod
    def of(
        cls,
        last: RunRecord,
        wanted: Wanted,
        before: Mapping[str, DataSource],
        changes: Mapping[str, Changes],
        numerics: str,
    ) -> Differences:
        """Those between a run and what is wanted; `numerics`: "any" ignores those."""
        settings = wanted.settings
        changed = changes[TRAINING_PART]
        return cls(
            changes,
            saved_parameters.differing(last.settings["parameters"], settings["parameters"]),
            _regrouped(before[TRAINING_PART], wanted.data, changed.places),
            numerics == "same" and last.settings["numerics"] != settings["numerics"],
            not fits(
                last.settings["features"][TRAINING_PART],
                settings["features"][TRAINING_PART],
                numerics,
            ),
        )

    @property
    def modified(self) -> list[Changes]:
        """The changes of those parts that have other pictures or labels."""
        return [change for change in self.changes.values() if change]

    def __bool__(self) -> bool:
        moved = any(change.moved for change in self.changes.values())
        return bool(self.modified or moved or self.parameters or self.regrouped or self.numerics)

    def __str__(self) -> str:
        parts = []
        for part, change in self.changes.items():
            if change or change.moved:
                parts.append(f"{change}" if part == TRAINING_PART else f"{part} data: {change}")
        if self.regrouped:
            parts.append("other groups")
        parts += [f"{name} {old!r} → {new!r}" for name, (old, new) in self.parameters.items()]
        if self.numerics:
            parts.append("another ONNX Runtime, decoder or processor")
        if self.extracted_anew:
            parts.append("features extracted anew unless they are cached")
        return "; ".join(parts) or "nothing changed"

    def error(self) -> ModifiedTrainingDataError:
        """That the pictures are others."""
        kinds = ("added", "removed", "changed", "relabelled")
        return ModifiedTrainingDataError(
            *(tuple(path for one in self.modified for path in getattr(one, kind)) for kind in kinds)
        )


def fits(identity: Mapping[str, object], other: Mapping[str, object], numerics: str) -> bool:
    """Whether features of one kind can take the place of those of another."""
    ignored = {"numerics": ""} if numerics == "any" else {}
    return {**identity, **ignored} == {**other, **ignored}


def is_extracting(run: RunRecord) -> bool:
    """Whether pictures of a run may be missing yet."""
    return run.phase in (Phase.INITIALIZED, Phase.EXTRACTING_FEATURES)


def picture_changes(
    documents: Mapping[Key, bytes],
    run: RunRecord,
    part: str,
    before: DataSource | None,
    now: DataSource,
    digests_of: Digests,
) -> Changes:
    """What happened to the pictures of one part of a run."""
    if before is None:
        return Changes(added=tuple(str(path) for path, _ in now.items))
    done = feature_records(documents, run.number, part)
    digests: list[bytes | None] = [None] * len(before)
    for row in done.rows:
        digests[int(row["position"])] = bytes(row["digest"])
    for position, _ in [] if is_extracting(run) else done.failures:  # until then tried again
        digests[position] = b""
    return compare(before.items, digests, now.items, digests_of)


def adopted(source: DataSource, now: DataSource, places: Sequence[int]) -> DataSource:
    """The pictures of `source` where they are now, in their old order.

    With the order the training goes on as if nothing had moved.
    """
    items = tuple(
        (now.items[place][0], label) for place, (_, label) in zip(places, source.items, strict=True)
    )
    groups = None if now.groups is None else tuple(now.groups[place] for place in places)
    return DataSource(items, now.origin, groups)


def with_groups_of(source: DataSource, now: DataSource, places: Sequence[int]) -> DataSource:
    """The pictures of `now` with the groups that they had in `source`."""
    assert source.groups is not None
    group_of = dict(zip(places, source.groups, strict=True))
    return replace(now, groups=tuple(group_of[i] for i in range(len(now))))


def _regrouped(before: DataSource, now: DataSource, places: Sequence[int]) -> bool:
    if before.groups is None or now.groups is None:
        return before.groups is not now.groups
    pairs = zip(before.groups, places, strict=True)
    return any(group != now.groups[place] for group, place in pairs if place >= 0)
