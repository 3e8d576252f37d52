"""Statistics of ordered labels, against other packages and a published value."""

import warnings

import krippendorff
import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score, mean_absolute_error

from project.stats import metrics, ordinal
from project.stats.agreement import (
    alpha_interval,
    label_counts,
    nominal_alpha,
    ordinal_alpha,
    resampled_agreement,
)
from project.stats.alpha_limits import alpha_limits
from project.stats.bootstrap import example_weights
from project.stats.raters import rater_alpha
from project.stats.scores import confusion

# Krippendorff (2011), Computing Krippendorff's Alpha-Reliability, section C; 0: no answer.
RELIABILITY = np.array(
    [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
)


def raters(seed, n_raters=4, n=60, n_classes=5, missing=0.2):
    """Codes ``(n_raters, n)`` that scatter about a common class, some of them missing."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, n_classes, n)
    codes = np.clip(truth + random.integers(-1, 2, (n_raters, n)), 0, n_classes - 1)
    return np.where(random.random(codes.shape) < missing, -1, codes)


def test_the_ordinal_alpha_has_its_published_value_and_knows_the_order():
    codes = RELIABILITY - 1  # a missing answer becomes -1
    counts = label_counts(codes, 5)

    # The values that the package krippendorff documents for these data: 0.743, 0.815.
    assert nominal_alpha(counts) == pytest.approx(0.743, abs=5e-4)
    assert ordinal_alpha(counts) == pytest.approx(0.815, abs=5e-4)
    assert ordinal_alpha(counts[:, ::-1]) == pytest.approx(ordinal_alpha(counts), abs=1e-12)
    assert ordinal_alpha(counts[:, [2, 0, 4, 1, 3]]) < 0.8


@pytest.mark.parametrize("seed", range(6))
def test_the_ordinal_alpha_equals_the_packages_value_with_missing_answers(seed):
    codes = raters(seed, n_raters=2 + seed, n_classes=3 + seed)
    counts = label_counts(codes, 3 + seed)
    pairable = counts[counts.sum(axis=1) > 1]
    of_package = krippendorff.alpha(value_counts=pairable, level_of_measurement="ordinal")

    assert ordinal_alpha(counts) == pytest.approx(of_package, abs=1e-9)
    found = metrics.krippendorff_alpha_ordinal(codes[0], codes, 3 + seed)
    assert found.estimate == pytest.approx(of_package, abs=1e-9)
    assert found.low < found.estimate < found.high


def test_an_undefined_ordinal_alpha_is_nan_and_perfect_agreement_is_one():
    assert np.isnan(ordinal_alpha(np.array([[3, 0, 0], [2, 0, 0]])))
    assert np.isnan(ordinal_alpha(np.array([[1, 0, 0], [0, 1, 0]])))
    assert np.isnan(alpha_interval(label_counts(np.full((3, 4), -1), 3), ordered=True)).all()
    assert ordinal_alpha(np.array([[3, 0, 0], [0, 0, 3]])) == 1


def test_the_interval_of_the_ordinal_alpha_equals_that_of_resampled_examples():
    counts = label_counts(raters(0, n=80), 5)
    random = np.random.default_rng(1)
    values = [ordinal_alpha(counts[random.integers(0, 80, 80)]) for _ in range(2000)]
    found = alpha_interval(counts, ordered=True)

    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(values, [0.025, 0.975])), abs=0.015
    )
    assert rater_alpha(raters(0, n=80), 5, ordered=True) == found


def test_resampled_ordinal_alpha_begins_with_that_of_the_data():
    codes = raters(2)
    weights = example_weights(codes.shape[1], 20, 0)
    resampled = resampled_agreement(codes, 5, weights, ordered=True)
    drawn = np.repeat(np.arange(codes.shape[1]), weights[7].astype(int))

    assert resampled.alpha[0] == pytest.approx(ordinal_alpha(label_counts(codes, 5)), abs=1e-12)
    assert resampled.alpha[7] == pytest.approx(
        ordinal_alpha(label_counts(codes[:, drawn], 5)), abs=1e-12
    )


def test_limits_of_the_ordinal_alpha_allow_for_an_unseen_example_that_is_far_off():
    n = 200
    alike = np.stack([np.arange(n) % 5] * 5)
    near = alike.copy()
    near[0, ::10] = np.clip(alike[0, ::10] + 1, 0, 4)

    assert alpha_limits(alike, 5, ordered=True).interval().estimate == 1
    # An example that is split between both ends disagrees more by the ordinal than by the
    # nominal measure.
    low = alpha_limits(alike, 5, ordered=True).interval().low
    assert low < alpha_limits(alike, 5).interval().low < 1
    assert alpha_limits(near, 5, ordered=True).estimate > alpha_limits(near, 5).estimate


@pytest.mark.parametrize("seed", range(3))
def test_kappa_and_mean_error_equal_those_of_scikit_learn(seed):
    random = np.random.default_rng(seed)
    gold = random.integers(0, 4, 80)
    given = np.clip(gold + random.integers(-1, 3, 80), 0, 3)

    assert metrics.quadratic_kappa(gold, given, 4) == pytest.approx(
        cohen_kappa_score(gold, given, weights="quadratic"), abs=1e-12
    )
    assert metrics.mean_absolute_error(gold, given, 4) == pytest.approx(
        mean_absolute_error(gold, given), abs=1e-12
    )


def test_scores_without_examples_or_with_a_single_class_are_undefined_where_they_must_be():
    assert np.isnan(ordinal.mean_absolute_error(np.zeros((3, 3))))
    assert np.isnan(ordinal.quadratic_kappa(np.zeros((3, 3))))
    same = confusion(np.zeros(5, dtype=int), np.zeros(5, dtype=int), 3)
    assert ordinal.mean_absolute_error(same) == 0
    assert np.isnan(ordinal.quadratic_kappa(same))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn divides by zero
        assert np.isnan(cohen_kappa_score([0] * 5, [0] * 5, weights="quadratic"))


def test_a_missing_answer_is_as_far_off_as_a_label_can_be():
    gold = np.array([0, 1, 2, 3, 2])

    assert ordinal.with_farthest(gold, np.full(5, -1), 4).tolist() == [3, 3, 0, 0, 0]
    assert ordinal.with_farthest(np.array([1]), np.array([-1]), 3).tolist() == [0]
    # 0, 2 (from class 1 to 3), 0, 0, 0
    assert metrics.mean_absolute_error(gold, np.array([0, -1, 2, 3, 2]), 4) == pytest.approx(2 / 5)


def test_arms_with_the_same_trainings_differ_by_nothing_and_limits_hold_the_seeds():
    random = np.random.default_rng(0)
    gold = random.integers(0, 5, 300)
    good = np.clip(gold + (random.random((3, 300)) < 0.1), 0, 4)
    bad = np.clip(gold + (random.random((3, 300)) < 0.4), 0, 4)
    names = {"gold": ["a", "b", "c"], "llm": ["d", "e", "f"], "again": ["c", "a", "b"]}
    arms = {"gold": good, "llm": bad, "again": good[[2, 0, 1]]}
    found = ordinal.resampled_ordinal_scores(gold, arms, names, 5, replicates=300)

    assert (found["gold"].mean_absolute_error == found["again"].mean_absolute_error).all()
    assert found["llm"].mean_absolute_error[0] == pytest.approx(np.abs(bad - gold).mean())
    assert found["llm"].quadratic_kappa[0] == pytest.approx(
        np.mean([cohen_kappa_score(gold, row, weights="quadratic") for row in bad])
    )
    lost = found["llm"].mean_absolute_error - found["gold"].mean_absolute_error
    assert (np.quantile(lost[1:], [0.025, 0.975]) > 0).all()
