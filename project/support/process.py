"""Which process works on what, and whether it is still there, on this machine or another."""

from __future__ import annotations

import hashlib
import socket
import time
from pathlib import Path

SILENCE, UNSIGNED = (
    600.0,
    60.0,
)  # seconds without a sign of life until a worker is taken for dead: one elsewhere, one that never said who it was


def _here() -> str:
    """The machine, and which numbers of processes count here: a container has its own, though its name may be the machine's."""
    try:
        boot, space = (
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip(),
            Path("/proc/self/ns/pid").readlink(),
        )
    except OSError:
        return socket.gethostname()
    return f"{socket.gethostname()}/{hashlib.sha256(f'{boot} {space}'.encode()).hexdigest()[:8]}"


def process_name(pid: int) -> str:
    """The process ``pid`` of this machine as ``host:pid:began``, so that a later one with the same number is another."""
    return f"{_here()}:{pid}:{_began(pid)}"


def _began(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return ""


def is_alive(worker: str, heard: float) -> bool:
    """Whether a worker (see :func:`process_name`) is at work still: here its process is looked for, elsewhere it must have been ``heard`` of.

    ``heard``: seconds since the epoch, by the clock of the worker's machine.
    """
    if not worker:  # it died before it could say who it was
        return time.time() - heard < UNSIGNED
    host, _, rest = worker.partition(":")
    if host != _here():
        return time.time() - heard < SILENCE
    pid, _, began = rest.partition(":")
    return pid.isdecimal() and bool(began) and _began(int(pid)) == began
