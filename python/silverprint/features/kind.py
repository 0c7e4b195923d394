"""What a feature row is of, beside the picture: the extractor, its numbers, and the view."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from silverprint.features.augmentation import PictureView
from silverprint.features.blocks import Extractor
from silverprint.features.numerics import numerics_class

EXTRACTION_VERSION = 1
"""To be raised when our own code would give another row for the same picture: when the picture
rule, decoding, resampling or a view is changed and not told apart by a version of its own."""


@dataclass(frozen=True)
class FeatureKind:
    """Rows of one kind may stand in one matrix; of two, never.

    Attributes:
        fingerprint: SHA-256 of the feature graph in hexadecimal, normalisation and tensor included.
        rule: the picture rule, as JSON values.
        numerics: see `numerics_class`.
        dimension: length of a row.
    """

    fingerprint: str
    rule: Mapping[str, Any]
    numerics: str
    dimension: int

    @cached_property
    def record(self) -> str:
        """The fields, and the version of the extraction, as canonical JSON."""
        values = asdict(self) | {"version": EXTRACTION_VERSION}
        return json.dumps(values, sort_keys=True, separators=(",", ":"))

    @cached_property
    def key(self) -> str:
        """SHA-256 of `record` in hexadecimal."""
        return hashlib.sha256(self.record.encode()).hexdigest()


def kind_of(extractor: Extractor) -> FeatureKind:
    """What `extractor` gives on this machine.

    Raises:
        BackboneError, OnnxRuntimeError: it cannot be made ready.
    """
    backbone = extractor.backbone
    return FeatureKind(
        backbone.record["fingerprint"],
        backbone.rule.to_json(),
        numerics_class(extractor.provider),
        backbone.dimension,
    )


def view_names(views: Sequence[PictureView], seed: int) -> tuple[str, ...]:
    """A name for the picture itself, ``""``, and for each view; the same name, the same view."""
    return ("", *(f"{view.option} {view.number} seed {seed}" for view in views))
