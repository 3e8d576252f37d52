"""The way of a root run's entries from the spool to the store, which may be away."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from project.support.escape import escape_terminal
from project.support.redact import scrubbed
from project.support.signals import Signals
from project.tracking.delivery import send, send_all
from project.tracking.entries import Entry, RootRun
from project.tracking.failures import StoreUnavailable, address, store_errors
from project.tracking.names import UNSENT
from project.tracking.spool import FILES, Spool

_RETRY_AFTER = 30.0  # seconds until a store that is away is tried again
# Seconds between the tries at the end of a run, when there is nothing else left to do
_LAST_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)

signals = Signals()
"""Delays Ctrl-C and SIGTERM to the end of each write; installed by :mod:`project.tracking.root`."""


class Outbox:
    """Sends the entries of one root run; what fails stays in the spool and is tried again.

    A store that is away stops no computation: after a failure it is left alone for half a minute,
    so that each result does not wait for a timeout of its own.
    """

    def __init__(self, root: RootRun, spool: Spool | None) -> None:
        """Without a spool, a store that fails raises StoreUnavailable at once."""
        self.root = root
        self.spool = spool
        self._retry_at = 0.0
        self._away = False

    def store_is_away(self) -> bool:
        """Whether the store failed less than half a minute ago and should be left alone."""
        return time.monotonic() < self._retry_at

    def put(self, entry: Entry, files: Mapping[str, Path] | None = None) -> str:
        """Keep an entry on disk, then send all that is pending.

        Returns the id of the run that the entry belongs to; a placeholder while it is unsent.
        """
        if self.spool is None:
            with tempfile.TemporaryDirectory() as folder, store_errors():
                entry_folder = Spool(Path(folder)).put(entry, files or {})
                return send(self.root, entry, entry_folder / FILES)
        self.spool.put(entry, files or {})
        return self._send_pending(self.spool).get(entry.entry_id, UNSENT + entry.entry_id)

    def _send_pending(self, spool: Spool) -> Mapping[str, str]:
        """Send all pending entries unless the store is away; run ids by entry id."""
        if self.store_is_away():
            return {}
        # While the store is known to be away, one try is enough to see whether it is back.
        pauses = () if self._away else None
        try:
            sent = send_all(spool, pauses, is_hurried=signals.received)
        except StoreUnavailable as error:
            self.report_away(
                f"does not accept what is logged: {error} It is kept in {spool.folder}."
            )
            return {}
        if self._away:
            log(f"the tracking store {address()} answers again; what waited is logged.")
            self._away = False
        return sent

    def report_away(self, failure: str) -> None:
        """Leave the store alone for a while; log why, once until it answers again."""
        self._retry_at = time.monotonic() + _RETRY_AFTER
        if not self._away:
            log(f"the tracking store {address()} {failure} Continuing without it.")
        self._away = True

    def flush(self) -> None:
        """Send all that is pending, trying for some seconds.

        Raises StoreUnavailable if something is left.
        """
        self._retry_at = 0.0
        if self.spool and self.spool.pending():
            try:
                with signals.deferred():
                    send_all(self.spool, _LAST_PAUSES, is_hurried=signals.received)
            except StoreUnavailable as error:
                raise StoreUnavailable(f"{self.waiting()} The reason: {error}") from error

    def waiting(self) -> str:
        """What waits for the store and what to do about it; empty if nothing waits."""
        if self.spool is None:
            return ""
        relog = "run the entry point relog with the same workspace."
        if n_refused := len(self.spool.refused()):
            return (
                f"the tracking store {address()} refused {n_refused} entries, which wait in "
                f"{self.spool.folder}; everything else is logged. When the reason above is "
                f"mended, {relog}"
            )
        if n_pending := len(self.spool.pending()):
            return (
                f"the tracking store {address()} is away: {n_pending} entries wait in "
                f"{self.spool.folder}, and nothing is lost. When it is back, {relog}"
            )
        return ""


def log(message: str) -> None:
    """Write a line to standard error, without secrets and control characters."""
    sys.stderr.write(f"{escape_terminal(scrubbed(message))}\n")
    sys.stderr.flush()
