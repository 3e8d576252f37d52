"""One process at a time asks a question: a second one waits for the answers of the first."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from filelock import FileLock, Timeout

from project.support.files import write_atomically

_LOCK = "asking.lock"
_OWNER = "asking.json"
_FIRST_PAUSE = 0.2  # seconds between two looks at a claim; doubled up to the longest one
_LONGEST_PAUSE = 5.0


class Claim:
    """The right to ask one question. It ends with the process that holds it, however that ends."""

    def __init__(self, folder: Path) -> None:
        """``folder``: the folder of the question's answers; made by :meth:`take`."""
        self._folder = folder
        # Threads of this process take and give back the claim for one another.
        self._lock = FileLock(folder / _LOCK, thread_local=False)

    def take(self) -> bool:
        """Take the claim if no process holds it; returns whether this one holds it now."""
        self._folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            return False
        except OSError:
            # A file system that knows no locks. Two processes may then pay for the same answers,
            # but no answer is lost.
            return True
        owner = {"process": os.getpid(), "host": socket.gethostname()}
        write_atomically(self._folder / _OWNER, json.dumps(owner).encode())
        return True

    def give_back(self) -> None:
        """Let other processes ask."""
        if self._lock.is_locked:
            self._lock.release()

    def wait(self, is_answered: Callable[[], bool]) -> bool:
        """Wait for the claim; returns whether this process holds it.

        It returns without the claim as soon as ``is_answered()``: then nothing is left to ask.
        """
        pause = _FIRST_PAUSE
        while not self.take():
            if is_answered():
                return False
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return True

    @property
    def owner(self) -> str:
        """The process that holds the claim, for a message."""
        try:
            owner = json.loads((self._folder / _OWNER).read_text(encoding="utf-8"))
            return f"process {owner['process']} on {owner['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"
