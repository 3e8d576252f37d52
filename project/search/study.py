"""A study of Optuna over label sources that several processes work on.

A *study* is one search, a *trial* one setting that it tries. Nothing is trained here, and the
tracking store is not used.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
import uuid
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
from project.search.sampling import make_sampler, suggest
from project.search.space import Setting, Space, Values
from project.search.storage import open_storage, storage_errors
from project.search.trials import (
    ATTEMPT,
    QUEUED,
    RETRY_OF,
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
    tried_params,
)
from project.support import process
from project.support.errors import AssayError

optuna.logging.set_verbosity(optuna.logging.ERROR)

MAX_ATTEMPTS = 3
"""Attempts at a setting whose workers die."""
DEFAULT_TRIALS = 20
POLL_SECONDS = 1.0
_MAX_POLLS_PREPARED = 30
_MAX_REASON = 500  # characters
_PARETO_DIRECTIONS = ("maximize", "minimize", "minimize")


class SharedStudy:
    """A study that all processes share which open it under the same name and design.

    Trials of dead workers are tried again.
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
            The search.
        label
            Parameters of the label sources that do not vary.
        space
            The settings that are searched.
        name
            Name of the study.
        design
            Everything that its trials share, JSON-ready.
        workspace
            The workspace, where the storage is a journal below it.

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
        self._me = process.process_name(os.getpid())
        default = len(space.grid()) if config.sampler == "grid" else DEFAULT_TRIALS
        self._wanted = config.trials or default
        with storage_errors(name, opening=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # journals and GP are experimental to Optuna
            self._open(json.dumps(design, sort_keys=True), workspace)
        stored = json.loads(self._study.user_attrs["design"])
        if difference := _difference(stored, json.loads(json.dumps(design))):
            raise AssayError(
                f"the study {name} was made with another {difference}. Set the same, or set "
                "sweep_name to another name."
            )
        self.study_id = str(self._study.user_attrs["id"])
        self._queue_failed()
        if config.sampler == "grid":
            self._queue_grid()  # this run may ask for more trials than the study was made with

    def _open(self, design: str, workspace: Path) -> None:
        """Create the study, or wait until the process that creates it is done."""
        stale: list[FrozenTrial] = []
        storage = open_storage(self._config, workspace, self.name, stale)
        median = optuna.pruners.MedianPruner()
        pruner = median if self._config.prune else optuna.pruners.NopPruner()
        directions: Any = list(_PARETO_DIRECTIONS) if self._several else ["maximize"]
        try:
            self._study = optuna.create_study(
                study_name=self.name, storage=storage, directions=directions, pruner=pruner
            )
            self._prepare(design)
        except optuna.exceptions.DuplicatedStudyError:
            self._study = optuna.load_study(study_name=self.name, storage=storage, pruner=pruner)
            self._wait_until_prepared()
        self._heartbeats = Heartbeats(self._study, storage, stale)
        self.choice = Choice(self._study, self.space, self._me, several=self._several)

    def _prepare(self, design: str) -> None:
        """Fill a new study; other processes wait for ``ready``."""
        self._study.set_user_attr("id", f"{self.name}-{uuid.uuid4().hex[:8]}")
        self._study.set_user_attr("design", design)
        if self._config.sampler == "grid":
            self._queue_grid()
        self._study.set_user_attr("ready", value=True)

    def _wait_until_prepared(self) -> None:
        for _ in range(_MAX_POLLS_PREPARED):
            if self._study.user_attrs.get("ready"):
                return
            time.sleep(POLL_SECONDS)
        raise AssayError(
            f"the study {self.name} exists, but the process that created it never finished. Set "
            "sweep_name to another name."
        )

    def _queue_grid(self) -> None:
        """Queue the points of the grid that are wanted and not there.

        Optuna's own grid sampler cannot be asked for one trial at a time, nor for one again.
        """
        points = self.space.grid()
        # shuffled, so that the beginning of a grid is a fair part of it
        random.Random(self._config.sweep_seed).shuffle(points)
        queued = [trial.user_attrs.get(QUEUED) for trial in self._trials()]
        for point in points[: self._wanted]:
            if point not in queued:
                self._queue(point, 1)

    def _queue_failed(self) -> None:
        """Queue failed trials again: the user may have corrected the cause before this run."""
        trials = self._trials()
        for number in self._failed(trials):
            self._retry(trials[number], attempt_of(trials[number]) + 1)

    def ask(self, report: Callable[[str], None], on_lost: Callable[[Lost], None]) -> Trial | None:
        """The next trial, None when all are done.

        It waits for other workers' last trials: if one of them dies, its trial is left to do.

        Parameters
        ----------
        report
            Called with a line for the user.
        on_lost
            Called with each trial whose worker died.
        """
        is_reported = False
        while True:
            for lost in self._retry_dead():
                on_lost(lost)
            trials = self._trials()
            n_waiting = sum(trial.state == TrialState.WAITING for trial in trials)
            n_running = sum(trial.state == TrialState.RUNNING for trial in trials)
            n_done = self._n_done(trials)
            is_grid = self._config.sampler == "grid"
            if n_done >= self._wanted or (is_grid and not n_waiting and not n_running):
                return None
            if n_done + n_running < self._wanted and (n_waiting or not is_grid):
                if trial := self._start():
                    return trial
                continue
            if not is_reported:
                report(
                    f"sweep: all {self._wanted} trials are done or taken; waiting for other "
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
            handle.set_user_attr(WORKER, self._me)
            self._heartbeats.record(handle)
            if self._is_surplus(handle.number, queued=is_queued):
                handle.set_user_attr(SURPLUS, value=True)
                self._study.tell(handle, state=TrialState.FAIL)
                return None
            exact = self._config.sampler == "grid"
            params = {
                name: suggest(handle, name, values, exact=exact)
                for name, values in self.space.varied().items()
            }
        setting = self.space.setting(params)
        return Trial(
            number=handle.number,
            setting=setting,
            attempt=int(handle.user_attrs.get(ATTEMPT, 1)),
            handle=handle,
            duplicate_of=self._duplicate_of(setting, before),
        )

    def _is_surplus(self, number: int, *, queued: bool) -> bool:
        """Whether workers that looked at the same time have started too many trials.

        Two of them may also have queued the same trial.
        """
        trials = self._trials()
        attributes = trials[number].user_attrs
        earlier = trials[:number]
        if queued:
            return any(
                trial.user_attrs.get(QUEUED) == attributes[QUEUED]
                and trial.user_attrs.get(RETRY_OF) == attributes.get(RETRY_OF)
                for trial in earlier
            )
        n_running = sum(trial.state == TrialState.RUNNING for trial in earlier)
        is_enough = self._n_done(trials) + n_running >= self._wanted
        return self._config.sampler == "grid" or is_enough

    def _duplicate_of(self, setting: Setting, trials: Sequence[FrozenTrial]) -> int | None:
        """Number of a complete trial with the same setting."""
        try:
            return duplicate_of(setting.name(self._label), trials)
        except AssayError:  # the setting is not possible
            return None

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
        """Store the values of a complete trial, which was logged in the run ``run_id``."""
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
        self._retry(self._trials()[trial.number], trial.attempt + (not blameless))
        self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _retry(self, trial: FrozenTrial, attempt: int) -> bool:
        """Queue a trial's setting again, unless it was tried too often; returns whether it is."""
        is_possible = attempt <= MAX_ATTEMPTS and is_complete_setting(trial, self.space.varied())
        if is_possible:
            self._queue(tried_params(trial), attempt, **{RETRY_OF: trial.number})
        return is_possible

    def _queue(self, params: Mapping[str, Any], attempt: int, **attributes: int) -> None:
        """Put a setting into the queue."""
        self._study.enqueue_trial(
            dict(params), user_attrs={QUEUED: dict(params), ATTEMPT: attempt, **attributes}
        )

    def _retry_dead(self) -> Iterator[Lost]:
        """End the trials of dead workers and queue them again."""
        for trial in self._heartbeats.end_dead(self._trials(), self._me):
            if not is_complete_setting(trial, self.space.varied()):
                continue  # its worker died before it had a setting: it does not count
            worker = str(trial.user_attrs.get(WORKER, ""))
            queued = self._retry(trial, attempt_of(trial) + 1)
            yield Lost(trial.number, worker, tried_params(trial), queued)

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _n_done(self, trials: Sequence[FrozenTrial]) -> int:
        return len(counted(trials, self.space.varied()))

    def _failed(self, trials: Sequence[FrozenTrial]) -> list[int]:
        ended = counted(trials, self.space.varied())
        return [trial.number for trial in ended if trial.state == TrialState.FAIL]

    @property
    def wanted(self) -> int:
        """How many trials there are to be."""
        return self._wanted

    def done(self) -> int:
        """How many trials have ended: complete, pruned or failed."""
        return self._n_done(self._trials())

    def failed(self) -> list[int]:
        """Numbers of the trials that failed and are not tried again."""
        return self._failed(self._trials())


def _difference(stored: Mapping[str, Any], requested: Mapping[str, Any]) -> str:
    """The first name in which two designs differ, with both values; empty if they are equal."""
    for name in sorted({*stored, *requested}):
        if stored.get(name) != requested.get(name):
            return f"{name}: {stored.get(name)!r}, now {requested.get(name)!r}"
    return ""
