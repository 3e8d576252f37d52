"""Signs of life of the workers of a study, and the trials of those that died.

Optuna records heartbeats in databases, but only inside ``Study.optimize``, which does not fit a
worker that tests, prunes and logs between its trials. So a thread of this module records them with
Optuna's own function, and ``optuna.storages.fail_stale_trials`` ends the trials of silent workers
by the clock of the database. A journal file has no heartbeats in Optuna: there they are a user
attribute of the trial. In both kinds of storage, the process of a worker on this machine is looked
up, so that its death is noticed at once.
"""

from __future__ import annotations

import contextlib
import threading
import time
import warnings
from collections.abc import Iterator

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, TrialState

from project.search.trials import HEARTBEAT, WORKER
from project.support import process

HEARTBEAT_SECONDS = 30.0
"""Time between two heartbeats of a worker."""


class Heartbeats:
    """Heartbeats of the trials of one study."""

    def __init__(self, study: optuna.Study, storage: BaseStorage, stale: list[FrozenTrial]) -> None:
        """Record in ``storage``, whose stale-trial callback appends to ``stale``."""
        self._study = study
        self._database = storage if isinstance(storage, RDBStorage) else None
        self._stale = stale

    def record(self, handle: optuna.Trial) -> None:
        """Record that this process is working on a trial."""
        if self._database is None:
            handle.set_user_attr(HEARTBEAT, time.time())
            return
        study_id = self._database.get_study_id_from_name(self._study.study_name)
        self._database.record_heartbeat(
            self._database.get_trial_id_from_study_id_trial_number(study_id, handle.number)
        )

    @contextlib.contextmanager
    def during(self, handle: optuna.Trial) -> Iterator[None]:
        """Record heartbeats of a trial while the context lasts."""
        stopped = threading.Event()

        def record_regularly() -> None:
            while not stopped.wait(HEARTBEAT_SECONDS):
                # A heartbeat that fails is no error: the next one may succeed, and the work itself
                # reports a storage that has failed.
                with contextlib.suppress(Exception):
                    self.record(handle)

        thread = threading.Thread(target=record_regularly, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join()

    def end_dead(self, trials: list[FrozenTrial], own_name: str) -> Iterator[FrozenTrial]:
        """End the running trials of dead workers as failed; yield those that this call ended.

        Parameters
        ----------
        trials
            All trials of the study.
        own_name
            Name of this process, whose trials are left alone.
        """
        if self._database is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # heartbeats are experimental to Optuna
                optuna.storages.fail_stale_trials(self._study)
            # The callback of the storage has filled the list with the trials of this call.
            while self._stale:
                yield self._stale.pop(0)
        for trial in trials:
            worker = str(trial.user_attrs.get(WORKER, ""))
            if trial.state != TrialState.RUNNING or worker == own_name:
                continue
            if process.is_alive(worker, self._last_heartbeat(trial, worker)):
                continue
            try:
                self._study.tell(trial.number, state=TrialState.FAIL)
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                continue  # another process ended the trial first
            yield trial

    def _last_heartbeat(self, trial: FrozenTrial, worker: str) -> float:
        """Time of a trial's last heartbeat, or of its start, in seconds since 1970."""
        if HEARTBEAT in trial.user_attrs:
            return float(trial.user_attrs[HEARTBEAT])
        # In a database, fail_stale_trials has ended the trials of silent workers before. The others
        # count as alive now, unless their process is missing on this machine.
        if self._database is not None and worker:
            return time.time()
        return trial.datetime_start.timestamp() if trial.datetime_start else 0.0
