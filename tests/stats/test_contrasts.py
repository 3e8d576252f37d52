"""Contrasts of arms' scores: the limits by their definition, shared trainings, many classes."""

import tracemalloc

import numpy as np
import pytest
from scipy.stats import t

from project.stats.contrasts import ScoreSums
from project.stats.unseen import unseen_weights

GOLD = np.arange(200) % 2
REPLICATES = 400


def noisy(right, n_seeds, seed, gold=GOLD, n_classes=2):
    """Predictions ``(n_seeds, n)``, right with the probabilities ``right``, else another class."""
    random = np.random.default_rng(seed)
    wrong = (gold + random.integers(1, n_classes, (n_seeds, len(gold)))) % n_classes
    return np.where(random.random((n_seeds, len(gold))) < np.reshape(right, (-1, 1)), gold, wrong)


TEN = noisy(np.linspace(0.6, 0.95, 10), 10, 0)
NAMES = [f"training {index}" for index in range(10)]


def sums_of(arms, trainings=None, replicates=REPLICATES, gold=GOLD):
    return ScoreSums(gold, arms, 2, trainings=trainings, replicates=replicates)


def macro(gold, codes, weights, metric, present):
    """A macro score of one training under one weighting, from its definition."""
    scores = []
    for label in present:
        hits = weights[(gold == label) & (codes == label)].sum()
        n_gold = weights[gold == label].sum()
        n_given = weights[codes == label].sum()
        of_class = {
            "macro_f1": 2 * hits / (n_gold + n_given),
            "precision": hits / n_given if n_given else 0.0,
            "recall": hits / n_gold,
        }
        scores.append(of_class[metric])
    return np.mean(scores)


def with_one_more(gold, arms, label, answers, weights, metric):
    """Mean score of "a" less that of "b", where one more example of ``label`` counts."""
    present = np.unique(gold)
    means = []
    for name in ("a", "b"):
        scores = [
            macro(np.append(gold, label), np.append(codes, answers[name]), weights, metric, present)
            for codes in arms[name]
        ]
        means.append(np.mean(scores))
    return means[0] - means[1]


@pytest.mark.parametrize("metric", ["macro_f1", "precision", "recall"])
@pytest.mark.parametrize("n_present", [1, 2, 3])
def test_replicates_are_those_of_trying_every_unseen_example(metric, n_present):
    """Every pair of a class and a wrong answer, each by scoring all predictions once more."""
    gold = np.arange(40) % n_present
    arms = {"a": noisy(0.9, 2, 1, gold, 4), "b": noisy(0.7, 3, 2, gold, 4)}
    values = ScoreSums(gold, arms, 4, replicates=30).difference("a", "b", metric)
    weights = unseen_weights(40, 30).astype(float)
    ones = np.ones(41)
    nothing = np.append(np.ones(40), 0.0)
    before = with_one_more(gold, arms, 0, {"a": 0, "b": 0}, nothing, metric)

    for sign, found in ((1, values.above), (-1, values.below)):
        effects, answers = [], []
        for label in range(n_present):
            tried = []
            for wrong in (label + np.arange(1, 4)) % 4:
                given = {"a": label, "b": wrong} if sign > 0 else {"a": wrong, "b": label}
                moved = with_one_more(gold, arms, label, given, ones, metric) - before
                tried.append((sign * moved, given))
            best = max(tried, key=lambda pair: pair[0])
            effects.append(best[0])
            answers.append(best[1])
        chances = np.maximum(effects, 1e-12)
        random = np.random.default_rng([0, 2])
        drawn = random.choice(n_present, size=30, p=chances / chances.sum())
        expected = [
            with_one_more(gold, arms, label, answers[label], row, metric)
            for label, row in zip(drawn, weights, strict=True)
        ]
        assert found == pytest.approx(expected, abs=1e-5)
    assert values.estimate == pytest.approx(before, abs=1e-12)


def test_many_classes_take_no_memory_beyond_their_sums():
    gold = np.arange(600) % 150
    arms = {"a": noisy(0.9, 20, 1, gold, 150), "b": noisy(0.8, 20, 2, gold, 150)}
    sums = ScoreSums(gold, arms, 150, replicates=100)
    tracemalloc.start()
    values = sums.difference("a", "b")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert values.interval().low < values.estimate < values.interval().high
    # All pairs of a class and an answer with all sums were 150 * 150 * 20 * 150 * 8 bytes, 540 MB.
    assert peak < 20e6


def test_arms_of_the_same_trainings_differ_by_exactly_zero_in_whatever_order():
    order = [3, 1, 4, 0, 2]
    arms = {"one": TEN[:5], "again": TEN[:5][order], "other": TEN[5:]}
    names = {"one": NAMES[:5], "again": [NAMES[index] for index in order], "other": NAMES[5:]}
    sums = sums_of(arms, names)

    assert sums.difference("one", "again").interval() == (0, 0, 0)
    assert sums.difference("one", "one").interval() == (0, 0, 0)
    assert np.ptp(sums.difference("one", "other").interval()[1:]) > 0.01


def test_equal_predictions_of_other_trainings_are_not_known_to_differ_by_nothing():
    gold = np.arange(100) % 2
    arms = {"one": noisy(0.9, 3, 0, gold), "other": noisy(0.9, 3, 0, gold)}
    for names in ({}, {"one": NAMES[:3], "other": NAMES[3:6]}):
        limits = sums_of(arms, names, 4000, gold).difference("one", "other", "accuracy").interval()
        assert limits.estimate == 0
        # Clopper and Pearson: the upper limit of 0 in 100 is 3.62 %.
        assert limits.high == pytest.approx(0.0362, abs=0.003)
        assert limits.low == pytest.approx(-0.0362, abs=0.003)


def test_an_unseen_example_counts_for_the_trainings_that_are_not_shared():
    """One of two trainings is the same: the other one is half of the difference."""
    gold = np.arange(100) % 2
    codes = noisy(0.9, 2, 0, gold)
    names = {"one": NAMES[:2], "other": [NAMES[0], NAMES[2]]}
    sums = sums_of({"one": codes, "other": codes}, names, 4000, gold)

    high = sums.difference("one", "other", "accuracy").interval().high
    assert high == pytest.approx(0.0362 / 2, abs=0.0015)


def test_the_same_name_with_other_predictions_is_another_training():
    arms = {"one": TEN[:5], "other": noisy([0.8] * 5, 5, 1)}
    limits = sums_of(arms, {"one": NAMES[:5], "other": NAMES[:5]}).difference("one", "other")

    assert limits.interval().high > limits.estimate


def test_shared_trainings_bring_their_chance_into_both_arms():
    """Five seeds less ten, these five among them, vary as half the ten do."""
    arms = {"five": TEN[::2], "ten": TEN}
    shared = sums_of(arms, {"five": NAMES[::2], "ten": NAMES}).difference("five", "ten")
    apart = sums_of(arms).difference("five", "ten")

    # The variances of the mean of the seeds are v / 10 and v / 5 + v / 10.
    assert shared.seeds.variance / apart.seeds.variance == pytest.approx(1 / 3, rel=0.25)
    assert np.ptp(shared.interval()[1:]) < 0.8 * np.ptp(apart.interval()[1:])
    assert shared.estimate == pytest.approx(apart.estimate)


def test_a_shared_training_has_the_larger_spread_of_its_arms():
    """Two that score alike are among ten that do not: 2 * 0.4^2 + 8 * 0.1^2 times the ten's."""
    arms = {"two": TEN[[9, 9]].copy(), "ten": TEN}
    arms["two"][1, :2] = arms["two"][1, 1::-1]  # another training, by its predictions
    arms["ten"] = np.concatenate([arms["two"], TEN[:8]])
    sums = sums_of(arms, {"two": NAMES[8:], "ten": NAMES[8:] + NAMES[:8]})
    of_ten = 10 * sums.contrast({"ten": 1.0}).seeds.variance

    variance = sums.difference("two", "ten").seeds.variance
    assert variance == pytest.approx(0.4 * of_ten, rel=1e-6)


def test_one_training_ten_times_is_that_training():
    arms = {"once": TEN[:1], "ten times": TEN[[0] * 10]}
    sums = sums_of(arms, {"once": NAMES[:1], "ten times": [NAMES[0]] * 10})

    assert sums.difference("once", "ten times").interval() == (0, 0, 0)


def test_draws_of_two_arms_are_welchs_t_and_differences_from_one_arm_share_its_chance():
    arms = {"a": TEN[:5], "b": TEN[4::-1], "c": TEN[[1, 3, 0, 2, 4]]}
    sums = sums_of(arms, replicates=20_000)
    draws = {pair: sums.difference(*pair).draws for pair in (("a", "b"), ("a", "c"), ("b", "c"))}

    # Equal variances of two samples of five: 8 degrees of freedom.
    assert np.quantile(draws["a", "b"], 0.975) == pytest.approx(t.ppf(0.975, 8), rel=0.05)
    assert np.corrcoef(draws["a", "b"], draws["a", "c"])[0, 1] == pytest.approx(0.5, abs=0.03)
    assert np.corrcoef(draws["a", "b"], draws["b", "c"])[0, 1] == pytest.approx(-0.5, abs=0.03)


def test_a_training_that_is_repeated_has_no_spread_of_seeds():
    sums = sums_of({"twice": TEN[[0, 0]]}, {"twice": [NAMES[0]] * 2})

    assert sums.contrast({"twice": 1.0}).seeds.variance == 0


def test_a_score_that_is_right_about_every_text_is_not_certain():
    gold = np.arange(100) % 2
    limits = sums_of({"all": gold[None]}, None, 4000, gold).contrast({"all": 1.0}, "accuracy")

    assert limits.interval().low == pytest.approx(1 - 0.0362, abs=0.003)
    assert limits.interval().high == pytest.approx(1.0)


def test_a_contrast_with_any_weights_is_their_sum():
    arms = {"a": TEN[:5], "b": TEN[5:]}
    sums = sums_of(arms)
    a, b = (sums.contrast({name: 1.0}).estimate for name in "ab")

    assert sums.contrast({"a": 1.0, "b": -0.95}).estimate == pytest.approx(a - 0.95 * b)
