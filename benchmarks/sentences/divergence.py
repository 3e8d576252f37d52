"""Is the LLM further from the truth than its classifiers are from it? Where both are equally far.

Two classes. People's log odds of the second class are normal around 0, or around values that make
them nearly agree; the LLM's deviate from theirs, and the classifiers' from the LLM's. Where the
sentence is false, both mean distances are equal under the smoothing that the report uses.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from analysis.questions.divergence_terms import SMOOTHING, Distributions, relation
from benchmarks.sentences.world import Said, World
from project.stats.divergence import kl_bits, smoothed
from project.stats.types import Floats

_OF_LLM = 0.8
"""Standard deviation of the LLM's log odds around people's."""
_OF_SEED = 0.3
"""Of a classifier's log odds around the mean of the classifiers."""
_N_TRUTH = 200_000


class Setting(NamedTuple):
    """``n`` examples with ``votes`` each, or a single label; people's log odds have this spread."""

    n: int
    votes: int
    spread: float
    n_seeds: int = 3


def _both(log_odds: Floats) -> Floats:
    p = 1 / (1 + np.exp(-log_odds))
    return np.stack([1 - p, p], axis=-1)


def _drawn(setting: Setting, n: int, deviation: float, random: np.random.Generator) -> list[Floats]:
    """People, LLM and classifiers, whose log odds deviate from the LLM's by ``deviation``."""
    people = random.normal(0, setting.spread, n)
    llm = people + random.normal(0, _OF_LLM, n)
    learned = llm + random.normal(0, deviation, n)
    seeds = learned + random.normal(0, _OF_SEED, (setting.n_seeds, n))
    return [_both(people), _both(llm), _both(seeds)]


@functools.cache
def equal_deviation(setting: Setting) -> float:
    """The deviation of the classifiers at which both distances are equal."""
    low, high = 0.0, 20.0
    while high - low > 1e-3:
        middle = (low + high) / 2
        random = np.random.default_rng(1)  # the same each time, so that it rises
        p, p_s, p_hat = _drawn(setting, _N_TRUTH, middle, random)
        if setting.votes == 1:
            p = np.eye(2)[(random.random(_N_TRUTH) < p[:, 1]).astype(np.int64)]
        source = smoothed(p_s, SMOOTHING)
        first = kl_bits(p, source).mean()
        second = kl_bits(source[None], smoothed(p_hat, SMOOTHING)).mean()
        low, high = (middle, high) if second < first else (low, middle)
    return low


def data(setting: Setting, factor: float, random: np.random.Generator) -> Distributions:
    """A data set whose classifiers deviate ``factor`` times as much as where both are equal."""
    p, p_s, p_hat = _drawn(setting, setting.n, factor * equal_deviation(setting), random)
    m = setting.votes
    counts = random.binomial(m, p[:, 1])
    shares = np.stack([m - counts, counts], axis=1) / m
    return Distributions(shares, p_s, p_hat, None if m == 1 else np.full(setting.n, float(m)))


def _says(setting: Setting, factor: float) -> Said:
    return lambda random: relation(data(setting, factor, random)) != ""


SETTINGS = (
    Setting(200, 1, 1.5),
    Setting(200, 2, 1.5),
    Setting(200, 3, 1.5),
    Setting(200, 3, 0.3),
    Setting(200, 3, 4.0),
    Setting(1000, 3, 4.0),
    Setting(200, 5, 1.5),
    Setting(200, 11, 1.5),
    Setting(1000, 11, 3.0, n_seeds=5),
)
WORLDS = tuple(
    World(
        f"closer or further: {setting.n} texts, {setting.votes} votes, sd {setting.spread:g}, "
        f"{setting.n_seeds} seeds",
        5.0,
        _says(setting, 1.0),
        _says(setting, 3.0),
    )
    for setting in SETTINGS
)
