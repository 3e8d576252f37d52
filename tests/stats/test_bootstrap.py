"""Resampled scores, and intervals of differences and ratios between arms."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, precision_score

from project.stats.bootstrap import (
    example_weights,
    interval,
    mean_over_seeds,
    resampled_scores,
    simultaneous_intervals,
    weighted_scores,
)
from project.stats.scores import confusion, scores


def classifier(gold, accuracy, random, n_seeds=3, n_classes=3):
    """Predictions ``(n_seeds, n)`` that keep the gold class with probability ``accuracy``."""
    noise = random.integers(0, n_classes, (n_seeds, len(gold)))
    return np.where(random.random((n_seeds, len(gold))) < accuracy, gold, noise)


def data(n=300, seed=0):
    """Gold codes of three classes, and predictions of three arms."""
    random = np.random.default_rng(seed)
    gold = random.integers(0, 3, n)
    return gold, {
        "gold": classifier(gold, 0.9, random),
        "llm": classifier(gold, 0.6, random),
        "half": classifier(gold, 0.75, random),
    }


def test_scores_with_all_weights_one_equal_the_unweighted_scores():
    gold, arms = data()
    # the fourth class is absent
    weighted = weighted_scores(gold, arms["llm"], 4, np.ones((1, 300)))

    for index, given in enumerate(arms["llm"]):
        score = scores(confusion(gold, given, 4))
        assert weighted.accuracy[0, index] == pytest.approx(score.accuracy)
        assert weighted.macro_f1[0, index] == pytest.approx(score.macro_f1)
        for name in ("precision", "recall", "f1"):
            assert getattr(weighted, name)[0, index] == pytest.approx(getattr(score, name))


def test_an_example_with_weight_k_counts_like_k_copies():
    gold, arms = data(60)
    weights = example_weights(60, 3, 5)
    weighted = weighted_scores(gold, arms["llm"], 3, weights)

    for row, weight in enumerate(weights):
        copies = np.repeat(np.arange(60), weight.astype(int))
        given = arms["llm"][1][copies]
        assert weighted.macro_f1[row, 1] == pytest.approx(
            f1_score(gold[copies], given, average="macro")
        )
        assert weighted.precision[row, 1] == pytest.approx(
            precision_score(gold[copies], given, average=None, labels=[0, 1, 2], zero_division=0)
        )


def test_the_first_row_holds_the_mean_over_the_seeds_in_the_data():
    gold, arms = data()
    resampled = resampled_scores(gold, arms, 3, replicates=50)

    assert resampled["llm"].macro_f1[0] == pytest.approx(
        np.mean([scores(confusion(gold, given, 3)).macro_f1 for given in arms["llm"]])
    )
    assert resampled["llm"].recall.shape == (51, 3)


def test_all_arms_are_resampled_on_the_same_examples():
    gold, arms = data()
    # one seed each: only the examples are drawn
    same = {"a": arms["llm"][:1], "b": arms["llm"][:1]}
    resampled = resampled_scores(gold, same, 3, replicates=50)

    assert resampled["a"].macro_f1 == pytest.approx(resampled["b"].macro_f1)
    assert len(set(resampled["a"].macro_f1)) > 20


def test_seeds_that_differ_widen_the_interval():
    gold, arms = data()
    resampled = resampled_scores(gold, arms, 3)
    difference = interval(resampled["gold"].accuracy - resampled["llm"].accuracy)

    assert difference.low < difference.estimate < difference.high
    assert difference.low > 0.1
    spread = np.array(
        [np.where(np.arange(300) < cut, gold, 0) for cut in (60, 180, 300)]
    )  # seeds that differ greatly
    wide = interval(resampled_scores(gold, {"a": spread}, 3)["a"].accuracy)
    narrow = interval(resampled_scores(gold, {"a": spread[1:2]}, 3)["a"].accuracy)
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_the_seed_fixes_the_draws_and_the_global_random_state_stays_untouched():
    gold, arms = data()
    before = str(np.random.get_state())  # noqa: NPY002  # the state to protect

    first, again, other = (
        resampled_scores(gold, arms, 3, replicates=20, seed=seed)["llm"].macro_f1
        for seed in (0, 0, 1)
    )
    assert (first == again).all()
    assert (first != other).any()
    assert str(np.random.get_state()) == before  # noqa: NPY002


def test_seeds_that_differ_only_by_the_chance_of_examples_add_no_spread():
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.02, (2001, 4))  # the chance of the examples, for each seed
    values = 0.8 + noise
    values[0] = 0.8 + np.array([0.01, -0.01, 0.005, -0.005])

    assert mean_over_seeds(values, random) == pytest.approx(values.mean(axis=1))
    single = values[:, :1]
    assert mean_over_seeds(single, random) == pytest.approx(single[:, 0])


def test_the_spread_of_seeds_follows_students_t():
    values = np.tile([0.7, 0.8, 0.9], (20_001, 1))  # only the seeds vary
    found = interval(mean_over_seeds(values, np.random.default_rng(0)))

    # sd 0.1, three seeds: 0.8 -+ 4.3027 (t of 2 degrees of freedom at 97.5 %) x 0.1 / sqrt(3)
    assert found.estimate == pytest.approx(0.8)
    assert (found.low, found.high) == pytest.approx((0.8 - 0.2484, 0.8 + 0.2484), abs=0.012)


def test_the_interval_of_a_difference_covers_the_truth_with_few_and_with_many_seeds():
    for sd, seeds in ((0.03, 3), (0.0, 5)):
        random = np.random.default_rng(1)
        n_covered = 0
        for repetition in range(200):
            gold = np.zeros(400, dtype=int)
            hard = random.random(400)
            arms = {
                name: np.array(
                    [
                        (
                            hard + 0.3 * random.normal(size=400) > threshold + sd * random.normal()
                        ).astype(int)
                        for _ in range(seeds)
                    ]
                )
                for name, threshold in (("a", 0.8), ("b", 0.7))
            }
            scored = resampled_scores(gold, arms, 2, replicates=400, seed=repetition)
            found = interval(scored["a"].accuracy - scored["b"].accuracy)
            # the accuracy is P(u + 0.3 z < threshold) with u uniform and z normal
            n_covered += bool(found.low <= TRUTH[sd] <= found.high)
        assert 0.88 <= n_covered / 200 <= 1.0


def accuracy(c, sd):
    """P(u + 0.3 z - sd w < c), u uniform, z and w normal, by a fine grid."""
    u = (np.arange(20_000) + 0.5) / 20_000
    total = math.sqrt(0.3**2 + sd**2)
    return float(np.mean([0.5 * (1 + math.erf((c - value) / total / math.sqrt(2))) for value in u]))


TRUTH = {sd: accuracy(0.8, sd) - accuracy(0.7, sd) for sd in (0.03, 0.0)}


def test_simultaneous_intervals_are_wider_the_less_the_numbers_are_correlated():
    random = np.random.default_rng(0)
    common = random.normal(size=2001)
    alike, apart = np.stack([common, common * 2, common * 3]), random.normal(size=(3, 2001))
    alike[:, 0] = apart[:, 0] = 0.0

    # one number three times: 1.96 standard errors; three independent ones: 2.388, the two-sided
    # quantile of the normal distribution at 0.95 ** (1 / 3)
    assert [limits.high for limits in simultaneous_intervals(alike)] == pytest.approx(
        [1.96, 3.92, 5.88], rel=0.08
    )
    assert [limits.high for limits in simultaneous_intervals(apart)] == pytest.approx(
        [2.388] * 3, rel=0.08
    )
    constant = simultaneous_intervals(np.stack([np.ones(2001), common]))
    assert constant[0] == (1.0, 1.0, 1.0)


def test_an_undefined_estimate_has_no_interval_and_undefined_replicates_are_left_out():
    assert np.isnan(interval(np.array([np.nan, 1.0, 2.0]))).all()
    assert interval(np.array([1.0, np.nan, 1.0]))[1:] == (1.0, 1.0)
