"""The remedy that is the headline of a verdict whose seeds are added until it is decided.

The LLM's labels lose three times the tolerance; three remedies, each with errors of its own, lose
the tolerance, or for the power nothing.
"""

from __future__ import annotations

import functools

import numpy as np

from analysis.questions.verdict_judge import arms_that_seeds_may_decide, judge
from analysis.questions.verdict_looks import FACTORS, last_level, look_level
from benchmarks.sentences.verdict import Setting, Texts, wrong_share
from benchmarks.sentences.world import World
from project.config.arms import GOLD, LLM
from project.config.results import VerdictConfig
from project.stats.types import Codes

_TOLERANCE = 2.0
_REPLICATES = 1000
_N_REMEDIES = 3
_N_WEIGHTS = 10
"""Different weights of the examples, which repetitions share."""


def _is_named(setting: Setting, loss: float, random: np.random.Generator) -> bool:
    """Whether any of three remedies with this loss is the headline, if seeds are added."""
    texts = Texts(setting, loss, random)
    losses = {GOLD: 0.0, LLM: 3 * _TOLERANCE / 100}
    losses |= {f"remedy_{number}": loss for number in range(_N_REMEDIES)}
    is_wrong = {
        arm: random.random(setting.n) < (wrong_share(setting, of_arm) if of_arm else 0.0)
        for arm, of_arm in losses.items()
    }

    def trained(arm: str, n_seeds: int) -> Codes:
        texts.is_wrong = is_wrong[arm]
        return texts.trainings(n_seeds, on_llm=arm != GOLD)

    arms = {arm: trained(arm, setting.seeds) for arm in losses}
    config = VerdictConfig(_TOLERANCE, -1.0, "decided")
    seed = int(random.integers(_N_WEIGHTS))
    for factor in FACTORS:
        judged = judge(
            texts.gold,
            arms,
            len(setting.shares),
            config=config,
            level=look_level(config.until, setting.seeds, factor * setting.seeds),
            replicates=_REPLICATES,
            seed=seed,
        )
        goes_on = arms_that_seeds_may_decide(judged, config, last_level())
        if not goes_on or factor == FACTORS[-1]:
            break
        more = factor * setting.seeds
        arms = {arm: np.concatenate([arms[arm], trained(arm, more)]) for arm in arms}
    return bool(judged.named)


WORLDS = tuple(
    World(
        name=f"until decided, any of {_N_REMEDIES} remedies is named: 2 classes, n {n}, sd 1",
        promised=2.5,
        where_false=functools.partial(_is_named, Setting(n, 5), _TOLERANCE / 100),
        where_true=functools.partial(_is_named, Setting(n, 5), 0.0),
    )
    for n in (500, 2000)
)
