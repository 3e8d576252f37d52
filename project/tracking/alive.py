"""That a root run's process is at work: who it is, and when it was last heard of. Runs whose process is gone are told from those by it."""

from __future__ import annotations

import contextlib
import threading
import time

import mlflow
from mlflow.tracking import MlflowClient

WORKER, HEARD = "assay.worker", "assay.heard"
_EVERY = 60.0  # seconds; a process elsewhere is taken for dead after ten times as long (project/worker.py)


class Alive:
    """Says every minute, on the root run, that this process is at work; a store that is away does not hear it."""

    def __init__(self, run_id: str) -> None:
        """Begin."""
        self._run_id, self._over = run_id, threading.Event()
        self._thread = threading.Thread(target=self._beat, name="assay-alive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The root run is about to end. A beat that waits for a store is not waited for."""
        self._over.set()

    def _beat(self) -> None:
        while not self._over.wait(_EVERY):
            with contextlib.suppress(mlflow.MlflowException, OSError):
                MlflowClient().set_tag(self._run_id, HEARD, str(int(time.time())))
