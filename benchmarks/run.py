"""Run the benchmarks, each in a process of its own, and print one Markdown report.

python benchmarks/run.py                      all of them
python benchmarks/run.py --quick              does everything run
python benchmarks/run.py --output two-cores   also into benchmarks/results/<date>-two-cores.md
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import common
from common import note, say, table

_HERE = Path(__file__).resolve().parent
BENCHMARKS = (
    "extraction",
    "logistic_regression",
    "accuracy",
    "prints",
    "perceptron",
    "augmentation",
    "calibration",
    "sessions",
    "embedding",
    "annotations",
    "detector_step",
    "detector",
    "import_time",
)
_PACKAGES = ("silverprint", "numpy", "pillow", "onnxruntime", "scikit-learn", "scipy", "torch")


def main() -> None:
    parser = common.arguments(__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--output", metavar="NAME", type=_name, help="see above")
    args = common.start(parser)
    report = [f"# Benchmarks, {datetime.date.today().isoformat()}\n", machine(args.threads)]
    say("\n".join(report))
    failed = []
    with tempfile.TemporaryDirectory(prefix="silverprint-benchmark-") as temporary:
        for name in args.only:
            note(f"{name} begins; load of the machine {_load()}")
            script = _HERE / name
            command = [sys.executable, str(script if script.is_dir() else f"{script}.py")]
            command += ["--threads", str(args.threads), "--data", str(args.data)]
            command += ["--work", str(args.work or temporary)]
            command += ["--quick"] if args.quick else []
            text, status = run(command)
            report.append(text)
            if status != 0:
                failed.append(name)
                report.append(f"**{name} ended with status {status}.**\n")
    if args.output is not None:
        folder = _HERE / "results"
        folder.mkdir(exist_ok=True)
        file = folder / f"{datetime.date.today().isoformat()}-{args.output}.md"
        file.write_text("\n".join(report), encoding="utf-8")
        note(f"written: {file}")
    if failed:
        raise SystemExit(f"not in order: {', '.join(failed)}")


def run(command: list[str]) -> tuple[str, int]:
    """What a benchmark prints, passed on as it comes, and its exit status."""
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line)
            print(line, end="", flush=True)
    return "".join(lines), process.returncode


def machine(threads: int) -> str:
    """Facts that figures depend on; nothing that names the machine."""
    from silverprint import _core

    build = _core.build
    rows = [
        ("processor", _processor()),
        (
            "cores this process may use",
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        ),
        ("threads given to either side", threads),
        ("instruction set", f"{build.active_isa()} of {', '.join(build.available_isas())}"),
        ("load before the start (1 minute)", _load()),
        ("system", f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"),
        ("core compiled with", build.compiler),
    ]
    rows += [(name, _version(name)) for name in _PACKAGES]
    return table(["machine", ""], rows)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or "unknown"
    found = re.search(r"^model name\s*: (.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _load() -> str:
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        from silverprint import _core

        return f"{_core.build.version} (not installed)" if name == "silverprint" else "absent"


def _name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", text):
        raise argparse.ArgumentTypeError("lower-case letters, digits and hyphens")
    return text


if __name__ == "__main__":
    main()
