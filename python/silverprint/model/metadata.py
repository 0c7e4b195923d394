"""What the author of a model says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from silverprint.errors import InvalidParameterError


@dataclass(frozen=True)
class ModelMetadata:
    """Author's words, carried in every format.

    Immutable: threads may share it.

    Args:
        author, license, version, short_description: shown by Xcode.
        additional: further keys of your own, text to text.

    Raises:
        InvalidParameterError: a value is not text.
    """

    author: str = ""
    license: str = ""
    version: str = ""
    short_description: str = ""
    additional: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, value in self.to_dict().items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise InvalidParameterError(str(key), value, "text")

    def to_dict(self) -> dict[str, str]:
        """All that is not empty, as one dictionary."""
        own = {
            "author": self.author,
            "license": self.license,
            "version": self.version,
            "short_description": self.short_description,
        }
        return {key: value for key, value in own.items() if value != ""} | dict(self.additional)

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> ModelMetadata:
        """The metadata that `to_dict` gave."""
        known = ("author", "license", "version", "short_description")
        return cls(
            **{key: values[key] for key in known if key in values},
            additional={key: value for key, value in values.items() if key not in known},
        )
