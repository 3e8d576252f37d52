"""Ctrl-C and SIGTERM while results are written."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Any


class Signals:
    """Keeps Ctrl-C and SIGTERM out of the middle of a write, whose open transaction would lock a SQLite store against what is still to be said.

    A signal waits for the end of the write; a second one does not. ``terminated``: a SIGTERM has come since ``install``.
    """

    def __init__(self) -> None:
        """Nothing is installed yet."""
        self.terminated, self._came = False, False
        self._writes, self._pending = 0, 0
        self._before: dict[int, Any] = {}

    def install(self) -> None:
        """Take over both signals; of the main thread alone."""
        self.terminated, self._pending, self._came = False, 0, False
        self._before = {
            number: signal.signal(number, self._handle)
            for number in (signal.SIGINT, signal.SIGTERM)
        }

    def received(self) -> bool:
        """Whether one has come since ``install``: somebody waits for the end."""
        return self._came

    def restore(self) -> None:
        """Give them back to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: object) -> None:
        """Raise KeyboardInterrupt, or SystemExit with 128 + ``number``, now or at the end of the write."""
        del frame
        self._came = True
        self.terminated |= number == signal.SIGTERM
        if self._writes and not self._pending:
            self._pending = number
            return
        self._pending = 0
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """A write; also a decorator of one."""
        self._writes += 1
        try:
            yield
        finally:
            self._writes -= 1
            if self._pending and not self._writes:
                self._handle(self._pending, None)
