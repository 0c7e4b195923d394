"""What several commands are given: pictures, and the extractor for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from silverprint.data.manifest import is_manifest
from silverprint.data.scan import pictures_below
from silverprint.data.source import DataSource
from silverprint.errors import InvalidDataError, InvalidParameterError
from silverprint.features.extractor import CustomFeatureExtractor, FeatureExtractor
from silverprint.features.prints import ScenePrint


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Files as they are given, there or not; folders replaced by the pictures in them, sorted.

    Raises:
        InvalidDataError: no picture is found.
    """
    found: list[Path] = []
    for path in paths:
        found += sorted(pictures_below(path)[0]) if path.is_dir() else [path]
    if not found:
        raise InvalidDataError(", ".join(map(str, paths)), "holds no picture")
    return found


def labelled_data(data: Path, part: str | None, group_by: str | None = None) -> DataSource:
    """A folder of label folders or a manifest, or one part of it.

    Raises:
        InvalidParameterError: a part is named, but `data` is no manifest.
        InvalidDataError: the data cannot serve.
    """
    if part is not None:
        if not is_manifest(data):
            raise InvalidParameterError("part", part, f"to be given with a manifest, not {data}")
        source = DataSource.manifest(data, part=part)
    else:
        source = DataSource.of(data)
    return source if group_by is None else source.grouped(group_by)


def chosen_extractor(model: Path | None, output_name: str | None) -> FeatureExtractor:
    """The backbone in `model`, or the built-in print.

    Raises:
        InvalidParameterError: a tensor is named, but no model.
    """
    if model is not None:
        return CustomFeatureExtractor(model, output_name)
    if output_name is not None:
        raise InvalidParameterError("output_name", output_name, "to be given with --extractor")
    return ScenePrint()
