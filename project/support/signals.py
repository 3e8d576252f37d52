"""Ctrl-C and SIGTERM that wait until a write to the tracking store is complete."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class Signals:
    """Delays Ctrl-C and SIGTERM during a write.

    A write that breaks off leaves an open transaction, and a SQLite store stays locked when the
    end of the run is to be logged. A second signal is not delayed.

    ``terminated`` is true once a SIGTERM has come since ``install``.
    """

    def __init__(self) -> None:
        """Start without handlers; call ``install`` to set them."""
        self.terminated = False
        self._received = False
        self._n_writes = 0  # that are open; a write may contain another one
        self._delayed = 0  # number of the signal that waits for their end, 0 for none
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Set the handlers of both signals. Python allows it in the main thread only."""
        self.terminated = False
        self._received = False
        self._delayed = 0
        self._previous = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def received(self) -> bool:
        """Whether a signal has come since ``install``, so that the user waits for the end."""
        return self._received

    def restore(self) -> None:
        """Set the handlers back to those before ``install``."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A context (or decorator) of a write, at whose end a delayed signal is raised."""
        self._n_writes += 1
        try:
            yield
        finally:
            self._n_writes -= 1
            if self._delayed and not self._n_writes:
                self._handle(self._delayed, None)

    def _handle(self, number: int, frame: object) -> None:
        """Raise KeyboardInterrupt or SystemExit(128 + number), now or when the write ends."""
        del frame
        self._received = True
        if number == signal.SIGTERM:
            self.terminated = True
        if self._n_writes and not self._delayed:
            self._delayed = number
            return
        self._delayed = 0
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)  # the exit code of a shell for a process that a signal ended
