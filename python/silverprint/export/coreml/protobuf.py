"""Numbers that stand for types in Core ML's protobufs."""

from __future__ import annotations

STRING, FLOAT16, FLOAT32, FLOAT64, INT64 = 2, 10, 11, 12, 24
"""Of the elements of a tensor in an ML Program: MIL.proto, DataType."""

ARRAYS = {65552: FLOAT16, 65568: FLOAT32, 65600: FLOAT64, 131080: 21, 131104: 23}
"""The same by the number of FeatureTypes.proto's ArrayDataType, in the description of a model."""

COLOURS = {"RGB": 20, "BGR": 30}
"""FeatureTypes.proto, ImageFeatureType.ColorSpace."""
