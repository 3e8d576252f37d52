"""How an annotator errs, and how well a number detects its errors."""

import math

import numpy as np
import pytest
from scipy.stats import beta
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import roc_auc_score

from project.stats.detection import auroc, auroc_interval
from project.stats.noise import (
    error_by_class,
    error_by_value,
    error_direction,
    holm,
    noise_transition,
)
from project.stats.noise_rate import noise_equivalent_rate


def test_the_transition_has_gold_in_rows_and_exact_limits():
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 5 (Clopper and Pearson).
    # A row with two columns is a single share.
    for hits, n, limits in (
        (81, 263, (0.2527, 0.3676)),
        (15, 148, (0.0578, 0.1617)),
        (0, 20, (0.0, 0.1684)),
    ):
        found = noise_transition(np.array([[hits, n - hits], [0, 0]]))
        assert found.share[0] == pytest.approx([hits / n, 1 - hits / n])
        assert (found.low[0, 0], found.high[0, 0]) == pytest.approx(limits, abs=1e-4)
        assert np.isnan(found.share[1]).all()
        assert np.isnan(found.low[1]).all()


def test_limits_are_beta_quantiles_with_the_error_divided_among_rows_and_columns():
    counts = np.array([[80, 15, 5, 0], [3, 900, 97, 0]])
    found = noise_transition(counts)
    error = (1 - 0.95**0.5) / 4  # two rows, four columns
    n = counts.sum(axis=1, keepdims=True)

    assert found.low[counts > 0] == pytest.approx(
        beta.ppf(error / 2, counts, n - counts + 1)[counts > 0], rel=1e-6
    )
    assert found.high == pytest.approx(beta.ppf(1 - error / 2, counts + 1, n - counts), rel=1e-6)
    assert found.low[:, 3].tolist() == [0.0, 0.0]


def test_all_limits_hold_together_in_at_least_95_of_100_samples():
    truth = np.array([[0.8, 0.15, 0.05], [0.1, 0.7, 0.2], [0.3, 0.1, 0.6]])
    random = np.random.default_rng(0)
    n_covered = 0
    for _ in range(400):
        found = noise_transition(
            np.stack(
                [random.multinomial(n, row) for n, row in zip((300, 200, 80), truth, strict=True)]
            )
        )
        n_covered += bool(((found.low <= truth) & (truth <= found.high)).all())
    assert 0.94 <= n_covered / 400 <= 1.0


def test_errors_that_depend_on_the_class_are_detected_and_others_are_not():
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, 600)
    even = random.random(600) < 0.3
    uneven = random.random(600) < np.array([0.1, 0.3, 0.5])[gold]

    assert error_by_class(gold, even, 4).p_value > 0.05  # the fourth class has no example
    assert error_by_class(gold, uneven, 4).p_value == pytest.approx(1e-4)


def test_the_permutation_test_of_classes_is_exact_on_a_small_table():
    # Both errors are in class 0: one of C(4, 2) = 6 arrangements. With its mirror image p = 1/3.
    found = error_by_class(
        np.array([0, 0, 1, 1]), np.array([True, True, False, False]), 2, permutations=60_000
    )

    assert found.statistic == pytest.approx(4.0)  # chi-squared of [[2, 0], [0, 2]]
    assert found.p_value == pytest.approx(1 / 3, abs=0.01)


def test_p_values_are_uniform_where_errors_are_random():
    random = np.random.default_rng(3)
    gold, length = random.integers(0, 3, 200), random.random(200)
    by_class, by_value = [], []
    for seed in range(200):
        wrong = random.random(200) < 0.3
        by_class.append(error_by_class(gold, wrong, 3, permutations=199, seed=seed).p_value)
        by_value.append(error_by_value(length, wrong, permutations=199, seed=seed).p_value)
    for found in (by_class, by_value):
        assert 0.01 <= np.mean(np.array(found) <= 0.05) <= 0.1
        assert 0.4 <= np.mean(found) <= 0.6


def test_errors_in_long_or_in_short_texts_are_detected_alike():
    random = np.random.default_rng(0)
    length = random.integers(1, 50, 400).astype(float)
    wrong = random.random(400) < length / 60

    longer, shorter = error_by_value(length, wrong), error_by_value(-length, wrong)
    assert longer.statistic == pytest.approx(roc_auc_score(wrong, length))
    assert shorter.statistic == pytest.approx(1 - longer.statistic)
    assert longer.p_value == shorter.p_value == pytest.approx(1 / 2000)


def test_tests_are_undefined_where_all_labels_are_wrong_or_none_is():
    gold = np.array([0, 1, 1])
    none = np.zeros(3, dtype=bool)

    for found in (
        error_by_class(gold, none, 2),
        error_by_class(gold, ~none, 2),
        error_by_value(np.ones(3), none),
        error_direction(np.eye(3, dtype=int)),
    ):
        assert np.isnan(found).all()
    assert np.isnan(error_direction(np.array([[5, 3], [2, 5]]))).all()


def test_errors_that_go_to_one_class_are_detected_and_uniform_ones_are_not():
    assert error_direction(np.array([[50, 10, 11], [9, 50, 10], [12, 8, 50]])).p_value > 0.3
    assert error_direction(
        np.array([[50, 20, 1], [2, 50, 18], [3, 17, 50]])
    ).p_value == pytest.approx(1e-4)


def test_holms_adjustment_of_a_worked_example():
    # 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.9 x 1, never below the one before; nan does not count
    assert holm(np.array([0.03, 0.01, np.nan, 0.9, 0.02])) == pytest.approx(
        [0.06, 0.04, np.nan, 0.9, 0.06], nan_ok=True
    )
    assert holm(np.array([0.6, 0.7])) == pytest.approx([1.0, 1.0])
    assert holm(np.array([np.nan])) == pytest.approx([np.nan], nan_ok=True)


def test_the_noise_equivalent_rate_is_interpolated_between_two_rates():
    rates, scores = np.array([0.0, 20.0, 40.0]), np.tile([[0.9], [0.8], [0.6]], 3)

    assert noise_equivalent_rate(rates, scores, np.array([0.7, 0.75, 0.65])) == pytest.approx(
        (30.0, 25.0, 35.0)
    )
    assert noise_equivalent_rate(rates, scores, np.full(3, 0.95)) == (0.0, 0.0, 0.0)
    assert noise_equivalent_rate(rates, scores, np.full(3, 0.5)) == (np.inf, np.inf, np.inf)
    # a dip that is only noise is smoothed: 0.75 and 0.81 both become 0.78
    bumpy = np.tile([[0.9], [0.75], [0.81], [0.6]], 2)
    assert noise_equivalent_rate(
        np.array([0.0, 10.0, 20.0, 40.0]), bumpy, np.full(2, 0.69)
    ).estimate == pytest.approx(30.0)


def test_falling_scores_are_those_of_isotonic_regression():
    from project.stats.noise_rate import _falling

    random = np.random.default_rng(0)
    scores = random.random((6, 20))
    for column, made in zip(scores.T, _falling(scores).T, strict=True):
        assert made == pytest.approx(
            IsotonicRegression(increasing=False).fit_transform(np.arange(6), column)
        )


def test_auroc_equals_scikit_learns_and_its_interval_has_the_published_width():
    random = np.random.default_rng(0)
    wrong = random.random(500) < 0.3
    values = np.asarray(np.round(random.random(500) + 0.4 * wrong, 1), dtype=np.float64)
    found = auroc_interval(values, wrong)

    assert auroc(values, wrong) == pytest.approx(roc_auc_score(wrong, values))
    assert found.estimate == pytest.approx(roc_auc_score(wrong, values))
    # Hanley and McNeil (1982), Radiology 143:29: the standard error of an area
    a, n, m = found.estimate, wrong.sum(), (~wrong).sum()
    q1, q2 = a / (2 - a), 2 * a**2 / (1 + a)
    error = math.sqrt((a * (1 - a) + (n - 1) * (q1 - a**2) + (m - 1) * (q2 - a**2)) / (n * m))
    assert (found.high - found.low) == pytest.approx(2 * 1.96 * error, rel=0.15)
    assert a - found.low > 0
    assert found.high - a > 0
    assert math.isnan(auroc(values, np.zeros(500, dtype=bool)))
    assert auroc_interval(
        np.where(np.arange(500) < 250, values, np.nan), wrong
    ).estimate == pytest.approx(roc_auc_score(wrong[:250], values[:250]))


def test_the_variance_of_an_area_is_delongs():
    wrong = np.array([True, True, True, False, False, False, False])
    values = np.array([3.0, 5.0, 2.0, 1.0, 4.0, 2.0, 0.0])
    # shares of right values below each wrong one: 3/4, 1, (2 + 1/2)/4
    below = np.array([0.75, 1.0, 0.625])
    # shares of wrong values above each right one: 1, 1/3, (2 + 1/2)/3, 1
    above = np.array([1.0, 1 / 3, 2.5 / 3, 1.0])
    error = math.sqrt(below.var(ddof=1) / 3 + above.var(ddof=1) / 4)
    area = below.mean()
    reach = 1.959964 * error / (area * (1 - area))
    found = auroc_interval(values, wrong)

    assert found.estimate == pytest.approx(area)
    assert math.log(found.low / (1 - found.low)) == pytest.approx(
        math.log(area / (1 - area)) - reach
    )
    assert math.log(found.high / (1 - found.high)) == pytest.approx(
        math.log(area / (1 - area)) + reach
    )


def test_an_area_without_overlap_or_with_a_single_wrong_example_has_no_limits():
    apart = auroc_interval(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]))
    assert apart.estimate == 1.0
    assert math.isnan(apart.low)
    assert math.isnan(auroc_interval(np.array([1.0, 2.0, 0.0]), np.array([True, False, False])).low)


def test_a_tie_of_a_wrong_and_a_right_example_counts_half():
    # pairs of wrong 3 and 1 with right 3 and 2: a tie, 3 > 2, and twice 1 below: 1.5 of 4
    values, wrong = np.array([3.0, 1.0, 3.0, 2.0]), np.array([True, True, False, False])

    assert auroc(values, wrong) == 1.5 / 4
