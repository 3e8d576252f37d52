"""The intervals whose coverage is simulated: their limits, the truth, the scenarios."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.simulated_data import (
    POPULATION,
    Scenario,
    f1_difference,
    ratings,
    transition,
    transition_counts,
    two_arms,
    two_ratings,
    uncertainties,
)
from project.stats import bootstrap, detection
from project.stats.agreement import (
    alpha_interval,
    krippendorff_alpha,
    label_counts,
    resampled_agreement,
    unchanged,
    unchanged_interval,
)
from project.stats.noise import noise_transition

MAX_COVERAGE = 98.0  # per cent of the repetitions
# Half of the usual number of replicates: limits move by a few hundredths of their distance.
REPLICATES = 1000


class Limits(NamedTuple):
    """Lower and upper limits of one interval, or of several that hold at once, any shape."""

    low: npt.ArrayLike
    high: npt.ArrayLike


class Kind(NamedTuple):
    """A kind of interval.

    ``limits``: from a scenario, a generator and the seed of the bootstrap. ``truth``: from a
    scenario and a generator. ``describe``: the words for a scenario. ``is_main``: whether it
    decides the exit status. ``max_coverage``: in per cent.
    """

    name: str
    limits: Callable[[Scenario, np.random.Generator, int], Limits]
    truth: Callable[[Scenario, np.random.Generator], npt.ArrayLike]
    scenarios: tuple[Scenario, ...]
    describe: Callable[[Scenario], str]
    is_main: bool = True
    max_coverage: float = MAX_COVERAGE


def _alpha_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    counts = label_counts(ratings(scenario, scenario.n, random), scenario.n_classes)
    return Limits(*alpha_interval(counts, replicates=REPLICATES, seed=seed)[1:])


def _alpha(scenario: Scenario, random: np.random.Generator) -> float:
    counts = label_counts(ratings(scenario, POPULATION, random), scenario.n_classes)
    return krippendorff_alpha(counts)


def _unchanged_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    del seed
    return Limits(*unchanged_interval(ratings(scenario, scenario.n, random))[1:])


def _unchanged(scenario: Scenario, random: np.random.Generator) -> float:
    return unchanged(ratings(scenario, POPULATION, random))


def _f1_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    gold, arms = two_arms(scenario, random)
    scores = bootstrap.resampled_scores(
        gold, arms, scenario.n_classes, replicates=REPLICATES, seed=seed
    )
    return Limits(*bootstrap.interval(scores["more"].macro_f1 - scores["less"].macro_f1)[1:])


def _transition_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    del seed
    return Limits(*noise_transition(transition_counts(scenario, random))[1:])


def _alpha_difference_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    weights = bootstrap.example_weights(scenario.n, REPLICATES, seed)
    more, less = (
        resampled_agreement(codes, scenario.n_classes, weights)[0]
        for codes in two_ratings(scenario, scenario.n, random)
    )
    return Limits(*bootstrap.interval(more - less)[1:])


def _alpha_difference(scenario: Scenario, random: np.random.Generator) -> float:
    more, less = (
        krippendorff_alpha(label_counts(codes, scenario.n_classes))
        for codes in two_ratings(scenario, POPULATION, random)
    )
    return more - less


def _auroc_limits(scenario: Scenario, random: np.random.Generator, seed: int) -> Limits:
    del seed
    return Limits(*detection.auroc_interval(*uncertainties(scenario, scenario.n, random))[1:])


def _auroc(scenario: Scenario, random: np.random.Generator) -> float:
    return detection.auroc(*uncertainties(scenario, POPULATION, random))


_RATED = (
    Scenario(100, 3, 2, skewed=False, hard=False),
    Scenario(100, 3, 2, skewed=True, hard=True),
    Scenario(100, 5, 4, skewed=True, hard=False),
    Scenario(100, 5, 10, skewed=False, hard=True),
    Scenario(100, 3, 10, skewed=True, hard=False),
    Scenario(500, 3, 2, skewed=True, hard=False),
    Scenario(500, 5, 2, skewed=False, hard=True),
    Scenario(500, 3, 4, skewed=False, hard=True),
    Scenario(500, 5, 10, skewed=True, hard=False),
    Scenario(2000, 3, 2, skewed=True, hard=False),
    Scenario(2000, 5, 4, skewed=False, hard=True),
    Scenario(2000, 3, 10, skewed=True, hard=True),
)
_SCORED = (
    Scenario(100, 3, 2, skewed=False, hard=False),
    Scenario(100, 5, 4, skewed=True, hard=True),
    Scenario(100, 3, 10, skewed=True, hard=True),
    Scenario(500, 3, 2, skewed=True, hard=False),
    Scenario(500, 5, 4, skewed=False, hard=True),
    Scenario(500, 3, 10, skewed=True, hard=True),
    Scenario(2000, 3, 4, skewed=True, hard=False),
    Scenario(2000, 5, 2, skewed=False, hard=True),
)
_DETECTED = tuple(
    Scenario(n, 1, 2, skewed=False, hard=hard, other=coarse)
    for n in (100, 500, 2000)
    for hard, coarse in ((False, False), (True, True))
)


def _classes(scenario: Scenario) -> str:
    skewed = ", skewed" if scenario.skewed else ""
    return f"{scenario.n} examples, {scenario.n_classes} classes{skewed}, {_difficulty(scenario)}"


def _seeds(scenario: Scenario) -> str:
    return f"{_classes(scenario)}, {scenario.seeds} seeds"


def _difficulty(scenario: Scenario) -> str:
    return "hard" if scenario.hard else "easy"


def _detection(scenario: Scenario) -> str:
    coarse = ", coarse" if scenario.other else ""
    return f"{scenario.n} examples, {_difficulty(scenario)}{coarse}"


KINDS = {
    "alpha": Kind("Krippendorff's alpha", _alpha_limits, _alpha, _RATED, describe=_seeds),
    "unchanged": Kind("share unchanged", _unchanged_limits, _unchanged, _RATED, describe=_seeds),
    "f1": Kind(
        "macro-F1 difference",
        _f1_limits,
        f1_difference,
        tuple(scenario._replace(sd=sd) for scenario in _SCORED for sd in (0.0, 0.01, 0.03)),
        describe=lambda scenario: f"{_seeds(scenario)}, sd {scenario.sd:g}",
    ),
    "transition": Kind(
        "transition, all cells",
        _transition_limits,
        lambda scenario, _: transition(scenario),
        tuple(scenario._replace(other=index % 3 == 2) for index, scenario in enumerate(_RATED)),
        describe=lambda scenario: f"{_classes(scenario)}{', no answer' if scenario.other else ''}",
        max_coverage=100.0,
    ),
    "alphas": Kind(
        "difference of alphas",
        _alpha_difference_limits,
        _alpha_difference,
        _RATED,
        describe=_seeds,
        is_main=False,
    ),
    "auroc": Kind("AUROC", _auroc_limits, _auroc, _DETECTED, describe=_detection, is_main=False),
}
"""By name, for the command line; their order determines the random numbers."""
