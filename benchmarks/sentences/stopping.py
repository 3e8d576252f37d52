"""Stops of until=decided: how often would more seeds have decided the verdict after all.

The verdict stops at three or six seeds where more have less than one chance in ten to decide. Here
the seeds are trained all the same. A stop is wrong if twelve seeds decide the verdict. The data
sets of the power are those that twelve seeds leave undecided: it is the share that stopped earlier.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from analysis.questions.verdict_judge import MIN_CHANCE, Judged, judge, seeds_may_decide
from analysis.questions.verdict_looks import FACTORS, last_level, look_level
from benchmarks.sentences.verdict import Setting, Texts
from benchmarks.sentences.world import World
from project.config.arms import GOLD, LLM
from project.config.results import VerdictConfig

_CONFIG = VerdictConfig(2.0, 0.5, "decided")
_REPLICATES = 1000
_N_WEIGHTS = 10
"""Different weights of the examples, which repetitions share."""
_MOST_DRAWS = 1000
Rule = Callable[[Judged], bool]
"""Whether more seeds are trained for a verdict that is undecided."""


class Course(NamedTuple):
    """What happened to one data set: whether the rule stopped it, and how all seeds judge it."""

    stopped: bool
    decided: bool


def by_chance(judged: Judged) -> bool:
    """The rule of until=decided."""
    return seeds_may_decide(judged, _CONFIG, last_level())


def _course(setting: Setting, loss: float, rule: Rule, random: np.random.Generator) -> Course:
    """One data set, whose seeds are trained to the end even where the rule stops."""
    texts = Texts(setting, loss, random)
    n_most = FACTORS[-1] * setting.seeds
    arms = {arm: texts.trainings(n_most, on_llm=arm == LLM) for arm in (GOLD, LLM)}
    seed = int(random.integers(_N_WEIGHTS))
    stopped = False
    for factor in FACTORS:
        n_seeds = factor * setting.seeds
        judged = judge(
            texts.gold,
            {arm: codes[:n_seeds] for arm, codes in arms.items()},
            len(setting.shares),
            config=_CONFIG,
            level=look_level(_CONFIG.until, setting.seeds, n_seeds),
            replicates=_REPLICATES,
            seed=seed,
        )
        decided = bool(judged.rows.set_index("arm").loc[LLM, "safe"] != "undecided")
        if decided and not stopped:
            return Course(stopped=False, decided=True)
        stopped = stopped or (factor != FACTORS[-1] and not rule(judged))
    return Course(stopped, decided)


def _is_wrong_stop(setting: Setting, loss: float, rule: Rule, random: np.random.Generator) -> bool:
    """Whether the stop of a data set was wrong; others are drawn anew."""
    for _ in range(_MOST_DRAWS):
        course = _course(setting, loss, rule, random)
        if course.stopped:
            return course.decided
    raise RuntimeError(f"no stop in {_MOST_DRAWS} data sets of {setting} with loss {loss}")


def _is_stopped(setting: Setting, loss: float, rule: Rule, random: np.random.Generator) -> bool:
    """Whether a data set stopped early that all seeds leave undecided; others are drawn anew."""
    for _ in range(_MOST_DRAWS):
        course = _course(setting, loss, rule, random)
        if not course.decided:
            return course.stopped
    raise RuntimeError(f"all of {_MOST_DRAWS} data sets of {setting}, loss {loss}, are decided")


SETTINGS = (
    (200, 0.01, 0.0),
    (200, 0.01, 0.02),
    (500, 0.01, 0.01),
    (500, 0.02, 0.02),
    (2000, 0.01, 0.02),
)
"""Test texts, standard deviation of the seeds, and the true loss; the rule stops in all of them."""


def worlds(
    rule: Rule, name: str, settings: Sequence[tuple[int, float, float]] = SETTINGS
) -> tuple[World, ...]:
    """The worlds of a rule, under a name that says which."""
    return tuple(
        World(
            name=f"more seeds would not decide{name}: n {n}, 3 seeds, sd {100 * sd:g}, "
            f"loss {100 * loss:g}",
            promised=100 * MIN_CHANCE,
            where_false=functools.partial(_is_wrong_stop, Setting(n, 3, sd=sd), loss, rule),
            where_true=functools.partial(_is_stopped, Setting(n, 3, sd=sd), loss, rule),
        )
        for n, sd, loss in settings
    )


WORLDS = worlds(by_chance, "")
