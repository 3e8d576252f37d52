"""What a person sees in a terminal or a log: single lines, and progress with an ETA."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from project.support.escape import escape_terminal
from project.support.redact import scrubbed

_SECONDS_BETWEEN_LOG_LINES = 20


class Progress:
    """A progress bar with an ETA: redrawn in a terminal, a new line every 20 s in a log.

    Call it with the number of steps that are finished.
    """

    def __init__(self, title: str, total: int, unit: str) -> None:
        """``total``: number of steps; ``unit``: what a step is, in the plural."""
        from tqdm import tqdm  # not needed for --help

        self._terminal = sys.stderr.isatty()
        # A log gets whole lines from __call__; the bar's own redrawing is thrown away.
        sink = sys.stderr if self._terminal else Path(os.devnull).open("w")  # noqa: SIM115
        self._sink = sink
        self._bar: Any = tqdm(
            total=total,
            desc=title,
            unit=f" {unit}",
            file=sink,
            mininterval=0.5 if self._terminal else _SECONDS_BETWEEN_LOG_LINES,
            dynamic_ncols=self._terminal,
        )
        self._last_line = time.monotonic()
        self._total = total

    def __call__(self, n_steps: int) -> None:
        """Count ``n_steps`` more as finished."""
        self._bar.update(n_steps)
        if self._terminal:
            return
        is_due = time.monotonic() - self._last_line > _SECONDS_BETWEEN_LOG_LINES
        if is_due or self._bar.n >= self._total:
            self._last_line = time.monotonic()
            print(str(self._bar), file=sys.stderr, flush=True)

    def expect(self, n_steps: int) -> None:
        """Expect at least ``n_steps`` in all, where more are needed than it was thought."""
        self._total = max(self._total, n_steps)
        self._bar.total = self._total

    def print_line(self, text: str) -> None:
        """Print one line above the bar."""
        self._bar.clear()
        print_line(text)
        self._bar.refresh()

    def __enter__(self) -> Progress:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the bar."""
        self._bar.close()
        if not self._terminal:
            self._sink.close()


def print_line(text: str) -> None:
    """Print one line to standard error, without secrets and control characters."""
    print(escape_terminal(scrubbed(text)), file=sys.stderr, flush=True)
