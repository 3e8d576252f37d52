"""A study of Optuna over label sources that several processes may work on: what is tried, and whose trial is whose.

A *study* is one search, a *trial* one setting that it tries. Nothing is trained here, and no tracking store is known.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from project.config.entry_points import SweepConfig
from project.config.experiment import LabelConfig
from project.search.space import Setting, Space, Values
from project.search.storage import open_storage, storage_errors
from project.support import process
from project.support.errors import AssayError
from project.support.files import digest

optuna.logging.set_verbosity(optuna.logging.ERROR)

BEAT = 30.0  # seconds between two signs of life
ATTEMPTS = 3  # times that a trial is begun whose workers die
POLL = 1.0
_PARETO = ("maximize", "minimize", "minimize")
_RETRY_OF, _WORKER, _BEAT, _ATTEMPT, _QUEUED, _SURPLUS = (
    "retry_of",
    "worker",
    "beat",
    "attempt",
    "queued",
    "surplus",
)


@dataclass(frozen=True)
class Trial:
    """A trial that this process is to try. ``twin``: the number of a finished trial with the same setting, whose values count again."""

    number: int
    setting: Setting
    attempt: int
    handle: optuna.Trial
    twin: int | None = None


@dataclass(frozen=True)
class Lost:
    """A trial whose worker died, ``again``: which is tried once more."""

    number: int
    worker: str
    params: Mapping[str, Any]
    again: bool


class Sweep:
    """One study. Whoever opens it under the same name and design works on it; trials of dead workers are tried again."""

    def __init__(
        self,
        config: SweepConfig,
        label: LabelConfig,
        space: Space,
        name: str,
        design: Mapping[str, Any],
        workspace: Path,
    ) -> None:
        """Open the study ``name`` or make it. ``design``: all that its trials share; another one under the same name is refused."""
        self._config, self._label, self.space, self.name = config, label, space, name
        self.many, self._me = config.objective == "pareto", process.process_name(os.getpid())
        self._wanted = config.trials or (len(space.grid()) if config.sampler == "grid" else 20)
        pruner = optuna.pruners.MedianPruner() if config.prune else optuna.pruners.NopPruner()
        written = json.dumps(design, sort_keys=True)
        with storage_errors(name, opening=True), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # journals and GP are experimental to Optuna
            storage = open_storage(config, workspace, name)
            directions: Any = list(_PARETO) if self.many else ["maximize"]
            try:
                self._study = optuna.create_study(
                    study_name=name, storage=storage, directions=directions, pruner=pruner
                )
                self._prepare(written)
            except optuna.exceptions.DuplicatedStudyError:
                self._study = optuna.load_study(study_name=name, storage=storage, pruner=pruner)
                self._wait_until_prepared()
        if theirs := _difference(json.loads(self._study.user_attrs["design"]), json.loads(written)):
            raise AssayError(
                f"the study {name} was made with another {theirs}. Give the same, or another name with -P sweep_name=..."
            )
        self.study_id = str(self._study.user_attrs["id"])
        self._retry_the_failed()
        if config.sampler == "grid":
            self._queue_the_grid()  # a study may be given more trials than it was made with

    def _prepare(self, design: str) -> None:
        self._study.set_user_attr("id", f"{self.name}-{uuid.uuid4().hex[:8]}")
        self._study.set_user_attr("design", design)
        if self._config.sampler == "grid":
            self._queue_the_grid()
        self._study.set_user_attr("ready", value=True)

    def _queue_the_grid(self) -> None:
        """Queue what is wanted of the grid and is not there. Optuna's own grid cannot be asked for one trial at a time, nor for one again."""
        points = self.space.grid()
        random.Random(self._config.sweep_seed).shuffle(
            points
        )  # so that a grid cut short is a fair part
        there = [trial.user_attrs.get(_QUEUED) for trial in self._trials()]
        for point in points[: self._wanted]:
            if point not in there:
                self._queue(point, 1)

    def _retry_the_failed(self) -> None:
        """Queue trials again that failed for good: whoever runs the same command again may have mended why."""
        trials = self._trials()
        for number in self.failed(trials):
            self._again(trials[number], int(trials[number].user_attrs.get(_ATTEMPT, 1)) + 1)

    def _wait_until_prepared(self) -> None:
        for _ in range(30):
            if self._study.user_attrs.get("ready"):
                return
            time.sleep(POLL)
        raise AssayError(
            f"the study {self.name} was never finished being made. Give another name with -P sweep_name=..."
        )

    def ask(self, say: Callable[[str], None], lost: Callable[[Lost], None]) -> Trial | None:
        """The next trial, None when all are done. Waits for other workers' last trials: should one die, its trial is left to do."""
        waited = False
        while True:
            for one in self._retry_the_dead():
                lost(one)
            trials = self._trials()
            waiting, running = (
                sum(trial.state == state for trial in trials)
                for state in (TrialState.WAITING, TrialState.RUNNING)
            )
            done = self.done(trials)
            if done >= self._wanted or (
                not waiting and not running and self._config.sampler == "grid"
            ):
                return None
            if done + running < self._wanted and (waiting or self._config.sampler != "grid"):
                if trial := self._ask():
                    return trial
                continue
            if not waited:
                say(
                    f"sweep: all {self._wanted} trials are done or taken; waiting for other workers' {running}."
                )
                waited = True
            time.sleep(POLL)

    def _ask(self) -> Trial | None:
        before = self._trials()
        self._study.sampler = self._sampler(len(before))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            handle = self._study.ask()
            queued = _QUEUED in handle.user_attrs
            handle.set_user_attr(_WORKER, self._me)
            handle.set_user_attr(_BEAT, time.time())
            if self._is_surplus(handle.number, queued=queued):
                handle.set_user_attr(_SURPLUS, value=True)
                self._study.tell(handle, state=TrialState.FAIL)
                return None
            setting = self.space.setting(
                {
                    name: self._suggest(handle, name, values)
                    for name, values in self.space.varied().items()
                }
            )
        return Trial(
            handle.number,
            setting,
            int(handle.user_attrs.get(_ATTEMPT, 1)),
            handle,
            self._twin(setting, before),
        )

    def _is_surplus(self, number: int, *, queued: bool) -> bool:
        """Whether workers that looked at the same time have begun one trial too many, or queued the same one twice."""
        trials = self._trials()
        mine, earlier = trials[number].user_attrs, trials[:number]
        if queued:
            return any(
                trial.user_attrs.get(_QUEUED) == mine[_QUEUED]
                and trial.user_attrs.get(_RETRY_OF) == mine.get(_RETRY_OF)
                for trial in earlier
            )
        ahead = self.done(trials) + sum(trial.state == TrialState.RUNNING for trial in earlier)
        return self._config.sampler == "grid" or ahead >= self._wanted

    def _suggest(self, handle: optuna.Trial, name: str, values: Sequence[Any]) -> Any:
        if isinstance(values[0], str) or self._config.sampler == "grid":
            return handle.suggest_categorical(name, list(values))
        least, most = min(values), max(values)
        if all(float(value).is_integer() for value in (least, most)):
            whole = handle.suggest_int(name, int(least), int(most))
            return float(whole) if isinstance(values[0], float) else whole
        return handle.suggest_float(name, least, most)

    def _sampler(self, n: int) -> optuna.samplers.BaseSampler:
        """A new one for every trial, seeded by how many there are: a study that was stopped goes on as if it had not been."""
        seed = int(np.random.SeedSequence([self._config.sweep_seed, n]).generate_state(1)[0])
        if self._config.sampler == "gp":
            return optuna.samplers.GPSampler(seed=seed, deterministic_objective=False)
        return (
            optuna.samplers.RandomSampler(seed=seed)
            if self._config.sampler == "grid"
            else optuna.samplers.TPESampler(seed=seed)
        )

    def _twin(self, setting: Setting, trials: Sequence[FrozenTrial]) -> int | None:
        try:
            name = setting.name(self._label)
        except AssayError:
            return None
        return next(
            (
                trial.number
                for trial in trials
                if trial.state == TrialState.COMPLETE and trial.user_attrs.get("setting") == name
            ),
            None,
        )

    def twin_values(self, number: int) -> Values:
        """What the finished trial with this number was judged by."""
        return Values(**self._trials()[number].user_attrs["values"])

    def stopped_early(self, trial: Trial, values: Values) -> bool:
        """Whether ``trial``, by its ``values`` after the first seed, is below the median of the others and not worth the other seeds."""
        if not self._config.prune:
            return False
        trial.handle.report(self.objective(values), 0)
        return trial.handle.should_prune()

    def objective(self, values: Values) -> float:
        """What a single objective maximises: points of macro-F1, less what they cost in points."""
        return 100 * values.macro_f1 - (
            values.cost / self._config.price_point if self._config.price_point else 0.0
        )

    def complete(self, trial: Trial, values: Values, run_id: str) -> None:
        """``trial`` has these values."""
        self._note(trial, run_id, setting=trial.setting.name(self._label), values=values._asdict())
        told = (
            [values.macro_f1, values.human_share, values.llm_calls]
            if self.many
            else [self.objective(values)]
        )
        self._study.tell(trial.number, told, skip_if_finished=True)

    def end(self, trial: Trial, state: str, run_id: str, reason: str) -> None:
        """``trial`` was ``PRUNED``, or failed (``FAIL``); neither is tried again."""
        self._note(trial, run_id, reason=reason[:500])
        self._study.tell(trial.number, state=TrialState[state], skip_if_finished=True)

    def _note(self, trial: Trial, run_id: str, **values: object) -> None:
        with contextlib.suppress(
            optuna.exceptions.UpdateFinishedTrialError
        ):  # it was taken for dead meanwhile
            for name, value in {"mlflow_run_id": run_id, **values}.items():
                trial.handle.set_user_attr(name, value)

    def give_back(self, trial: Trial, *, blameless: bool) -> None:
        """Leave ``trial`` to whoever comes next, since this process must stop; it was ``blameless`` where it would have gone on but for that."""
        self._again(self._trials()[trial.number], trial.attempt + (not blameless))
        self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _again(self, trial: FrozenTrial, attempt: int) -> bool:
        """Queue what ``trial`` tried, unless it was tried too often; returns whether it is."""
        again = attempt <= ATTEMPTS and self._settled(trial)
        if again:
            self._queue(_params(trial), attempt, retry_of=trial.number)
        return again

    def _queue(self, params: Mapping[str, Any], attempt: int, **more: int) -> None:
        self._study.enqueue_trial(
            dict(params), user_attrs={_QUEUED: dict(params), _ATTEMPT: attempt, **more}
        )

    def _retry_the_dead(self) -> Iterator[Lost]:
        """End the trials of dead workers, and queue them again."""
        for trial in self._trials():
            its = str(trial.user_attrs.get(_WORKER, ""))
            if (
                trial.state != TrialState.RUNNING
                or its == self._me
                or process.is_alive(its, self._heard(trial))
            ):
                continue
            try:
                self._study.tell(trial.number, state=TrialState.FAIL)
            except (
                ValueError,
                optuna.exceptions.UpdateFinishedTrialError,
            ):  # somebody else did so first
                continue
            if self._settled(trial):  # else it never came to be a trial, and counts for none
                again = self._again(trial, int(trial.user_attrs.get(_ATTEMPT, 1)) + 1)
                yield Lost(trial.number, its, _params(trial), again)

    def _settled(self, trial: FrozenTrial) -> bool:
        """Whether it was chosen what ``trial`` is to try: its worker may have died before."""
        return _params(trial).keys() >= self.space.varied().keys()

    @staticmethod
    def _heard(trial: FrozenTrial) -> float:
        began = trial.datetime_start.timestamp() if trial.datetime_start else 0.0
        return float(trial.user_attrs.get(_BEAT, began))

    @contextlib.contextmanager
    def beating(self, trial: Trial) -> Iterator[None]:
        """While the context lasts, others see that this process is at work on ``trial``."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(BEAT):
                with contextlib.suppress(
                    Exception
                ):  # the next one may come through; whether the storage works is others' to say
                    trial.handle.set_user_attr(_BEAT, time.time())

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def done(self, trials: Sequence[FrozenTrial] | None = None) -> int:
        """How many trials ended for good: complete, pruned or failed."""
        given = self._trials() if trials is None else trials
        none = self._none(given)
        return sum(trial.state.is_finished() and trial.number not in none for trial in given)

    def _none(self, trials: Sequence[FrozenTrial]) -> set[int]:
        """Numbers of the ended trials that count for none: queued again, one too many, or never settled."""
        ended = [trial for trial in trials if trial.state.is_finished()]
        idle = {
            trial.number
            for trial in ended
            if trial.user_attrs.get(_SURPLUS) or not self._settled(trial)
        }
        return idle | {
            int(trial.user_attrs[_RETRY_OF]) for trial in trials if _RETRY_OF in trial.user_attrs
        }

    @property
    def wanted(self) -> int:
        """How many trials there are to be."""
        return self._wanted

    def failed(self, trials: Sequence[FrozenTrial] | None = None) -> list[int]:
        """Numbers of the trials that failed and are not tried again."""
        given = self._trials() if trials is None else trials
        none = self._none(given)
        return [
            trial.number
            for trial in given
            if trial.state == TrialState.FAIL and trial.number not in none
        ]

    def chosen(self) -> list[tuple[int, Setting]]:
        """The best trial, or all that no other one beats in everything (the Pareto front), each setting once; empty where none is complete."""
        complete = [trial for trial in self._trials() if trial.state == TrialState.COMPLETE]
        if not complete:
            return []
        best = self._study.best_trials if self.many else [self._study.best_trial]
        first = {
            trial.user_attrs["setting"]: trial
            for trial in sorted(best, key=lambda trial: trial.number, reverse=True)
        }
        return [
            (trial.number, self.space.setting(trial.params))
            for trial in sorted(first.values(), key=lambda trial: trial.number)
        ]

    def mine_to_test(self) -> bool:
        """Whether this process is to evaluate the chosen trials: it ended the last trial, or whoever did is gone and never did."""
        if self.tested_in:
            return False
        ended = [
            trial
            for trial in self._trials()
            if trial.datetime_complete and _WORKER in trial.user_attrs
        ]
        last = max(ended, key=lambda trial: (trial.datetime_complete, trial.number))
        assert last.datetime_complete is not None
        its = str(last.user_attrs[_WORKER])
        return its == self._me or (
            not process.is_alive(its, last.datetime_complete.timestamp()) and self._claim()
        )

    def _claim(self) -> bool:
        """Say that this process tests the chosen trials in place of one that is gone; whether no other one that lives has said so since."""
        claim = f"testing {self._chosen_digest()}"
        theirs, _, when = str(self._study.user_attrs.get(claim, "")).rpartition(" ")
        if theirs and theirs != self._me and process.is_alive(theirs, float(when)):
            return False
        self._study.set_user_attr(claim, f"{self._me} {time.time()}")
        time.sleep(POLL)  # of those that claim at the same time, the last one has it
        return str(self._study.user_attrs[claim]).rpartition(" ")[0] == self._me

    def _chosen_digest(self) -> str:
        return digest(",".join(str(number) for number, _ in self.chosen()))

    @property
    def tested_in(self) -> str:
        """The run in which these chosen trials were evaluated; empty where none was."""
        return str(self._study.user_attrs.get(f"tested {self._chosen_digest()}", ""))

    def tested(self, run_id: str) -> None:
        """The chosen trials were evaluated in this run."""
        self._study.set_user_attr(f"tested {self._chosen_digest()}", run_id)


def _params(trial: FrozenTrial) -> dict[str, Any]:
    """What a trial tries, also where it has not got as far."""
    return dict(trial.user_attrs.get(_QUEUED) or trial.params)


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """The first thing in which two designs differ, and both values; empty where they are the same."""
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            return f"{name}: {one.get(name)!r}, now {other.get(name)!r}"
    return ""
