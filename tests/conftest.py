"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from importlib.metadata import version
from itertools import count
from pathlib import Path

import pytest

_numbers = count()


@pytest.fixture(scope="session", autouse=True)
def _no_cache_of_the_user() -> Iterator[None]:
    """What fixtures of whole modules do is not cached."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SILVERPRINT_CACHE", "off")
        patch.delenv("SILVERPRINT_CACHE_SIZE", raising=False)
        yield


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a feature cache of its own, in a folder that does not exist yet."""
    folder = tmp_path_factory.getbasetemp() / f"cache-{next(_numbers)}"
    monkeypatch.setenv("SILVERPRINT_CACHE", str(folder))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real pictures and backbones; its tests skip where it is absent."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("SILVERPRINT_TEST_DATA", root.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder} (set SILVERPRINT_TEST_DATA)")
    return folder


_HELD_AGAINST_THE_RUNTIME = {
    "test_coreml_execute_layers",
    "test_coreml_identities",
    "test_coreml_network",
    "test_coreml_operators",
}
"""Tests whose golden numbers are those of ONNX Runtime, operator by operator."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Old runtimes are no reference: 1.19 computes some pools, norms and einsums otherwise."""
    if tuple(map(int, version("onnxruntime").split(".")[:2])) >= (1, 31):
        return
    old = pytest.mark.skip(reason="its golden numbers are those of ONNX Runtime 1.31 or later")
    for item in items:
        if item.path.stem in _HELD_AGAINST_THE_RUNTIME:
            item.add_marker(old)
