"""Two experiments, arm by arm: which arms differ.

Eight common arms whose seeds have a standard deviation of one point. Where the sentence is false
the experiments are equal; where it is true one arm gains six points (ten at 200 texts). In the last
worlds an arm gives the same answers in both but for a few texts, of which the test split may have
none; the sentence is then that the limits hold the true difference.
"""

from __future__ import annotations

import functools

import numpy as np

from analysis.questions.compare_arms import ArmDifference, ComparedArm, arm_differences
from benchmarks.sentences.world import World
from benchmarks.simulated_data import Scenario, agreeing_arms, random_accuracies
from benchmarks.simulated_data import World as Examples

_SCENARIOS = (
    Scenario(500, 5, 2, skewed=False, hard=False, sd=0.01),
    Scenario(200, 3, 4, skewed=False, hard=False, sd=0.01),
)
_N_ARMS = 8
_N_AGREEING = 3  # seeds that all give the same answers
_REPLICATES = 1000


def differences(
    scenario: Scenario, gain: float, random: np.random.Generator, *, shared: int = 0
) -> list[ArmDifference]:
    """The differences of all arms, the first of which gains; ``shared`` seeds are the same."""
    examples = Examples(scenario, scenario.n, random)
    arms = {}
    for index in range(_N_ARMS):
        levels = (-0.1, -0.1 + (gain if index == 0 else 0.0))
        first, second = (
            examples.labels(random_accuracies(scenario, random, level, scenario.seeds), random)
            for level in levels
        )
        second[:shared] = first[:shared]
        names = [f"{index} {seed}" for seed in range(scenario.seeds)]
        others = [name if seed < shared else f"new {name}" for seed, name in enumerate(names)]
        arms[f"arm_{index}"] = ComparedArm(first, second, names, others)
    return arm_differences(
        examples.gold,
        arms,
        scenario.n_classes,
        replicates=_REPLICATES,
        # One of two bootstraps, whose resamples stay in memory.
        seed=int(random.integers(2)),
    )


def _differs(scenario: Scenario, shared: int, gain: float, random: np.random.Generator) -> bool:
    found = differences(scenario, gain, random, shared=shared)
    return any(arm.macro_f1.low > 0 or arm.macro_f1.high < 0 for arm in found)


def _world(scenario: Scenario, shared: int) -> World:
    gain = 0.06 if scenario.n > 200 else 0.1
    name = f"an arm differs: {_N_ARMS} equal arms; {scenario.n} texts, {scenario.seeds} seeds"
    return World(
        f"{name}, {shared} shared" if shared else name,
        5.0,
        functools.partial(_differs, scenario, shared, 0.0),
        None if shared else functools.partial(_differs, scenario, shared, gain),
    )


def _agreeing(
    n: int, losses: tuple[float, ...], random: np.random.Generator
) -> list[ArmDifference]:
    """The differences of arms that lose so much in the second experiment, all seeds alike."""
    names = {f"arm_{index}": loss for index, loss in enumerate(losses)}
    gold, answers = agreeing_arms(n, _N_AGREEING, {"first": 0.0, **names}, random)
    arms = {}
    for name in names:
        first, second = ([f"{side} {name} {seed}" for seed in range(_N_AGREEING)] for side in "ab")
        arms[name] = ComparedArm(answers["first"], answers[name], first, second)
    seed = int(random.integers(2))
    return arm_differences(gold, arms, 2, replicates=_REPLICATES, seed=seed)


def _misses(n: int, loss: float, random: np.random.Generator) -> bool:
    found = [arm.macro_f1 for arm in _agreeing(n, (loss,) * _N_ARMS, random)]
    return any(not limits.low <= -loss <= limits.high for limits in found)


def _finds(n: int, loss: float, random: np.random.Generator) -> bool:
    losses = (loss, *[0.0] * (_N_ARMS - 1))
    return any(arm.macro_f1.high < 0 for arm in _agreeing(n, losses, random))


def _agreeing_world(n: int, loss: float) -> World:
    return World(
        f"limits miss a loss of {100 * loss:g}: {_N_ARMS} arms, all seeds alike; {n} texts",
        5.0,
        functools.partial(_misses, n, loss),
        functools.partial(_finds, n, 0.1 if n <= 200 else 0.03),
    )


WORLDS = (
    *(_world(scenario, 0) for scenario in _SCENARIOS),
    _world(_SCENARIOS[0], 2),
    _agreeing_world(100, 0.02),
    _agreeing_world(500, 0.004),
)
