"""What the author of a model says about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from silverprint.errors import InvalidParameterError

RECORD_KEY = "silverprint"
"""The entry of a model file that holds its record."""

_OWN = ("author", "license", "version", "short_description")


@dataclass(frozen=True)
class ModelMetadata:
    """Author's words, carried in every format.

    Immutable: threads may share it.

    Args:
        author, license, version, short_description: shown by Xcode.
        additional: further keys of your own, text to text.

    Raises:
        InvalidParameterError: a value is not text, or a key has a meaning of its own.
    """

    author: str = ""
    license: str = ""
    version: str = ""
    short_description: str = ""
    additional: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key in (*_OWN, RECORD_KEY):
            if key in self.additional:
                raise InvalidParameterError("additional", key, "keys that have no meaning yet")
        for key, value in self.to_dict().items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise InvalidParameterError(str(key), value, "text")

    def to_dict(self) -> dict[str, str]:
        """All that is not empty, as one dictionary."""
        own = {key: getattr(self, key) for key in _OWN}
        return {key: value for key, value in own.items() if value != ""} | dict(self.additional)

    @classmethod
    def from_dict(cls, values: Mapping[str, str]) -> ModelMetadata:
        """The metadata that `to_dict` gave."""
        return cls(
            **{key: values[key] for key in _OWN if key in values},
            additional={key: value for key, value in values.items() if key not in _OWN},
        )
