"""Label sources at equal budgets: which one reaches the goal and which one beats random.

Three sources at three budgets; the seeds have a standard deviation of one point. Gold is right in
90 %, the LLM's labels in 75 %. Where the sentence is false all sources are equal at every budget;
where it is true one of them is better. In the last worlds the goal is gold's own macro-F1, and
sources and gold give the same answers but for a few texts, of which the test split may have none.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from analysis.questions.budget_sentence import Findings, Source, findings, limits
from benchmarks.sentences.world import World
from benchmarks.simulated_data import Scenario, agreeing_arms, random_accuracies
from benchmarks.simulated_data import World as Examples
from project.stats.bootstrap import NO_INTERVAL
from project.stats.contrasts import ScoreSums
from project.stats.types import Codes

_SCENARIOS = (
    Scenario(500, 5, 2, skewed=False, hard=False, sd=0.01),
    Scenario(200, 3, 4, skewed=False, hard=False, sd=0.01),
)
_REPLICATES = 1000
_REACH = 0.95
_GOLD = 0.9
# With balanced classes and errors that hit all classes alike, macro-F1 is the accuracy.
_GOAL = _REACH * _GOLD
_KINDS = ("random", "entropy", "learned")
_SHARES = (5, 10, 25)
Truth = Mapping[str, tuple[float, float, float]]
"""The true macro-F1 of every kind at the three budgets."""


class Arms(NamedTuple):
    """Gold labels ``(n,)`` and predictions ``(n_seeds, n)`` by the name of the arm."""

    gold: Codes
    predicted: dict[str, Codes]


def draw(scenario: Scenario, truth: Truth, random: np.random.Generator) -> Arms:
    """Predictions of all arms with these true scores."""
    examples = Examples(scenario, scenario.n, random)
    scores = {"gold": _GOLD, "llm": 0.75}
    for kind, by_share in truth.items():
        scores |= {f"{kind}_{share}": f1 for share, f1 in zip(_SHARES, by_share, strict=True)}
    predicted = {}
    for name, score in scores.items():
        difference = score - scenario.accuracy
        accuracies = random_accuracies(scenario, random, difference, scenario.seeds)
        predicted[name] = examples.labels(accuracies, random)
    return Arms(examples.gold, predicted)


def found_in(scenario: Scenario, arms: Arms, seed: int, reach: float = _REACH) -> Findings:
    """What the sentence rests on."""
    sums = ScoreSums(
        arms.gold, arms.predicted, scenario.n_classes, replicates=_REPLICATES, seed=seed
    )
    kinds = {name: name.partition("_")[0] for name in arms.predicted if name != "gold"}
    rivals = {
        name: f"random_{name.partition('_')[2]}"
        for name, kind in kinds.items()
        if kind in _KINDS and kind != "random"
    }
    made = limits(sums, reach, list(kinds), rivals)
    sources = []
    for name, kind in kinds.items():
        share = float(name.partition("_")[2] or 0) / 100
        over_random = made.over_random.get(name, NO_INTERVAL)
        sources.append(Source(name, kind, share, share, made.over_goal[name], over_random))
    return findings(sources)


def _seed(random: np.random.Generator) -> int:
    """One of two bootstraps, whose resamples stay in memory."""
    return int(random.integers(2))


_EQUAL: Truth = dict.fromkeys(_KINDS, (_GOAL, _GOAL, _GOAL))
_CLEAR: Truth = {**dict.fromkeys(_KINDS, (0.76, 0.78, 0.80)), "entropy": (0.8, 0.89, 0.89)}


def _found(scenario: Scenario, truth: Truth, random: np.random.Generator) -> Findings:
    return found_in(scenario, draw(scenario, truth, random), _seed(random))


def _names_budget(scenario: Scenario, truth: Truth, random: np.random.Generator) -> bool:
    return bool(_found(scenario, truth, random).enough)


def _random_needs_more(scenario: Scenario, truth: Truth, random: np.random.Generator) -> bool:
    found = _found(scenario, truth, random)
    return bool(found.enough) and found.random_needs_more


def _beats_random(scenario: Scenario, truth: Truth, random: np.random.Generator) -> bool:
    return bool(_found(scenario, truth, random).better)


def _names_agreeing(n: int, loss: float, random: np.random.Generator) -> bool:
    """Whether any source with this loss against gold is said to reach gold's own macro-F1."""
    sources = [f"{kind}_{share}" for kind in _KINDS for share in _SHARES]
    losses = dict.fromkeys(sources, max(0.0, loss)) | {"gold": max(0.0, -loss)}
    gold, predicted = agreeing_arms(n, 3, losses, random)
    scenario = Scenario(n, 3, 2, skewed=False, hard=False)
    return bool(found_in(scenario, Arms(gold, predicted), _seed(random), 1.0).enough)


def _agreeing_world(n: int, loss: float) -> World:
    """True losses of a few points; for the power gold is ten points worse."""
    return World(
        f"a budget is enough: loss {100 * loss:g}, all seeds alike; {n} texts, 3 seeds",
        2.5,
        functools.partial(_names_agreeing, n, loss),
        functools.partial(_names_agreeing, n, -0.1),
    )


_SENTENCES = {
    "a budget is enough: all sources a hair below the goal": _names_budget,
    "random needs more: all sources equal, at the goal": _random_needs_more,
    "better than random: all sources equal": _beats_random,
}
WORLDS = (
    *(
        World(
            f"{name}; {scenario.n} texts, {scenario.seeds} seeds",
            2.5,
            functools.partial(said, scenario, _EQUAL),
            functools.partial(said, scenario, _CLEAR),
        )
        for scenario in _SCENARIOS
        for name, said in _SENTENCES.items()
    ),
    _agreeing_world(100, 0.02),
    _agreeing_world(500, 0.004),
)
