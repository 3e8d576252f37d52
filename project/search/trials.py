"""Trials of a study: what Assay stores with them, and which ended trials count.

Optuna's trials are attempts. A setting may need several attempts, and only its last one counts.
Surplus trials do not count, nor do those without a complete setting.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import optuna
from optuna.trial import FrozenTrial, TrialState

from project.config.labels import LabelConfig
from project.search.space import Setting
from project.support.errors import AssayError

# Names of user attributes in the storage. Studies of older versions have them, so they stay.
QUEUED = "queued"  # the setting of a trial that was put into the queue
ATTEMPT = "attempt"  # 1 for the first
RETRY_OF = "retry_of"  # number of the attempt before
WORKER = "worker"  # name of the process that tries it
HEARTBEAT = "beat"  # time of its last heartbeat, in a journal, in seconds since 1970
SURPLUS = "surplus"  # started by two workers at the same time
SETTING = "setting"  # name of the setting
VALUES = "values"  # what was measured


@dataclass(frozen=True)
class Trial:
    """A trial that this process is to run.

    Parameters
    ----------
    number
        Its number in the study.
    setting
        What it tries.
    attempt
        1 for the first.
    handle
        Optuna's trial.
    duplicate_of
        Number of a trial with the same setting, complete or open, whose values are used again.
    """

    number: int
    setting: Setting
    attempt: int
    handle: optuna.Trial
    duplicate_of: int | None = None


@dataclass(frozen=True)
class Lost:
    """A trial whose worker died; ``queued_again`` unless it was tried too often."""

    number: int
    worker: str
    params: Mapping[str, Any]
    queued_again: bool


class Progress(NamedTuple):
    """How many trials of a study have ended and count, are running, and wait in the queue."""

    n_done: int
    n_running: int
    n_waiting: int


def progress(trials: Sequence[FrozenTrial], names: Iterable[str]) -> Progress:
    """The progress of a study with these trials; ``names``: the parameters that vary."""
    return Progress(
        n_done=len(counted(trials, names)),
        n_running=sum(trial.state == TrialState.RUNNING for trial in trials),
        n_waiting=sum(trial.state == TrialState.WAITING for trial in trials),
    )


def tried_params(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters of a trial, also before its worker has asked for them."""
    return dict(trial.user_attrs.get(QUEUED) or trial.params)


def attempt_of(trial: FrozenTrial) -> int:
    """Which attempt at its setting a trial is, from 1."""
    return int(trial.user_attrs.get(ATTEMPT, 1))


def is_complete_setting(trial: FrozenTrial, names: Iterable[str]) -> bool:
    """Whether a trial has a value for each of ``names``; its worker may have died before."""
    return tried_params(trial).keys() >= set(names)


def counted(trials: Sequence[FrozenTrial], names: Iterable[str]) -> list[FrozenTrial]:
    """The ended trials that count; ``names``: the parameters that vary."""
    retried = {int(trial.user_attrs[RETRY_OF]) for trial in trials if RETRY_OF in trial.user_attrs}
    names = set(names)

    def counts(trial: FrozenTrial) -> bool:
        is_excluded = trial.number in retried or trial.user_attrs.get(SURPLUS)
        return trial.state.is_finished() and not is_excluded and is_complete_setting(trial, names)

    return [trial for trial in trials if counts(trial)]


def duplicate_of(setting: Setting, label: LabelConfig, trials: Sequence[FrozenTrial]) -> int | None:
    """Number of the first complete trial with the same setting, None without one.

    Parameters
    ----------
    setting
        What a new trial is to try.
    label
        Parameters of the label sources that do not vary.
    trials
        The trials before.
    """
    name = _name(setting, label)
    if name is None:  # so that no trial with it is complete
        return None
    for trial in trials:
        if trial.state == TrialState.COMPLETE and trial.user_attrs.get(SETTING) == name:
            return trial.number
    return None


def with_open_duplicate(trial: Trial, label: LabelConfig, open_trials: Sequence[Trial]) -> Trial:
    """The trial, with the first one of ``open_trials`` that has the same setting, if any has.

    ``label`` holds the parameters of the label sources that do not vary.
    """
    name = _name(trial.setting, label)
    if name is None or trial.duplicate_of is not None:
        return trial
    for other in open_trials:
        if other.duplicate_of is None and _name(other.setting, label) == name:
            return dataclasses.replace(trial, duplicate_of=other.number)
    return trial


def _name(setting: Setting, label: LabelConfig) -> str | None:
    """The name of a setting; None where it is not possible."""
    try:
        return setting.name(label)
    except AssayError:
        return None


def is_surplus(
    number: int, trials: Sequence[FrozenTrial], n_missing: int, *, queued: bool, grid: bool
) -> bool:
    """Whether a trial is one too many, because several workers started one at the same time.

    Parameters
    ----------
    number
        Number of the trial.
    trials
        All trials of the study.
    n_missing
        How many of the trials that are wanted have not ended.
    queued, grid
        Whether the trial comes from the queue, and whether the study is a grid.
    """
    earlier = trials[:number]
    if queued:
        return _is_queued_twice(trials[number], earlier)
    # In a grid, a trial that was not queued means that the queue had become empty.
    n_running = sum(trial.state == TrialState.RUNNING for trial in earlier)
    return grid or n_running >= n_missing


def _is_queued_twice(trial: FrozenTrial, earlier: Sequence[FrozenTrial]) -> bool:
    """Whether two workers have queued the same attempt, and ``trial`` is the later one."""
    return any(
        other.user_attrs.get(QUEUED) == trial.user_attrs[QUEUED]
        and other.user_attrs.get(RETRY_OF) == trial.user_attrs.get(RETRY_OF)
        for other in earlier
    )
