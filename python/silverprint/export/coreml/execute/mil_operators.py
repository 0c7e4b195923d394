"""The table of MIL operators with all its families in it."""

from __future__ import annotations

from silverprint.export.coreml.execute import (  # noqa: F401 - each fills the table
    mil_activation,
    mil_binary,
    mil_constant,
    mil_convolution,
    mil_elementwise,
    mil_gather,
    mil_linear,
    mil_normalisation,
    mil_rearrange,
    mil_reduction,
    mil_resize,
    mil_shape,
)
from silverprint.export.coreml.execute.mil_table import Operator, known, lookup

__all__ = ["Operator", "known", "lookup"]
