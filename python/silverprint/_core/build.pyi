"""
What was compiled in and what this machine offers.
"""

from __future__ import annotations

__all__: list[str] = ["active_isa", "available_isas", "compiler", "threads", "version"]

def active_isa() -> str:
    """
    The instruction set in use: the strongest, or the one SILVERPRINT_ISA names.
    """

def available_isas() -> list[str]:
    """
    Instruction sets compiled in that this machine can run, weakest first.
    """

def threads() -> int:
    """
    Threads of the core's pool: SILVERPRINT_THREADS, or as many as this process may run.
    """

compiler: str = "GCC 12.2.0"
version: str = "0.1.0"
