"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures and backbones; its tests skip where it is absent."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("SILVERPRINT_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder} (set SILVERPRINT_TEST_DATA)")
    return folder
