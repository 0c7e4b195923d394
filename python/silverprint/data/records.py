"""Tables of frozen dataclasses."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import pandas as pd

Row = TypeVar("Row")


class Records(tuple[Row, ...]):
    """Rows of a table; ``to_pandas()`` makes a DataFrame of them where pandas is installed."""

    __slots__ = ()

    def to_pandas(self) -> pd.DataFrame:
        """One row each, one column per field."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self])  # type: ignore[call-overload]
