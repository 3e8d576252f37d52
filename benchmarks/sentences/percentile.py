"""What the verdict's limits are measured against: a percentile bootstrap in the same worlds.

The middle 95 % of resampled test examples, with the spread of the seeds added: limits that are
blind to disagreements that were not seen.
"""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.sentences.verdict import FOUR, Setting, Texts
from benchmarks.sentences.world import World
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import interval, resampled_scores

_TOLERANCE = 0.02
_REPLICATES = 1000


def _is_called_small(setting: Setting, loss: float, random: np.random.Generator) -> bool:
    texts = Texts(setting, loss, random)
    arms = {arm: texts.trainings(setting.seeds, on_llm=arm == LLM) for arm in (GOLD, LLM)}
    scores = resampled_scores(
        texts.gold, arms, len(setting.shares), replicates=_REPLICATES, seed=int(random.integers(10))
    )
    return interval(scores[GOLD].macro_f1 - scores[LLM].macro_f1).high <= _TOLERANCE


_shared = functools.partial(Setting, sd=0.0, common=1.0)
"""All seeds of an arm answer alike."""
_SETTINGS = {
    "one error, shared by all seeds, n 100": _shared(100, 5),
    "one error, shared by all seeds, n 200": _shared(200, 5),
    "one error, shared by all seeds, n 500": _shared(500, 5),
    "one error, shared by all seeds, 90:10, n 200": _shared(200, 5, (9, 1)),
    "one error, shared by all seeds, of the rare class, 90:10, n 200": _shared(
        200, 5, (9, 1), wrong_class=1
    ),
    "2 classes, n 500, 5 seeds, sd 1": Setting(500, 5),
    "2 classes, n 500, 10 seeds, sd 1": Setting(500, 10),
    "4 classes, n 500, 5 seeds, sd 1": Setting(500, 5, FOUR, 0.85),
    "4 classes, n 500, 10 seeds, sd 1": Setting(500, 10, FOUR, 0.85),
}
WORLDS = tuple(
    World(
        name=f"loss is small, by a percentile bootstrap: {name}",
        promised=2.5,
        where_false=functools.partial(_is_called_small, setting, _TOLERANCE),
        where_true=functools.partial(_is_called_small, setting, 0.0),
    )
    for name, setting in _SETTINGS.items()
)
