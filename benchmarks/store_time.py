"""How long a process communicates with the tracking store."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil


class StoreTime:
    """Seconds during which something is written for the store, sent to it or read from it.

    Attributes
    ----------
    seconds
        All of these seconds. Calls of several threads at a time count once.
    idle
        The seconds among them in which no core trained a model. What the training processes
        compute meanwhile is subtracted, in seconds of the whole machine.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.idle = 0.0
        self._lock = threading.Lock()
        self._n_calls = 0
        self._began = 0.0
        self._trained = dict[psutil.Process, float]()

    def timed(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, whose calls are counted."""

        def call(*arguments: Any, **options: Any) -> Any:
            with self._lock:
                self._n_calls += 1
                if self._n_calls == 1:
                    self._begin()
            try:
                return function(*arguments, **options)
            finally:
                with self._lock:
                    self._n_calls -= 1
                    if not self._n_calls:
                        self._end()

        return call

    def _begin(self) -> None:
        self._trained = {process: _cpu_seconds(process) for process in _training_processes()}
        self._began = time.perf_counter()

    def _end(self) -> None:
        seconds = time.perf_counter() - self._began
        trained = sum(
            max(0.0, _cpu_seconds(process) - before) for process, before in self._trained.items()
        )
        self.seconds += seconds
        self.idle += seconds - min(seconds, trained / len(os.sched_getaffinity(0)))


def _training_processes() -> list[psutil.Process]:
    """All children of this process but the tracking server, which has a session of its own."""
    processes = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(ProcessLookupError):
            if os.getsid(process.pid) == os.getsid(0):
                processes.append(process)
    return processes


def _cpu_seconds(process: psutil.Process) -> float:
    """Seconds that a process has computed on a core so far; 0 if it has ended."""
    with contextlib.suppress(psutil.Error):
        return float(sum(process.cpu_times()[:2]))
    return 0.0
