"""What the benchmarks share: arguments, pinned threads, interleaved timing, tables."""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_THREAD_VARIABLES = (
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "SILVERPRINT_THREADS",
)
_REPOSITORY = Path(__file__).resolve().parent.parent


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: does it run at all")
    parser.add_argument("--threads", type=int, default=2, help="threads of either side")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(os.environ.get("SILVERPRINT_TEST_DATA", _REPOSITORY.parent / "shared/data")),
        help="pictures and backbones; default: SILVERPRINT_TEST_DATA",
    )
    parser.add_argument(
        "--work",
        type=Path,
        help="keep made photos and features here, for the next run too",
    )
    return parser


def start(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse, and pin threads: libraries read these variables once, so the process starts anew."""
    args = parser.parse_args()
    if not args.data.is_dir():
        parser.error(f"no data at {args.data}: set SILVERPRINT_TEST_DATA or pass --data")
    wanted = {name: str(args.threads) for name in _THREAD_VARIABLES}
    if any(os.environ.get(name) != value for name, value in wanted.items()):
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: args.threads])
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | wanted)
    return args


@contextlib.contextmanager
def work_folder(args: argparse.Namespace) -> Iterator[Path]:
    """The folder of --work, or a temporary one."""
    if args.work is not None:
        args.work.mkdir(parents=True, exist_ok=True)
        yield args.work
        return
    with tempfile.TemporaryDirectory(prefix="silverprint-benchmark-") as folder:
        yield Path(folder)


def interleaved(
    functions: Mapping[str, Callable[[], object]], rounds: int
) -> dict[str, list[float]]:
    """Wall seconds of each function in each round, run A B A B."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for _ in range(rounds):
        for name, function in functions.items():
            seconds[name].append(timed(function))
    return seconds


def timed(function: Callable[[], object]) -> float:
    """Wall seconds of one call."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def spread(values: Sequence[float], digits: int = 2, unit: str = "") -> str:
    """Median, with lowest and highest."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{middle:.{digits}f}{unit} ({low:.{digits}f}–{high:.{digits}f})"


def ratios(ours: Sequence[float], rival: Sequence[float]) -> list[float]:
    """How many times faster ours was, pair by pair."""
    return [b / a for a, b in zip(ours, rival, strict=True)]


def say(text: str = "") -> None:
    """A line of the report (Markdown, standard output)."""
    print(text, flush=True)


def note(text: str) -> None:
    """A line about what is going on (standard error)."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table, the first column to the left and the others to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines) + "\n"


def reset_peak_memory() -> None:
    """Let `peak_memory` count from here (Linux; elsewhere from the start of the process)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> float:
    """Largest resident memory since `reset_peak_memory`, in MB; NaN where it is not known."""
    return _memory("VmHWM")


def resident_memory() -> float:
    """Resident memory now, in MB; NaN where it is not known."""
    return _memory("VmRSS")


def _memory(field: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return float("nan")
