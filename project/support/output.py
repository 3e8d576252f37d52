"""Standard output and standard error that nobody may read to the end."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


@contextlib.contextmanager
def unread_output() -> Iterator[None]:
    """Within the context, work goes on where nobody reads its output any more, as behind ``head``.

    Raises OSError with the name of the stream where it cannot be written, as on a full disk.
    """
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = map(_Stream.around, streams, ("standard output", "standard error"))
    try:
        yield
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
    finally:
        sys.stdout, sys.stderr = streams


class _Stream:
    """A stream that throws away what can no longer be written."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name

    @staticmethod
    def around(stream: TextIO | None, name: str) -> Any:
        """The stream with this behaviour; None where a process was started without it."""
        return None if stream is None else _Stream(stream, name)

    def __getattr__(self, name: str) -> Any:
        """Everything else is the stream's own."""
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text``, or throw it away."""
        with self._mended():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what waits, or throw it away."""
        with self._mended():
            self._stream.flush()

    @contextlib.contextmanager
    def _mended(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is left in the buffer would be written again, and complained about, at the exit.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            if not isinstance(error, BrokenPipeError):
                raise OSError(error.errno, error.strerror, self._name) from None
