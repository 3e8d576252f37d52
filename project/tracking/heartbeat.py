"""Signs of life of a root run's process: a heartbeat and, on a GPU host, MLflow's system metrics.

:mod:`project.tracking.reap` tells by the heartbeat which runs have lost their process.
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

from project.tracking.names import HEARTBEAT

# All in seconds. A process on another machine counts as dead after ten missing heartbeats
# (project.support.process.SILENCE_SECONDS).
_INTERVAL = 60.0
_SAMPLING_INTERVAL = 30.0  # of MLflow's system metrics
_MAX_WAIT = 10.0  # for the last of them


class Heartbeat:
    """Sets a tag of the root run to the current time every minute, until :meth:`stop`."""

    def __init__(self, run_id: str) -> None:
        """Start at once."""
        self._run_id = run_id
        self._stopped = threading.Event()
        self._monitor: SystemMetricsMonitor | None = None
        if _system_metrics_enabled():
            # A broken GPU driver is no reason to refuse the experiment.
            with contextlib.suppress(Exception):
                self._monitor = SystemMetricsMonitor(run_id, sampling_interval=_SAMPLING_INTERVAL)
                self._monitor.start()
        self._thread = threading.Thread(target=self._beat, name="assay-heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the heartbeat and log the last system metrics."""
        self._stopped.set()
        if self._monitor:
            # finish() sends what is left, which takes minutes if the store is away. It runs in a
            # thread of its own, so that we can stop waiting.
            finishing = threading.Thread(target=self._monitor.finish, daemon=True)
            finishing.start()
            finishing.join(_MAX_WAIT)

    def _beat(self) -> None:
        """Set the tag once in each interval, until the heartbeat is stopped."""
        while not self._stopped.wait(_INTERVAL):
            # The store may be away; the next heartbeat is due in a minute.
            with contextlib.suppress(mlflow.MlflowException, OSError):
                MlflowClient().set_tag(self._run_id, HEARTBEAT, str(int(time.time())))


def _system_metrics_enabled() -> bool:
    """Whether MLflow's own variable enables system metrics; unset, an NVIDIA GPU does."""
    if MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.is_set():
        return bool(MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING.get())
    return Path("/dev/nvidiactl").exists()
