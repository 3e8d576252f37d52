"""Trials of a study: what Assay stores with them, and which ended trials count.

Optuna's trials are attempts. A trial counts once, however often it is tried: attempts that were
queued again do not count, nor do surplus trials and those without a complete setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from project.search.space import Setting

# names of user attributes in the storage
QUEUED = "queued"  # the setting of a trial that was put into the queue
ATTEMPT = "attempt"  # 1 for the first
RETRY_OF = "retry_of"  # number of the attempt before
WORKER = "worker"  # name of the process that tries it
HEARTBEAT = "beat"  # its last sign of life, in a journal
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
        Number of a complete trial with the same setting, whose values are used again.
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
    return [
        trial
        for trial in trials
        if trial.state.is_finished()
        and trial.number not in retried
        and not trial.user_attrs.get(SURPLUS)
        and is_complete_setting(trial, names)
    ]


def duplicate_of(name: str, trials: Sequence[FrozenTrial]) -> int | None:
    """Number of the first complete trial whose setting has this ``name``."""
    for trial in trials:
        if trial.state == TrialState.COMPLETE and trial.user_attrs.get(SETTING) == name:
            return trial.number
    return None


def is_queued_twice(trial: FrozenTrial, earlier: Sequence[FrozenTrial]) -> bool:
    """Whether two workers have queued the same attempt, and ``trial`` is the later one."""
    return any(
        other.user_attrs.get(QUEUED) == trial.user_attrs[QUEUED]
        and other.user_attrs.get(RETRY_OF) == trial.user_attrs.get(RETRY_OF)
        for other in earlier
    )
