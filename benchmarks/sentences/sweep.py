"""The chosen one of many trials: its test score.

Twenty trials of the same truth, 84 % of macro-F1, are trained with three seeds of their own. The
one that is best on 100 validation examples is tested on 500 (200) examples, as gold is. False: the
limits of its test score do not hold its true score; it differs from an equal gold. True: gold is
six points better. The last world has five chosen trials, as a Pareto front.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from benchmarks.sentences.world import World
from benchmarks.simulated_data import Scenario, random_accuracies
from benchmarks.simulated_data import World as Examples
from project.stats.contrasts import ScoreSums
from project.stats.metrics import macro_f1
from project.stats.score_limits import ScoreLimits, score_limits

_SCENARIOS = (
    Scenario(500, 5, 2, skewed=False, hard=False, sd=0.01),
    Scenario(200, 3, 4, skewed=False, hard=False, sd=0.01),
)
_N_TRIALS = 20
_N_VALIDATION = 100
_SWEEP_SEEDS = 3
_REPLICATES = 1000
# With balanced classes and errors that hit all classes alike, macro-F1 is the accuracy.
TRUTH = 0.84


class Study(NamedTuple):
    """The validation score of the best trial, and the test limits of the chosen ones."""

    validation: float
    tested: ScoreLimits


def study(scenario: Scenario, n_chosen: int, gold: float, random: np.random.Generator) -> Study:
    """A study whose trials all have the true score TRUTH."""
    validation = Examples(scenario, _N_VALIDATION, random)
    scores = []
    for _ in range(_N_TRIALS):
        accuracies = random_accuracies(scenario, random, TRUTH - scenario.accuracy, _SWEEP_SEEDS)
        predicted = validation.labels(accuracies, random)
        by_seed = [macro_f1(validation.gold, codes, scenario.n_classes) for codes in predicted]
        scores.append(np.mean(by_seed))
    test = Examples(scenario, scenario.n, random)
    truths = {"gold": gold} | {f"trial {index}": TRUTH for index in range(n_chosen)}
    arms = {}
    for name, truth in truths.items():
        accuracies = random_accuracies(scenario, random, truth - scenario.accuracy, scenario.seeds)
        arms[name] = test.labels(accuracies, random)
    # One of two bootstraps, whose resamples stay in memory.
    seed = int(random.integers(2))
    sums = ScoreSums(test.gold, arms, scenario.n_classes, replicates=_REPLICATES, seed=seed)
    limits = score_limits(sums, list(arms), "gold")
    return Study(float(max(scores)), limits)


def _misses(scenario: Scenario, n_chosen: int, random: np.random.Generator) -> bool:
    tested = study(scenario, n_chosen, TRUTH, random).tested.score
    return any(
        not tested[f"trial {i}"].low <= TRUTH <= tested[f"trial {i}"].high for i in range(n_chosen)
    )


def _differs(scenario: Scenario, n_chosen: int, gold: float, random: np.random.Generator) -> bool:
    tested = study(scenario, n_chosen, gold, random).tested.difference
    return any(found.low > 0 or found.high < 0 for found in tested.values())


WORLDS = tuple(
    world
    for scenario, n_chosen in ((_SCENARIOS[0], 1), (_SCENARIOS[1], 1), (_SCENARIOS[0], 5))
    for world in (
        World(
            f"test limits miss the truth; {n_chosen} of {_N_TRIALS} trials, {scenario.n} texts",
            5.0,
            functools.partial(_misses, scenario, n_chosen),
        ),
        World(
            f"differs from gold: equal; {n_chosen} of {_N_TRIALS} trials, {scenario.n} texts",
            5.0,
            functools.partial(_differs, scenario, n_chosen, TRUTH),
            functools.partial(_differs, scenario, n_chosen, TRUTH + 0.06),
        ),
    )
)
