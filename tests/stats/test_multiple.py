"""Resampled scores of arms that share trainings."""

import numpy as np
import pytest

from project.stats.bootstrap import interval, resampled_scores
from project.stats.multiple import paired_scores

GOLD = np.arange(200) % 2


def noisy(right, n_seeds, seed):
    """Predictions ``(n_seeds, 200)``, right with the probabilities ``right`` ``(n_seeds,)``."""
    random = np.random.default_rng(seed)
    return np.where(random.random((n_seeds, 200)) < np.reshape(right, (-1, 1)), GOLD, 1 - GOLD)


TEN = noisy(np.linspace(0.6, 0.95, 10), 10, 0)
NAMES = [f"training {index}" for index in range(10)]


def f1(arms, trainings):
    scores = paired_scores(GOLD, arms, trainings, 2, replicates=500)
    return {name: values.macro_f1 for name, values in scores.items()}


def test_arms_of_the_same_trainings_differ_by_exactly_zero_in_whatever_order():
    order = [3, 1, 4, 0, 2]
    arms = {"one": TEN[:5], "again": TEN[:5][order], "other": TEN[5:]}
    names = {
        "one": NAMES[:5],
        "again": [NAMES[index] for index in order],
        "other": NAMES[5:],
    }
    scores = f1(arms, names)

    assert (scores["one"] == scores["again"]).all()
    assert np.std(scores["one"] - scores["other"]) > 0.01


def test_arms_without_a_common_training_are_scored_as_before():
    arms = {"one": TEN[:5], "other": TEN[5:]}
    expected = resampled_scores(GOLD, arms, 2, replicates=500)
    scores = f1(arms, {"one": NAMES[:5], "other": NAMES[5:]})

    assert all((scores[name] == expected[name].macro_f1).all() for name in arms)


def test_the_same_name_with_other_predictions_is_another_training():
    arms = {"one": TEN[:5], "other": noisy([0.8] * 5, 5, 1)}
    scores = f1(arms, {"one": NAMES[:5], "other": NAMES[:5]})

    assert np.std(scores["one"] - scores["other"]) > 0.01


def test_shared_trainings_bring_their_chance_into_both_arms():
    """Five seeds less ten, these five among them, vary as half the ten do."""
    arms = {"five": TEN[::2], "ten": TEN}
    shared = f1(arms, {"five": NAMES[::2], "ten": NAMES})
    apart = f1(arms, {"five": [f"other {name}" for name in NAMES[::2]], "ten": NAMES})
    width = {
        name: np.ptp(interval(scores["five"] - scores["ten"])[1:])
        for name, scores in (("shared", shared), ("apart", apart))
    }

    # The variances of the mean of the seeds are v / 10 and v / 5 + v / 10.
    assert width["shared"] / width["apart"] == pytest.approx(np.sqrt(1 / 3), rel=0.25)
    alone = {"ten": interval(shared["ten"]), "apart": interval(apart["ten"])}
    assert np.ptp(alone["ten"][1:]) == pytest.approx(np.ptp(alone["apart"][1:]), rel=0.15)


def test_an_arm_that_is_one_training_several_times_has_no_spread_of_seeds():
    twice = TEN[[0, 0]]
    scores = f1({"twice": twice, "more": TEN[:5]}, {"twice": [NAMES[0]] * 2, "more": NAMES[:5]})
    once = f1({"once": TEN[:1]}, {"once": NAMES[:1]})

    assert scores["twice"] == pytest.approx(once["once"])
