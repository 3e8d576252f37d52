"""Ctrl-C and SIGTERM that wait until a write to the tracking store is complete."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class Signals:
    """Delays Ctrl-C and SIGTERM during a write.

    A write that breaks off leaves an open transaction, which locks a SQLite store for the final
    messages of a run. A second signal is not delayed.

    ``terminated`` is true once a SIGTERM has come since ``install``.
    """

    def __init__(self) -> None:
        """Start without handlers; call ``install`` to set them."""
        self.terminated = False
        self._received = False
        self._writes = 0
        self._pending = 0
        self._previous: dict[int, Any] = {}

    def install(self) -> None:
        """Set the handlers of both signals. Python allows it in the main thread only."""
        self.terminated = False
        self._received = False
        self._pending = 0
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
        """A context (or decorator) of a write, at whose end a waiting signal is raised."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1
            if self._pending and not self._writes:
                self._handle(self._pending, None)

    def _handle(self, number: int, frame: object) -> None:
        """Raise KeyboardInterrupt or SystemExit(128 + number), now or when the write ends."""
        del frame
        self._received = True
        self.terminated |= number == signal.SIGTERM
        if self._writes and not self._pending:
            self._pending = number
            return
        self._pending = 0
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)
