"""That a root run's process is at work: who it is, and when it was last heard of. Runs whose process is gone are told from those by it.

On a GPU host, MLflow's system metrics say as well how busy the machine is.
"""

from __future__ import annotations

import contextlib
import threading
import time
from pathlib import Path

import mlflow
from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking import MlflowClient

WORKER, HEARD = "assay.worker", "assay.heard"
_SAMPLED, _LONGEST = 30.0, 10.0  # seconds
_EVERY = 60.0  # seconds; a process elsewhere is taken for dead after ten times as long (project/worker.py)


def _measured() -> bool:
    """Whether system metrics are logged: as MLflow's own variable says, else on a machine with an NVIDIA GPU."""
    asked = MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING
    return bool(asked.get()) if asked.is_set() else Path("/dev/nvidiactl").exists()


class Alive:
    """Says every minute, on the root run, that this process is at work; a store that is away does not hear it."""

    def __init__(self, run_id: str) -> None:
        """Begin."""
        self._run_id, self._over = run_id, threading.Event()
        self._monitor: SystemMetricsMonitor | None = None
        if _measured():
            with contextlib.suppress(
                Exception
            ):  # a driver that is broken is no reason to compute nothing
                self._monitor = SystemMetricsMonitor(run_id, sampling_interval=_SAMPLED)
                self._monitor.start()
        self._thread = threading.Thread(target=self._beat, name="assay-alive", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """The root run is about to end. What waits for a store that is away is not waited for long."""
        self._over.set()
        if self._monitor:
            last = threading.Thread(target=self._monitor.finish, daemon=True)
            last.start()
            last.join(_LONGEST)

    def _beat(self) -> None:
        while not self._over.wait(_EVERY):
            with contextlib.suppress(mlflow.MlflowException, OSError):
                MlflowClient().set_tag(self._run_id, HEARD, str(int(time.time())))
