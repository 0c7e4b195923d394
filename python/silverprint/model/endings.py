"""What the names of model files end in."""

CORE_ML = (".mlpackage", ".mlmodel")
"""A folder and a file; `silverprint.export.coreml.options` says which format each stands for."""
