"""The failing disk itself: its replays are exact, and they catch a program that forgets a flush."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from textwrap import dedent

import pytest

from support.disk import Crash, Disk, Fail, Kill, Run
from support.replay import KINDS


def run(disk: Disk, code: str, *arguments: object, **faults: Fail | Kill) -> Run:
    """`code` in a Python that starts fast."""
    command = [sys.executable, "-IS", "-c", dedent(code), *arguments]
    return disk.run(command, **faults)  # type: ignore[arg-type]


# ---- replays are exact: `Disk.run` compares the replay of all calls with the folder

OPERATIONS = """
import ctypes, json, os, shutil, sys, tempfile

renameat2 = ctypes.CDLL(None).renameat2
home, files = os.getcwd(), {}

def open_in_folder(path, flags):
    folder = os.open(os.path.dirname(path), os.O_RDONLY)
    try:
        return os.open(os.path.basename(path), flags, 0o640, dir_fd=folder)
    finally:
        os.close(folder)

def open_without_name(data):
    with tempfile.TemporaryFile(dir=home) as file:
        file.write(data)
        return os.dup(file.fileno())

def flush_folder(path):
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)

def write_in_child(fd, data):
    child = os.fork()
    if child == 0:
        try:
            os.write(fd, data)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

def do(name, path, other, flags, slot, number, data):
    relative = os.path.relpath(os.path.join(home, path))
    path, other = os.path.join(home, path), os.path.join(home, other)
    fd = files.get(slot, 999)
    match name:
        case "open": files[slot] = os.open(relative, flags, 0o640)
        case "open in folder": files[slot] = open_in_folder(path, flags)
        case "open without name": files[slot] = open_without_name(data)
        case "write": os.write(fd, data)
        case "write in child": write_in_child(fd, data)
        case "writev": os.writev(fd, [data, b"-", data])
        case "pwrite": os.pwrite(fd, data, number)
        case "pwritev": os.pwritev(fd, [data, b"-"], number)
        case "copy": shutil.copyfile(path, other)
        case "truncate": os.truncate(relative, number)
        case "ftruncate": os.ftruncate(fd, number)
        case "fsync": os.fsync(fd)
        case "flush folder": flush_folder(relative)
        case "duplicate": files[(slot + 1) % 3] = os.dup(fd)
        case "close": os.close(fd)
        case "rename": os.rename(relative, other)
        case "exchange": renameat2(-100, path.encode(), -100, other.encode(), 2)
        case "link": os.link(path, other)
        case "symlink": os.symlink(path, other)
        case "unlink": os.unlink(relative)
        case "mkdir": os.mkdir(relative)
        case "rmdir": os.rmdir(path)
        case "chdir": os.chdir(relative)
        case _: raise AssertionError(name)

for step, (*operation, size) in enumerate(json.loads(sys.argv[1])):
    try:
        do(*operation, bytes([step % 256]) * size)
    except OSError:
        pass
"""

NAMES = [
    *("open", "open", "open in folder", "open without name", "write", "write", "write in child"),
    *("writev", "pwrite", "pwritev", "copy", "truncate", "ftruncate", "fsync", "flush folder"),
    *("duplicate", "close", "rename", "rename", "exchange", "link", "symlink", "unlink", "mkdir"),
    *("mkdir", "rmdir", "chdir"),
]
PATHS = ["a", "b", "d", "d/a", "d/e", "d/e/a", "f", "f/a", "f/e", "link/a"]
FLAGS = [
    os.O_RDONLY,
    os.O_RDWR | os.O_CREAT,
    os.O_RDWR | os.O_CREAT | os.O_TRUNC,
    os.O_RDWR | os.O_CREAT | os.O_APPEND,
    os.O_WRONLY | os.O_CREAT | os.O_EXCL,
]


@pytest.mark.parametrize("seed", range(6))
def test_any_operations_replay_to_the_same_folder(tmp_path: Path, seed: int) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a").write_bytes(b"there before" * 100)
    (tmp_path / "a").hardlink_to(tmp_path / "f" / "a")
    (tmp_path / "link").symlink_to("f")
    choice = random.Random(seed)
    operations = [
        ("rename", "a", "f/a", 0, 0, 0, 0),  # two links to one file: both stay
        ("symlink", "f/a", "b", 0, 0, 0, 0),
        ("truncate", "b", "b", 0, 0, 100, 0),
    ]
    operations += [
        (
            *(choice.choice(NAMES), choice.choice(PATHS), choice.choice(PATHS)),
            *(choice.choice(FLAGS), choice.randrange(3)),
            *(choice.randrange(2000), choice.randrange(2000)),
        )
        for _ in range(400)
    ]
    with Disk(tmp_path) as disk:
        done = run(disk, OPERATIONS, json.dumps(operations))
        assert done.returncode == 0, done.stderr
        done_well = {call.kind for call in disk.calls if not call.error}
        assert done_well == {*KINDS} - {"any", "print"}
        for crash in disk.crashes(seed, count=5):
            assert crash.folder.is_dir()


def test_threads_are_logged_in_the_order_in_which_they_wrote(tmp_path: Path) -> None:
    code = """
        import os, threading
        os.mkdir("x")
        fd, folder = os.open("shared", os.O_RDWR | os.O_CREAT), os.open("x", os.O_RDONLY)
        start = threading.Barrier(4)
        def work(number):
            start.wait()
            for turn in range(300):
                os.pwrite(fd, bytes([number]) * 50_000, 100 * number)  # all over each other
                if turn % 100 == number:
                    os.fsync(fd)
                os.mkdir(f"{number} {turn}", dir_fd=folder)  # while it is being renamed
                if number == 0:
                    os.rename("x", "y")
                    os.rename("y", "x")
        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
    """
    with Disk(tmp_path) as disk:
        assert run(disk, code).returncode == 0
        assert disk.counts["rename"] == 2 * 300
        writers = [call.number for call in disk.calls if call.kind == "write"]
        changes = sum(a != b for a, b in pairwise(writers))
        assert changes > 8, "the threads took no turns: nothing was tested"


def test_processes_share_one_log_and_one_count(tmp_path: Path) -> None:
    code = """
        import os, subprocess, sys
        child = "import os, sys; fd = os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND)\\n" \\
            "for i in range(200): os.write(fd, sys.argv[1].encode())"
        command = [sys.executable, "-IS", "-c", child]
        children = [subprocess.Popen([*command, str(i)]) for i in range(3)]
        print([child.wait() for child in children])
    """
    with Disk(tmp_path) as disk:
        assert run(disk, code).stdout == "[0, 0, 0]\n"
        assert disk.counts["write"] == 600
        done = run(disk, code, fail=Fail("write", 450))
        assert (done.hits, sorted(json.loads(done.stdout))) == (1, [0, 0, 1])
        done = run(disk, code, kill=Kill("write", 450))  # the others go on
        assert (done.hits, sorted(json.loads(done.stdout))) == (1, [-signal.SIGKILL, 0, 0])


def test_what_the_log_does_not_see_is_an_error(tmp_path: Path) -> None:
    # numpy.save, ndarray.tofile and numpy.memmap write through stdio and mappings.
    code = "import numpy as np; np.arange(1000).tofile('array')"
    with Disk(tmp_path) as disk, pytest.raises(AssertionError, match=r"\['array'\]: changed by"):
        disk.run([sys.executable, "-c", code])


# ---- what a power loss may take

SAVE = """
import os

def flush(path):
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)

for number in range(3):
    with open("new", "w") as file:
        file.write(f"{number} " * 2000)
    STEPS
    print(number, flush=True)
"""


def check_value(crash: Crash) -> None:
    """The file holds one whole value, and none older than the last that was announced."""
    value, found = crash.folder / "value", -1
    if value.exists():
        words = value.read_text().split()
        assert len(words) == 2000, "torn"
        assert len({*words}) == 1, "mixed"
        found = int(words[0])
    assert found >= last_printed(crash), "lost"


def last_printed(crash: Crash) -> int:
    return max(map(int, crash.printed.split()), default=-1)


def crash_all(disk: Disk, check: Callable[[Crash], None]) -> None:
    for crash in disk.crashes(seed=0):
        check(crash)


def test_a_file_replaced_with_care_survives_every_power_loss(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk:
        steps = "flush('new'); os.replace('new', 'value'); flush('.')"
        assert run(disk, SAVE.replace("STEPS", steps)).stdout == "0\n1\n2\n"
        crash_all(disk, check_value)


@pytest.mark.parametrize(
    ("steps", "finding"),
    [
        ("os.replace('new', 'value'); flush('.')", "torn"),
        ("flush('new'); os.replace('new', 'value')", "lost"),
        ("os.replace('new', 'value'); flush('value'); flush('.')", "torn"),
    ],
    ids=["file not flushed", "folder not flushed", "renamed before the flush"],
)
def test_a_careless_program_is_caught(tmp_path: Path, steps: str, finding: str) -> None:
    with Disk(tmp_path) as disk:
        assert run(disk, SAVE.replace("STEPS", steps)).stdout == "0\n1\n2\n"
        with pytest.raises(AssertionError, match=finding):
            crash_all(disk, check_value)


def test_writes_are_lost_from_the_end_and_torn_where_512_bytes_end(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"a" * 300)
    code = """
        with open("file", "ab", buffering=0) as file:
            file.write(b"b" * 1000)
    """
    with Disk(tmp_path) as disk:
        run(disk, code)
        found = {(c.folder / "file").read_bytes() for s in range(30) for c in disk.crashes(s)}
    assert found == {b"a" * 300 + b"b" * kept for kept in (0, 212, 724, 1000)}


def test_to_flush_a_file_says_nothing_of_another_or_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "old").touch()
    code = """
        import os
        old, new, more = (open(name, "wb", 0) for name in ("old", "new", "more"))
        old.write(b"old"); new.write(b"new"); more.write(b"more")
        os.fsync(new)
    """
    with Disk(tmp_path) as disk:
        run(disk, code)
        left = {
            crash.folder.parent.name.split(", ")[1]: sorted(
                (p.name, p.read_bytes()) for p in crash.folder.iterdir()
            )
            for crash in disk.crashes(seed=0)  # the last ones are of the end
        }
    assert left["all lost"] == [("old", b"")]
    assert left["names lost"] == [("old", b"old")]
    assert left["contents lost"] == [("more", b""), ("new", b"new"), ("old", b"")]
    assert left["nothing lost"] == [("more", b"more"), ("new", b"new"), ("old", b"old")]


def test_a_rename_between_folders_is_kept_in_both_or_in_neither(tmp_path: Path) -> None:
    code = """
        import os
        os.mkdir("a"); os.mkdir("b"); open("a/x", "w").close()
        for folder in ("a", "."):
            os.fsync(os.open(folder, os.O_RDONLY))
        print("there", flush=True)
        os.rename("a/x", "b/x")
        open("b/y", "w").close()
    """
    with Disk(tmp_path) as disk:
        run(disk, code)
        found = set()
        for crash in (c for seed in range(3) for c in disk.crashes(seed) if c.printed):
            names = {p.relative_to(crash.folder).as_posix() for p in crash.folder.rglob("?/*")}
            found.add(tuple(sorted(names)))
    assert found == {("a/x",), ("b/x",), ("b/x", "b/y")}


def test_crashes_follow_from_the_seed(tmp_path: Path) -> None:
    def look(seed: int) -> list[tuple[str, dict[str, int]]]:
        return [
            (crash.folder.parent.name, {p.name: p.stat().st_size for p in crash.folder.iterdir()})
            for crash in disk.crashes(seed, count=20)
        ]

    with Disk(tmp_path) as disk:
        run(disk, SAVE.replace("STEPS", "os.replace('new', 'value')"))
        assert look(1) == look(1) != look(2)
        assert len(look(1)) == 20


# ---- SQLite: every commit is whole, and holds once it is announced

TRANSACTIONS = """
import sqlite3
db = sqlite3.connect("table.db", isolation_level=None)
db.execute("PRAGMA journal_mode=DELETE")
db.execute("PRAGMA synchronous=LEVEL")
db.execute("CREATE TABLE pairs (number, side, filler)")
for number in range(3):
    db.execute("BEGIN IMMEDIATE")
    for side in ("left", "right"):
        db.execute("INSERT INTO pairs VALUES (?, ?, ?)", (number, side, bytes(3000)))
    db.execute("UPDATE pairs SET filler = ?", (bytes([number]) * 3000,))
    db.execute("COMMIT")
    print(number, flush=True)
"""


def check_table(crash: Crash) -> None:
    db = sqlite3.connect(crash.folder / "table.db")
    try:
        db.execute("PRAGMA synchronous=OFF")
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)], "damaged"
        tables = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        rows = db.execute("SELECT number, side, filler FROM pairs").fetchall() if tables else []
    except sqlite3.DatabaseError as error:
        raise AssertionError("damaged") from error
    finally:
        db.close()
    last = len(rows) // 2 - 1
    whole = [(n, s, bytes([last]) * 3000) for n in range(last + 1) for s in ("left", "right")]
    assert rows == whole, "damaged"
    assert last >= last_printed(crash), "lost"


def test_sqlite_keeps_whole_transactions_through_every_power_loss(tmp_path: Path) -> None:
    with Disk(tmp_path) as disk:
        assert run(disk, TRANSACTIONS.replace("LEVEL", "EXTRA")).stdout == "0\n1\n2\n"
        crash_all(disk, check_table)


@pytest.mark.parametrize(("level", "finding"), [("OFF", "damaged|lost"), ("FULL", "lost")])
def test_sqlite_with_less_care_is_caught(tmp_path: Path, level: str, finding: str) -> None:
    # FULL does not flush the folder that the journal is removed from: SQLite's documentation of
    # synchronous=EXTRA says that a commit may then be rolled back by a power loss.
    with Disk(tmp_path) as disk:
        assert run(disk, TRANSACTIONS.replace("LEVEL", level)).stdout == "0\n1\n2\n"
        with pytest.raises(AssertionError, match=finding):
            crash_all(disk, check_table)


# ---- calls that fail, and calls that are the last

CARE = SAVE.replace("STEPS", "flush('new'); os.replace('new', 'value'); flush('.')")


@pytest.mark.parametrize("always", [False, True], ids=["once", "from then on"])
def test_a_loop_over_n_reaches_every_call(tmp_path: Path, always: bool) -> None:
    for n in range(1, 1000):
        folder = tmp_path / str(n)
        folder.mkdir()
        with Disk(folder) as disk:
            done = run(disk, CARE, fail=Fail("any", n, errno.EIO, always))
            failed = [call for call in disk.calls if call.error]
            assert [call.error for call in failed] == [errno.EIO] * done.hits
            if not done.hits:
                break
            assert "OSError: [Errno 5]" in done.stderr
            check_value(Crash(folder, done.stdout))
    assert n == disk.counts["any"] + 1 == 3 * 8 + 1
    assert done.stdout == "0\n1\n2\n"


def test_a_disk_fills_up_with_a_short_write(tmp_path: Path) -> None:
    code = """
        import os
        fd = os.open("file", os.O_CREAT | os.O_WRONLY)
        print(os.write(fd, bytes(1000)), os.write(fd, bytes(1000)))
        try: os.write(fd, bytes(500))
        except OSError as error: print(error.errno)
        os.unlink("file")  # a full disk still removes
    """
    with Disk(tmp_path) as disk:
        done = run(disk, code, fail=Fail("write", 2, errno.ENOSPC, always=True))
    assert done.stdout == f"1000 500\n{errno.ENOSPC}\n"
    assert list(tmp_path.iterdir()) == []


STEPS = """
import os
for name in "abc":
    fd = os.open("new", os.O_CREAT | os.O_WRONLY)
    os.write(fd, b"12345678")
    os.fsync(fd)
    os.rename("new", name)
    os.unlink(name)
"""


@pytest.mark.parametrize(
    ("kill", "left"),
    [
        (Kill("write", 2), {"new": b""}),
        (Kill("write", 2, "half"), {"new": b"1234"}),
        (Kill("write", 2, "after"), {"new": b"12345678"}),
        (Kill("fsync", 2), {"new": b"12345678"}),
        (Kill("rename", 2), {"new": b"12345678"}),
        (Kill("rename", 2, "after"), {"b": b"12345678"}),
        (Kill("unlink", 2), {"b": b"12345678"}),
        (Kill("unlink", 2, "after"), {}),
        (Kill("any", 6), {}),
    ],
    ids=lambda value: f"{value.kind} {value.n} {value.moment}" if isinstance(value, Kill) else "",
)
def test_a_child_is_killed_at_the_nth_call(
    tmp_path: Path, kill: Kill, left: dict[str, bytes]
) -> None:
    with Disk(tmp_path) as disk:
        done = run(disk, STEPS, kill=kill)
    assert (done.returncode, done.hits) == (-signal.SIGKILL, 1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == left
