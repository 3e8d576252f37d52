"""What a monitor's alarm is measured against: every batch against the same old texts alone.

The p-value of each batch is valid, but those of several batches are not independent, and their
product is no martingale: with few old texts it raises false alarms.
"""

from __future__ import annotations

import functools

import numpy as np

from benchmarks.sentences.monitor import LOOKS, Stream, texts
from benchmarks.sentences.world import World
from project.stats.anytime import FALSE_ALARMS, evidence
from project.stats.two_samples import two_sample_test

_PERMUTATIONS = 199


def _raises_alarm(stream: Stream, random: np.random.Generator) -> bool:
    old = texts(stream.n_old, random)
    p_values = [
        two_sample_test(
            old, texts(stream.n_new, random), rng=random, permutations=_PERMUTATIONS
        ).together
        for _ in range(LOOKS)
    ]
    return bool(evidence(np.array(p_values)).max() >= 1 / FALSE_ALARMS)


WORLDS = tuple(
    World(
        f"an alarm in {LOOKS} looks, each batch against the old texts alone: {name}",
        5.0,
        functools.partial(_raises_alarm, stream),
    )
    for name, stream in {
        "20 old texts, batches of 50": Stream(20, 50),
        "50 old texts, batches of 50": Stream(50, 50),
    }.items()
)
