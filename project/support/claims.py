"""One process at a time does a piece of work: a second one waits for the result of the first."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from project.support.files import write_atomically

_FIRST_PAUSE = 0.2  # seconds between two looks at a claim; doubled up to the longest one
_LONGEST_PAUSE = 5.0


class Claim:
    """The right to do some work. It ends with the process that holds it, however that ends."""

    def __init__(self, path: Path) -> None:
        """``path``: the file of the lock, ending in ``.lock``; made by :meth:`take`."""
        self._path = path
        # Threads of this process take and give back the claim for one another.
        self._lock = FileLock(path, thread_local=False)

    def take(self) -> bool:
        """Take the claim if no process holds it; returns whether this one holds it now."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # With the rights of all other files, so that users who share a workspace can lock it.
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666))
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError:
            # A file system that knows no locks, or is read-only. Two processes may then do the same
            # work, so neither may delete what the other has done: see is_exclusive.
            return True
        owner = {"process": os.getpid(), "host": socket.gethostname()}
        write_atomically(self._path.with_suffix(".json"), json.dumps(owner).encode())
        return True

    @property
    def is_exclusive(self) -> bool:
        """Whether no other process can hold the claim now: it is taken, and locks work here."""
        return bool(self._lock.is_locked)

    def close(self) -> None:
        """Give the claim back: other processes may do the work."""
        if self._lock.is_locked:
            self._lock.release()

    def wait(self, is_done: Callable[[], bool]) -> bool:
        """Wait for the claim; returns whether this process holds it.

        It returns without the claim as soon as ``is_done()``: then nothing is left to do.
        """
        pause = _FIRST_PAUSE
        while not self.take():
            if is_done():
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    @property
    def owner(self) -> str:
        """The process that holds the claim, for a message."""
        try:
            owner = json.loads(self._path.with_suffix(".json").read_text(encoding="utf-8"))
            return f"process {owner['process']} on {owner['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
