"""Statistics over tasks: quartiles, paired shifts and regressions, with golden values."""

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import LeaveOneOut, cross_val_predict

from project.stats.tasks import MIN_FOR_LIMITS, quartiles, relation, shift

# Hamilton depression scale before and after a tranquillizer, Hollander and Wolfe (1973), Table 3.1.
BEFORE = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
AFTER = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])


def test_the_shift_of_the_book_has_its_estimate_limits_and_p_value():
    found = shift(AFTER - BEFORE)

    # R: wilcox.test(after, before, paired=TRUE, conf.int=TRUE)
    assert found.difference.estimate == pytest.approx(-0.46, abs=5e-4)
    assert found.difference.low == pytest.approx(-0.786, abs=5e-4)
    assert found.difference.high == pytest.approx(-0.010, abs=5e-4)
    assert found.p == pytest.approx(0.03906, abs=1e-5)
    assert found.n == 9


def test_limits_of_a_median_are_the_order_statistics_of_the_binomial_distribution():
    values = np.arange(1.0, 15.0)  # 14 tasks, as in Pangakis and Wolken

    found = quartiles(values)

    # P(at most 2 of 14 below the median) = 106 / 16384 = 0.0065, at most 3: 0.0287
    assert found.median == (7.5, 3.0, 12.0)
    assert (found.low, found.high) == (4.25, 10.75)
    assert quartiles(values, level=0.9).median == (7.5, 4.0, 11.0)


@pytest.mark.parametrize("n", [MIN_FOR_LIMITS, 7, 9, 14, 25])
def test_limits_of_a_median_and_a_shift_keep_their_level(n):
    generator = np.random.default_rng(n)
    samples = generator.normal(size=(400, n))
    medians = [quartiles(sample).median for sample in samples]
    shifts = [shift(sample).difference for sample in samples]

    for found in (medians, shifts):
        covered = np.mean([each.low <= 0 <= each.high for each in found])
        assert covered > 0.95 - 3 * np.sqrt(0.95 * 0.05 / 400)


def test_few_tasks_have_a_median_and_no_limits():
    found = quartiles(np.array([3.0, np.nan, 1.0, 2.0, 5.0, 4.0]))

    assert found.n == MIN_FOR_LIMITS - 1
    assert found.median.estimate == 3
    assert np.isnan(found.median[1:]).all()
    few = shift(np.array([1.0, 2.0, 3.0]))
    assert few.difference.estimate == 2
    assert np.isnan([*few.difference[1:], few.p]).all()
    assert np.isnan(quartiles(np.array([np.nan])).median).all()


def test_differences_of_zero_are_no_shift():
    assert shift(np.zeros(8)) == ((0, 0, 0), 1, 8)


def test_the_p_value_is_that_of_scipy_and_limits_exclude_zero_where_it_is_small():
    generator = np.random.default_rng(3)
    for _ in range(50):
        values = generator.normal(0.5, 1, size=12)
        found = shift(values)
        assert found.p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)
        excludes = found.difference.low > 0 or found.difference.high < 0
        assert excludes == (found.p <= 0.05)


def test_left_out_tasks_are_predicted_as_scikit_learn_predicts_them():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(14, 2)) * [1, 100] + [5, 0]
    outcome = 2 + features @ [1.0, 0.02] + generator.normal(size=14)

    found = relation(features, outcome)

    predicted = cross_val_predict(LinearRegression(), features, outcome, cv=LeaveOneOut())
    assert found is not None
    assert found.error == pytest.approx(np.sqrt(np.mean((outcome - predicted) ** 2)))
    means = [np.delete(outcome, index).mean() for index in range(14)]
    assert found.error_of_mean == pytest.approx(np.sqrt(np.mean((outcome - means) ** 2)))
    fitted = LinearRegression().fit(features, outcome)
    assert found.slopes == pytest.approx(fitted.coef_ * features.std(axis=0, ddof=1))
    one = relation(features[:, :1], outcome)
    assert one is not None
    assert one.p == pytest.approx(stats.linregress(features[:, 0], outcome).pvalue)


def test_a_regression_without_enough_tasks_or_with_useless_features_is_none():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(9, 1))
    outcome = generator.normal(size=9)

    assert relation(features, outcome) is not None
    assert relation(features[:7], outcome[:7]) is None
    assert relation(np.ones((9, 1)), outcome) is None
    assert relation(np.hstack([features, 2 * features]), outcome) is None
    assert relation(generator.normal(size=(9, 3)), outcome) is None
    alone = np.zeros((9, 1))
    alone[0] = 1  # one task has another value, and decides the slope alone
    assert relation(alone, outcome) is None
