"""A study of Optuna over label sources that several processes work on.

A *study* is one search, a *trial* one setting that it tries. Nothing is trained here.
"""

from __future__ import annotations

import contextlib
import os
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from project.config.designs import SweepConfig
from project.config.labels import LabelConfig
from project.search.choice import Choice
from project.search.heartbeat import Heartbeats
from project.search.opening import POLL_SECONDS, open_or_create
from project.search.queue import Queue
from project.search.sampling import make_sampler, suggest_params
from project.search.space import Space, Values
from project.search.storage import open_storage, storage_errors
from project.search.trials import (
    ATTEMPT,
    QUEUED,
    SETTING,
    SURPLUS,
    VALUES,
    WORKER,
    Lost,
    Trial,
    attempt_of,
    counted,
    duplicate_of,
    is_complete_setting,
    is_surplus,
    progress,
    tried_params,
)
from project.support import process

optuna.logging.set_verbosity(optuna.logging.ERROR)

DEFAULT_TRIALS = 20
_MAX_REASON = 500  # characters


class SharedStudy:
    """A study, shared by all processes that open it under the same name and with the same design.

    ``wanted`` is the number of trials that it is to have. Trials of dead workers are tried again.
    """

    def __init__(
        self,
        config: SweepConfig,
        label: LabelConfig,
        space: Space,
        name: str,
        *,
        design: Mapping[str, Any],
        workspace: Path,
    ) -> None:
        """Open a study, or create it.

        Parameters
        ----------
        config
            Sampler, objective and size of the search.
        label
            Parameters of the label sources that do not vary.
        space
            The settings that are searched.
        name
            Name of the study.
        design
            Everything that its trials share, JSON-ready.
        workspace
            Folder of the storage, if that is a journal there.

        Raises
        ------
        AssayError
            If the study exists with another design.
        Incomplete
            If the storage cannot be used.
        """
        self._config = config
        self._label = label
        self.space = space
        self.name = name
        self._several = config.objective == "pareto"
        self._own_name = process.process_name(os.getpid())
        self._is_grid = config.sampler == "grid"
        self.wanted = config.trials or (len(space.grid()) if self._is_grid else DEFAULT_TRIALS)
        with storage_errors(name, opening=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # journals and GP are experimental to Optuna
            self._open(design, workspace)
        self.study_id = str(self._study.user_attrs["id"])
        self._retry_failed()
        self._queue_grid(self._study)  # for a run that asks for more trials than before

    def _open(self, design: Mapping[str, Any], workspace: Path) -> None:
        """Open the storage and the study in it."""
        stale: list[FrozenTrial] = []
        storage = open_storage(self._config, workspace, self.name, stale)
        self._study = open_or_create(
            self.name,
            self._config,
            storage,
            design=design,
            fill=self._queue_grid,
        )
        self._queue = Queue(self._study, self.space)
        self._heartbeats = Heartbeats(self._study, storage, stale)
        self.choice = Choice(self._study, self.space, self._own_name, several=self._several)

    def _queue_grid(self, study: optuna.Study) -> None:
        """Queue the points of a grid that are wanted and were not queued before."""
        if self._is_grid:
            trials = study.get_trials(deepcopy=False)
            Queue(study, self.space).add_grid(self.wanted, self._config.sweep_seed, trials)

    def _retry_failed(self) -> None:
        """Queue failed trials again: the user may have corrected the cause before this run."""
        trials = self._trials()
        for number in self._failed(trials):
            self._queue.retry(trials[number], attempt_of(trials[number]) + 1)

    def ask(
        self,
        report: Callable[[str], None],
        on_lost: Callable[[Lost], None],
        *,
        waits: bool = True,
    ) -> Trial | None:
        """The next trial, None when all are done.

        It waits for other workers' last trials: if one of them dies, its trial is left to do.

        Parameters
        ----------
        report
            Called with a line for the user.
        on_lost
            Called with each trial whose worker died.
        waits
            False: None also where only trials are left that others run, or this worker itself.
        """
        is_reported = False
        while True:
            for lost in self._retry_dead():
                on_lost(lost)
            n_done, n_running, n_waiting = progress(self._trials(), self.space.varied())
            # A grid has only the trials in its queue; a sampler can always make another one.
            can_start = n_waiting > 0 or not self._is_grid
            if n_done >= self.wanted or (n_running == 0 and not can_start):
                return None
            if n_done + n_running < self.wanted and can_start:
                if trial := self._start():
                    return trial
                continue  # others have started enough at the same time
            if not waits:
                return None
            if not is_reported:
                report(
                    f"sweep: all {self.wanted} trials are done or taken; waiting for other "
                    f"workers' {n_running}."
                )
                is_reported = True
            time.sleep(POLL_SECONDS)

    def _start(self) -> Trial | None:
        """Start a trial; None if other workers have started enough at the same time."""
        before = self._trials()
        self._study.sampler = make_sampler(self._config, len(before))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # heartbeats outside of optimize, see heartbeat.py
            handle = self._study.ask()
            is_queued = QUEUED in handle.user_attrs
            # The name comes first: a trial without one counts as lost after a minute.
            handle.set_user_attr(WORKER, self._own_name)
            self._heartbeats.record(handle)
            trials = self._trials()
            n_missing = self.wanted - self._n_done(trials)
            if is_surplus(handle.number, trials, n_missing, queued=is_queued, grid=self._is_grid):
                handle.set_user_attr(SURPLUS, value=True)
                self._study.tell(handle, state=TrialState.FAIL)
                return None
            params = suggest_params(handle, self.space.varied(), exact=self._is_grid)
        setting = self.space.setting(params)
        return Trial(
            number=handle.number,
            setting=setting,
            attempt=int(handle.user_attrs.get(ATTEMPT, 1)),
            handle=handle,
            duplicate_of=duplicate_of(setting, self._label, before),
        )

    def values_of(self, number: int) -> Values:
        """What a complete trial measured."""
        return Values(**self._trials()[number].user_attrs[VALUES])

    def working_on(self, trial: Trial) -> contextlib.AbstractContextManager[None]:
        """A context in which other workers see that this process works on ``trial``."""
        return self._heartbeats.during(trial.handle)

    def should_stop(self, trial: Trial, values: Values) -> bool:
        """Whether a trial, by its ``values`` after the first seed, is below the others' median."""
        if not self._config.prune:
            return False
        trial.handle.report(self.objective(values), 0)
        return trial.handle.should_prune()

    def objective(self, values: Values) -> float:
        """What a single objective maximises: points of macro-F1, less the cost in points."""
        price = self._config.price_point
        return 100 * values.macro_f1 - (values.cost / price if price else 0.0)

    def complete(self, trial: Trial, values: Values, run_id: str) -> None:
        """Store the values of a complete trial.

        Parameters
        ----------
        trial
            The trial.
        values
            What it measured.
        run_id
            The run in which it was logged.
        """
        name = trial.setting.name(self._label)
        self._note(trial, run_id, **{SETTING: name, VALUES: values._asdict()})
        objectives = [self.objective(values)]
        if self._several:
            objectives = [values.macro_f1, values.human_share, values.llm_calls]
        self._study.tell(trial.number, objectives, skip_if_finished=True)

    def end(self, trial: Trial, state: str, run_id: str, reason: str) -> None:
        """Store that a trial was ``PRUNED`` or failed (``FAIL``); this run does not try it again.

        Parameters
        ----------
        trial
            The trial.
        state
            ``PRUNED`` or ``FAIL``.
        run_id
            The run in which it was logged.
        reason
            Why, in one line.
        """
        self._note(trial, run_id, reason=reason[:_MAX_REASON])
        self._study.tell(trial.number, state=TrialState[state], skip_if_finished=True)

    def _note(self, trial: Trial, run_id: str, **values: object) -> None:
        """Store facts with a trial, unless another process has ended it as dead meanwhile."""
        with contextlib.suppress(optuna.exceptions.UpdateFinishedTrialError):
            for name, value in {"mlflow_run_id": run_id, **values}.items():
                trial.handle.set_user_attr(name, value)

    def give_back(self, trial: Trial, *, blameless: bool) -> None:
        """Leave a trial to the next worker, since this process must stop.

        It counts as a failed attempt unless it is ``blameless``, as after Ctrl-C.
        """
        self._queue.retry(self._trials()[trial.number], trial.attempt + (not blameless))
        self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _retry_dead(self) -> Iterator[Lost]:
        """End the trials of dead workers and queue them again."""
        for trial in self._heartbeats.end_dead(self._trials(), self._own_name):
            if not is_complete_setting(trial, self.space.varied()):
                continue  # its worker died before it had a setting: it does not count
            worker = str(trial.user_attrs.get(WORKER, ""))
            queued = self._queue.retry(trial, attempt_of(trial) + 1)
            yield Lost(trial.number, worker, tried_params(trial), queued)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _n_done(self, trials: Sequence[FrozenTrial]) -> int:
        return len(counted(trials, self.space.varied()))

    def _failed(self, trials: Sequence[FrozenTrial]) -> list[int]:
        ended = counted(trials, self.space.varied())
        return [trial.number for trial in ended if trial.state == TrialState.FAIL]

    def done(self) -> int:
        """How many trials have ended: complete, pruned or failed."""
        return self._n_done(self._trials())

    def failed(self) -> list[int]:
        """Numbers of the trials that failed and are not tried again."""
        return self._failed(self._trials())
