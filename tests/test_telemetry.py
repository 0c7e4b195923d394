"""Nothing is written, looked up or kept running that the user has not asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support import graphs
from support.children import run_python, shared_object

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc and LD_PRELOAD")

REPORT = """
    import os, time
    # The system may need a moment to end a thread that Python has joined.
    deadline = time.monotonic() + 2
    while (threads := len(os.listdir("/proc/self/task"))) > 1 and time.monotonic() < deadline:
        os.sched_yield()
    files = []
    for number in os.listdir("/proc/self/fd"):
        try:
            files.append(os.readlink(f"/proc/self/fd/{number}"))
        except OSError:  # the one that listdir itself had open
            pass
    print(threads)
    print(sum(name.startswith("socket:") for name in files))
"""
EXTRACT = """
    import numpy as np
    from silverprint.features.prints import ScenePrint
    pictures = [np.full((20, 30, 3), level, np.uint8) for level in range(8)]
    assert ScenePrint().extract(pictures, threads=2).shape[0] == 8
"""
STOCK = """
    import sys
    import onnxruntime
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
"""
# Records every call that could reach the network, then makes it.
SHIM = r"""
    #include <dlfcn.h>
    #include <netdb.h>
    #include <stdio.h>
    #include <stdlib.h>
    #include <sys/socket.h>
    static void record(const char* name) {
      if (FILE* log = fopen(getenv("CALLS"), "a")) {
        fprintf(log, "%s\n", name);
        fclose(log);
      }
    }
    #define NEXT(name) (record(#name), reinterpret_cast<decltype(&name)>(dlsym(RTLD_NEXT, #name)))
    extern "C" int getaddrinfo(const char* host, const char* service, const addrinfo* hints,
                               addrinfo** found) {
      return NEXT(getaddrinfo)(host, service, hints, found);
    }
    extern "C" int socket(int domain, int type, int protocol) throw() {
      return NEXT(socket)(domain, type, protocol);
    }
    extern "C" int connect(int socket, const sockaddr* address, socklen_t size) {
      return NEXT(connect)(socket, address, size);
    }
"""


def in_empty_home(
    folder: Path, code: str, *arguments: object, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `code` for a user whose home is empty and who never heard of telemetry."""
    home = folder / "home"
    home.mkdir()
    variables = {
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "share"),
        "PYTHONDONTWRITEBYTECODE": "1",
        # So that every thread but the first is one of the runtime's.
        "SILVERPRINT_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }
    without = ("ORT_DISABLE_TELEMETRY", "SILVERPRINT_RUNTIME")
    return run_python(code, *arguments, env=variables | (env or {}), without=without)


def written(folder: Path) -> list[str]:
    home = folder / "home"
    return sorted(str(path.relative_to(home)) for path in home.rglob("*"))


def test_extracting_writes_nothing_and_leaves_no_thread_or_socket(tmp_path: Path) -> None:
    threads, sockets = in_empty_home(tmp_path, EXTRACT + REPORT).stdout.split()
    assert (threads, sockets) == ("1", "0")
    assert written(tmp_path) == []


def test_it_stays_off_where_the_environment_asks_for_it(tmp_path: Path) -> None:
    env = {"ORT_DISABLE_TELEMETRY": "0"}
    done = in_empty_home(tmp_path, EXTRACT + REPORT, env=env)
    assert done.stdout.split() == ["1", "0"]
    assert written(tmp_path) == []


def test_extracting_calls_nothing_of_the_network(tmp_path: Path) -> None:
    shim, calls = shared_object(tmp_path, "shim", SHIM), tmp_path / "calls"
    env = {"LD_PRELOAD": str(shim), "CALLS": str(calls)}
    in_empty_home(tmp_path, EXTRACT, env=env)
    assert not calls.exists(), calls.read_text()


def test_the_shim_sees_calls(tmp_path: Path) -> None:
    shim, calls = shared_object(tmp_path, "shim", SHIM), tmp_path / "calls"
    code = """
        import socket
        socket.getaddrinfo("127.0.0.1", 9, type=socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as here:
            here.connect(("127.0.0.1", 9))
    """
    in_empty_home(tmp_path, code, env={"LD_PRELOAD": str(shim), "CALLS": str(calls)})
    assert set(calls.read_text().split()) == {"getaddrinfo", "socket", "connect"}


def test_the_stock_runtime_does_write(tmp_path: Path) -> None:
    # What the tests above would see if telemetry were on.
    model = graphs.saved(graphs.backbone(), tmp_path / "model.onnx")
    threads, _ = in_empty_home(tmp_path, STOCK + REPORT, model).stdout.split()
    if not written(tmp_path):
        pytest.skip("the installed ONNX Runtime has no telemetry on this system")
    assert any("onnxruntime" in path for path in written(tmp_path))
    assert int(threads) > 1
