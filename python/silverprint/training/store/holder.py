"""Who works on a session: what names a process, and whether it still runs."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

RENEWAL = 15.0
"""Seconds between the signs of life of a holder."""

EXPIRY = 90.0
"""Seconds without one after which a holder that cannot be asked counts as gone."""


at_work: set[str] = set()
"""Tokens of the jobs of this process that write to sessions."""


@dataclass(frozen=True)
class Holder:
    """One job that writes to a session.

    Attributes:
        token: of this job alone.
        host, machine, boot, processes: the machine, its present start, and its process namespace.
        pid, started: the process; `started` tells it from a later one of the same number.
        program, user: for messages.
        renewed: seconds since 1970 of the last sign of life.
    """

    token: str
    host: str
    machine: str
    boot: str
    processes: str
    pid: int
    started: str
    program: str
    user: str
    renewed: float

    @classmethod
    def of_this_process(cls) -> Holder:
        """A new holder, for a job of this process."""
        return cls(
            token=secrets.token_hex(16),
            host=socket.gethostname(),
            machine=_text("/etc/machine-id"),
            boot=_text("/proc/sys/kernel/random/boot_id"),
            processes=_link("/proc/self/ns/pid"),
            pid=os.getpid(),
            started=_start_of(os.getpid()) or "",
            program=Path(sys.argv[0] if sys.argv else "").name,
            user=_user(),
            renewed=time.time(),
        )

    @property
    def is_alive(self) -> bool:
        """Whether the process still runs; where it cannot be asked, whether it did lately.

        This process knows its jobs. Another of this boot of this machine is looked up. One of an
        earlier boot is gone. One of another host, container or system without ``/proc`` counts as
        alive for `EXPIRY` seconds.
        """
        here = Holder.of_this_process()
        if self._process == here._process:
            return self.token in at_work
        if self.boot and self.boot == here.boot and self.processes == here.processes:
            return _start_of(self.pid) == self.started
        if self.boot and (self.host, self.machine) == (here.host, here.machine) != ("", ""):
            same_boot = self.boot == here.boot
            if not same_boot:
                return False
        return time.time() - self.renewed < EXPIRY

    @property
    def _process(self) -> tuple[object, ...]:
        return self.host, self.machine, self.boot, self.processes, self.pid, self.started

    def __str__(self) -> str:
        where = "this machine" if self.host == socket.gethostname() else f"host {self.host}"
        what = f"process {self.pid} ({self.program or 'python'}, user {self.user}) on {where}"
        seen = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(self.renewed))
        return f"{what}, last seen {seen} UTC"

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def _start_of(pid: int) -> str | None:
    """When a process started, in ticks since the boot; None where it is gone, or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _link(path: str) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no entry for this user, as in some containers
        return str(os.getuid()) if hasattr(os, "getuid") else ""
