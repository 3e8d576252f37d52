"""Names of worker processes, and whether such a worker is still running, here or elsewhere."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path

import psutil

SILENCE_SECONDS = 600.0
"""A worker on another machine counts as dead after this long without a heartbeat."""
UNNAMED_SECONDS = 60.0
"""A worker that never stored its name counts as dead after this long."""
_BIRTH_TOLERANCE = 2  # seconds; the clock may be adjusted between two readings


def process_name(pid: int) -> str:
    """The name ``host:pid:birth`` of a process of this machine; ``birth`` is empty if it is gone.

    The birth, in clock ticks since the machine started, tells the process from a later one with
    the same number.
    """
    return f"{_host()}:{pid}:{_birth(pid)}"


def is_alive(worker: str, heartbeat: float) -> bool:
    """Whether a worker is still running.

    On this machine its process is looked up; elsewhere its last heartbeat decides.

    Parameters
    ----------
    worker
        Name of the worker (:func:`process_name`), empty if it died before it stored one.
    heartbeat
        Time of its last heartbeat, in seconds since 1970 by the clock of its machine.
    """
    silence = time.time() - heartbeat
    if not worker:
        return silence < UNNAMED_SECONDS
    host, _, process = worker.partition(":")
    if host != _host():
        return silence < SILENCE_SECONDS
    pid, _, stored_birth = process.partition(":")
    # The birth is empty if the process was gone when its name was stored.
    if not (pid.isdecimal() and stored_birth.isdecimal()):
        return False
    birth = _birth(int(pid))
    tolerance = _BIRTH_TOLERANCE * os.sysconf("SC_CLK_TCK")
    return bool(birth) and abs(int(birth) - int(stored_birth)) <= tolerance


def _host() -> str:
    """The host name and a hash of what makes process numbers unique: the boot and the container.

    A container has process numbers of its own, even where it shares the machine's host name.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return socket.gethostname()
    identity = hashlib.sha256(f"{boot} {namespace}".encode()).hexdigest()[:8]
    return f"{socket.gethostname()}/{identity}"


def _birth(pid: int) -> str:
    """Clock ticks from the start of the machine to that of the process; "" if there is none."""
    try:
        seconds = psutil.Process(pid).create_time() - psutil.boot_time()
    except psutil.Error:
        return ""
    return str(round(seconds * os.sysconf("SC_CLK_TCK")))
