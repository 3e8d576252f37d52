"""Which process works on what, and whether it is still there, on this machine or another."""

from __future__ import annotations

import socket
import time
from pathlib import Path

SILENCE, UNSIGNED = 600.0, 60.0  # seconds without a sign of life until a worker is taken for dead: one elsewhere, one that never said who it was


def name(pid: int) -> str:
    """The process ``pid`` of this machine as ``host:pid:began``, so that a later one with the same number is another."""
    return f"{socket.gethostname()}:{pid}:{_began(pid)}"


def _began(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def alive(worker: str, heard: float) -> bool:
    """Whether a worker (see :func:`name`) is at work still: here its process is looked for, elsewhere it must have been ``heard`` of.

    ``heard``: seconds since the epoch, by the clock of the worker's machine.
    """
    if not worker:  # it died before it could say who it was
        return time.time() - heard < UNSIGNED
    host, _, rest = worker.partition(":")
    if host != socket.gethostname():
        return time.time() - heard < SILENCE
    pid, _, began = rest.partition(":")
    return pid.isdecimal() and bool(began) and _began(int(pid)) == began
