"""`silverprint cache`: what is kept, and how to be rid of it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from silverprint.cli.main import main
from silverprint.features.cache import FeatureCache
from support.caches import KIND, fill, shards


@pytest.fixture
def folder() -> Path:
    return Path(os.environ["SILVERPRINT_CACHE"])


def test_info_of_an_empty_cache(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "info"]) == 0
    out = capsys.readouterr().out
    assert f"folder: {folder}\n" in out
    assert "size: 0.0 MB of at most 10000.0 MB\n" in out
    assert "pictures: 0\n" in out
    assert not folder.exists()


def test_info_tells_of_each_kind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(FeatureCache(folder), range(7))
    assert main(["cache", "info"]) == 0
    out = capsys.readouterr().out
    assert "pictures: 7\n" in out
    assert "7 pictures: 6 values each, center_crop, extractor abababababab\n  a CPU\n" in out


def test_info_for_programs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(FeatureCache(folder), range(7))
    assert main(["cache", "info", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record == FeatureCache(folder).info()
    assert record["kinds"][0]["fingerprint"] == KIND.fingerprint


def test_clear(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(FeatureCache(folder), range(5000))
    assert main(["cache", "clear"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{folder}: ")
    assert float(out.split()[-3]) > 0.1
    assert out.endswith(" MB freed\n")
    assert shards(folder) == []
    assert main(["cache", "clear"]) == 0
    assert capsys.readouterr().out == f"{folder}: 0.0 MB freed\n"


def test_a_cache_of_a_newer_version_is_not_cleared(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import sqlite3

    fill(FeatureCache(folder), range(7))
    connection = sqlite3.connect(folder / "records.sqlite")
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    assert main(["cache", "clear"]) == 5
    assert "newer silverprint" in capsys.readouterr().err
    assert len(shards(folder)) == 1


def test_no_cache(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE", "off")
    assert main(["cache", "info"]) == 0
    assert "no feature cache" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "no feature cache" in capsys.readouterr().out
    assert main(["cache", "info", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"folder": None}


def test_a_wrong_size_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SILVERPRINT_CACHE_SIZE", "huge")
    assert main(["cache", "info"]) == 2
    assert "SILVERPRINT_CACHE_SIZE='huge'" in capsys.readouterr().err
