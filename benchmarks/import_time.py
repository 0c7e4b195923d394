"""What `import silverprint` costs beyond numpy, in fresh processes, and what it must not import."""

from __future__ import annotations

import json
import subprocess
import sys

import common
from common import say, spread, table

HEAVY = ("PIL", "coremltools", "onnx", "onnxruntime", "pandas", "rich", "scipy", "typer")
_CHILD = """
import json, sys, time
import numpy
before, begin = set(sys.modules), time.perf_counter()
import silverprint
seconds = time.perf_counter() - begin
print(json.dumps([seconds, sorted(set(sys.modules) - before)]))
"""


def main() -> None:
    parser = common.arguments(__doc__)
    parser.add_argument("--processes", type=int, default=15)
    args = common.start(parser)
    milliseconds: list[float] = []
    modules: set[str] = set()
    for _ in range(3 if args.quick else args.processes):
        answer = subprocess.run(
            [sys.executable, "-c", _CHILD], check=True, capture_output=True, text=True
        )
        seconds, imported = json.loads(answer.stdout)
        milliseconds.append(1000 * seconds)
        modules.update(imported)
    heavy = sorted(modules & set(HEAVY))
    say("## Import\n")
    rows = [(spread(milliseconds, 1, " ms"), len(modules), ", ".join(heavy) or "none")]
    header = ["`import silverprint` beyond numpy", "modules", f"of {', '.join(HEAVY)}"]
    say(table(header, rows))
    if heavy:
        raise SystemExit(f"import silverprint imports {', '.join(heavy)}")


if __name__ == "__main__":
    main()
