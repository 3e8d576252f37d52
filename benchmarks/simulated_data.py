"""Simulated labels, predictions and uncertainties whose true statistics are known.

Skewed: class k has a share in proportion to (k + 1)^-1.5, so that the rarest of ten has 1.6 %.
Easy: labels are right for nine examples in ten; hard: for two in three.

A label is right if the sum of the example's difficulty, which all seeds and arms share, and of a
random number of its own is small enough. Seven in ten wrong labels are the example's own wrong
class, the others are any class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Floats, Mask

POPULATION = 500_000  # examples that stand for all
SEED_POPULATION = 1_000_000  # seeds that stand for all

_DIFFICULTY_SHARE = 0.7  # share of the example in the variance of what makes a label right
_SAME_ERROR = 0.7  # share of wrong labels that are the example's own wrong class
_SPREAD = 0.02  # accuracies of fixed seeds lie between -0.02 and 0.02 around the mean
_NO_ANSWER = 0.02  # share of texts without an answer, in scenarios that have such
_AGREED_ACCURACY = 0.9  # of arms that all give the same answers
_NORMAL = NormalDist()


class Scenario(NamedTuple):
    """The shape of the data.

    ``n``: number of examples; ``seeds``: of each arm; ``sd``: standard deviation of the accuracy
    over seeds; ``other``: the transition has a column of no answer, uncertainties are rounded.
    """

    n: int
    seeds: int
    n_classes: int
    skewed: bool
    hard: bool
    sd: float = 0.0
    other: bool = False

    @property
    def accuracy(self) -> float:
        """Share of labels that are right, in [0, 1]."""
        return 0.66 if self.hard else 0.91

    @property
    def difference(self) -> float:
        """How much larger the accuracy of the better arm is."""
        return 0.04 if self.hard else 0.02

    def prior(self) -> Floats:
        """Shares of the gold classes, ``(n_classes,)``."""
        share = (np.arange(self.n_classes) + 1.0) ** (-1.5 if self.skewed else 0.0)
        return np.asarray(share / share.sum())


class World:
    """Examples with their gold class, their difficulty and their own wrong class, ``(n,)`` each."""

    def __init__(self, scenario: Scenario, n: int, random: np.random.Generator) -> None:
        """Draw ``n`` examples."""
        self.n_classes = scenario.n_classes
        self.gold = random.choice(self.n_classes, size=n, p=scenario.prior())
        self.difficulty = random.normal(size=n)
        self.own_error = self._wrong(n, random)

    def _wrong(self, n: int, random: np.random.Generator) -> Codes:
        """Any class but the gold one."""
        return (self.gold + random.integers(1, self.n_classes, size=n)) % self.n_classes

    def labels(self, accuracies: Floats, random: np.random.Generator) -> Codes:
        """Labels by seeds of these accuracies, ``(n_seeds, n)``."""
        n = len(self.gold)
        labels = []
        for accuracy in accuracies:
            noise = random.normal(size=n)
            effort = np.sqrt(_DIFFICULTY_SHARE) * self.difficulty
            effort = effort + np.sqrt(1 - _DIFFICULTY_SHARE) * noise
            is_own = random.random(n) < _SAME_ERROR
            wrong = np.where(is_own, self.own_error, self._wrong(n, random))
            is_right = effort < _NORMAL.inv_cdf(float(accuracy))
            labels.append(np.where(is_right, self.gold, wrong))
        return np.stack(labels)


def agreeing_arms(
    n: int, n_seeds: int, losses: Mapping[str, float], random: np.random.Generator
) -> tuple[Codes, dict[str, Codes]]:
    """Gold labels ``(n,)`` and predictions ``(n_seeds, n)`` of arms that differ on few texts.

    Two classes. All arms and all seeds give the same answers, nine in ten right, but that an arm is
    wrong about a share of the right ones. All its seeds are, so that its true accuracy and its true
    macro-F1 are smaller by the loss, ``losses`` by name.
    """
    gold = random.integers(0, 2, size=n)
    right = random.random(n) < _AGREED_ACCURACY
    arms = {}
    for name, loss in losses.items():
        still_right = right & (random.random(n) >= loss / _AGREED_ACCURACY)
        arms[name] = np.stack([np.where(still_right, gold, 1 - gold)] * n_seeds)
    return gold, arms


def fixed_accuracies(scenario: Scenario, difference: float = 0.0) -> Floats:
    """Accuracies that are the same in every repetition, ``(seeds,)``."""
    return scenario.accuracy + difference + np.linspace(-_SPREAD, _SPREAD, scenario.seeds)


def random_accuracies(
    scenario: Scenario, random: np.random.Generator, difference: float, n: int
) -> Floats:
    """Accuracies of ``n`` seeds, normally distributed with standard deviation ``sd``."""
    accuracies = scenario.accuracy + difference + scenario.sd * random.normal(size=n)
    return np.clip(accuracies, 0.01, 0.99)


def ratings(scenario: Scenario, n: int, random: np.random.Generator) -> Codes:
    """Labels of ``n`` examples by seeds with fixed accuracies, ``(seeds, n)``."""
    return World(scenario, n, random).labels(fixed_accuracies(scenario), random)


def two_ratings(scenario: Scenario, n: int, random: np.random.Generator) -> Iterator[Codes]:
    """Labels of the same examples by the better and the worse arm, accuracies fixed."""
    world = World(scenario, n, random)
    for difference in (scenario.difference, 0.0):
        yield world.labels(fixed_accuracies(scenario, difference), random)


def two_arms(scenario: Scenario, random: np.random.Generator) -> tuple[Codes, dict[str, Codes]]:
    """Gold labels ``(n,)`` and predictions ``(n_seeds, n)`` of two arms, accuracies random."""
    world = World(scenario, scenario.n, random)
    predictions = {}
    for name, difference in (("more", scenario.difference), ("less", 0.0)):
        accuracies = random_accuracies(scenario, random, difference, scenario.seeds)
        predictions[name] = world.labels(accuracies, random)
    return world.gold, predictions


def f1_difference(scenario: Scenario, random: np.random.Generator) -> float:
    """The true macro-F1 difference of the two arms, over all examples and a million seeds.

    Wrong labels go to every other class alike, so a class that is not gold is predicted with
    probability ``(1 - accuracy) / (n_classes - 1)``.
    """
    prior = scenario.prior()
    error_share = 1 / (scenario.n_classes - 1)
    means = []
    for difference in (scenario.difference, 0.0):
        right = random_accuracies(scenario, random, difference, SEED_POPULATION)[:, None]
        predicted = prior * right + (1 - right) * (1 - prior) * error_share
        means.append(float((2 * prior * right / (prior + predicted)).mean()))
    return means[0] - means[1]


def transition(scenario: Scenario) -> Floats:
    """P(given | gold) of an annotator, most of whose errors go to the next class.

    ``(n_classes, n_classes)``, or one more column for no answer.
    """
    k = scenario.n_classes
    wrong = 1 - scenario.accuracy
    shares = np.full((k, k), wrong * (1 - _SAME_ERROR) / (k - 1))
    shares[np.arange(k), (np.arange(k) + 1) % k] += wrong * _SAME_ERROR
    np.fill_diagonal(shares, scenario.accuracy)
    if not scenario.other:
        return shares
    no_answer = np.full((k, 1), _NO_ANSWER)
    return np.concatenate([(1 - _NO_ANSWER) * shares, no_answer], axis=1)


def transition_counts(scenario: Scenario, random: np.random.Generator) -> Codes:
    """How often each class was given for each gold class, in the shape of :func:`transition`."""
    gold_counts = random.multinomial(scenario.n, scenario.prior())
    return np.asarray(random.multinomial(gold_counts, transition(scenario)))


def uncertainties(scenario: Scenario, n: int, random: np.random.Generator) -> tuple[Floats, Mask]:
    """Uncertainties of ``n`` labels, and which labels are wrong.

    Normal numbers, larger for wrong labels by 1.5 (easy, 8 % wrong) or 0.5 (hard, 30 % wrong)
    standard deviations; with ``other`` they are rounded to 0.5.
    """
    wrong = random.random(n) < (0.3 if scenario.hard else 0.08)
    values = random.normal(size=n) + wrong * (0.5 if scenario.hard else 1.5)
    return np.round(2 * values) / 2 if scenario.other else values, wrong
