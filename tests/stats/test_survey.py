"""Shares from a sample of a finite pool: textbook values, and coverage in simulations."""

import numpy as np
import pytest
from scipy.stats import binomtest

from project.stats.survey import (
    Design,
    corrected_share,
    effective_size,
    mean_variance,
    share_interval,
    wilson,
)


def even(n, fraction=0.0, groups=None):
    return Design(np.ones(n), groups, fraction)


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_limits_are_those_of_newcombe(hits, n, low, high):
    # Newcombe (1998), Statistics in Medicine 17:857, table I, method 3.
    assert wilson(hits / n, n) == pytest.approx((low, high), abs=5e-5)
    exact = binomtest(hits, n).proportion_ci(0.9, method="wilson")
    assert wilson(hits / n, n, 0.9) == pytest.approx((exact.low, exact.high), abs=1e-12)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_wilson_limits_hold_the_share_and_stay_within_0_and_1(share):
    low, high = wilson(share, 0.4)

    assert 0 <= low <= share <= high <= 1
    assert high - low > 0.2


def test_the_effective_size_is_kishs():
    # (1 + 1 + 2)^2 / (1 + 1 + 4) = 16 / 6; half of the pool is sampled: twice as many.
    weights = np.array([1.0, 1.0, 2.0])

    assert effective_size(Design(weights)) == pytest.approx(16 / 6)
    assert effective_size(Design(weights, None, 0.5)) == pytest.approx(16 / 3)
    # Documents {0, 1} and {2} weigh 2 and 2; document 1 of the pool is not in the sample.
    assert effective_size(Design(weights, np.array([0, 0, 2]))) == pytest.approx(2)


def test_the_variance_of_a_mean_is_the_one_computed_by_hand():
    values = np.array([1.0, 0.0, 1.0, 0.0, 0.0])
    # s^2 / n with s^2 = 5 / 4 * 0.4 * 0.6; 3/4 of the pool are not sampled.
    plain = 5 / 4 * 0.4 * 0.6 / 5

    assert mean_variance(values, even(5)) == pytest.approx(plain)
    assert mean_variance(values, even(5, 0.25)) == pytest.approx(0.75 * plain)
    # The residuals / 5 are 0.12 and -0.08; sums of the documents {0, 1}, {2, 3}, {4}: 0.04, 0.04,
    # -0.08. 3 / 2 of the sum of their squares.
    groups = np.array([7, 7, 3, 3, 0])
    assert mean_variance(values, even(5, 0, groups)) == pytest.approx(1.5 * 0.0096)
    # Weights 1/6 and 2/6, mean 1/2: residuals 1/12, -1/12, 1/12, -1/12 and, of weight 2, -1/6.
    weights = np.array([1.0, 1.0, 1.0, 1.0, 2.0])
    residuals = weights / 6 * (values - 1 / 3)
    assert mean_variance(values, Design(weights)) == pytest.approx(1.25 * (residuals**2).sum())


def test_one_document_alone_has_no_variance_and_an_interval_with_a_width():
    design = even(6, 0.1, np.zeros(6, dtype=int))
    values = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 0.0])

    assert np.isnan(mean_variance(values, design))
    for interval in (
        share_interval(values, design),
        corrected_share(values, np.zeros(6), 0.2, design),
    ):
        assert interval.low < 0.1
        assert interval.high > 0.8


def samples_of(pool, n, n_samples, seed=0):
    """Positions of simple random samples of a pool ``(n_samples, n)``."""
    random = np.random.default_rng(seed)
    return random.random((n_samples, pool)).argsort(axis=1)[:, :n]


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_the_variance_is_that_of_repeated_samples_of_a_finite_pool(fraction):
    values = (np.random.default_rng(1).random(400) < 0.3).astype(float)
    n = int(400 * fraction)
    rows = samples_of(400, n, 4000)
    estimated = np.mean([mean_variance(values[row], even(n, fraction)) for row in rows[:500]])

    assert estimated == pytest.approx(values[rows].mean(axis=1).var(), rel=0.06)


def test_the_variance_of_documents_is_that_of_repeated_samples_of_documents():
    random = np.random.default_rng(2)
    # 100 documents of 5 texts, whose texts are alike: 20 documents tell little more than 20 texts.
    values = (random.random((100, 1)) < 0.4) ^ (random.random((100, 5)) < 0.1)
    documents = samples_of(100, 20, 4000)
    groups = np.repeat(np.arange(20), 5)
    drawn = values[documents].reshape(4000, 100).astype(float)
    estimated = np.mean([mean_variance(row, even(100, 0.2, groups)) for row in drawn[:500]])
    true = drawn.mean(axis=1).var()

    assert estimated == pytest.approx(true, rel=0.06)
    without = np.mean([mean_variance(row, even(100, 0.2)) for row in drawn[:500]])
    assert without < 0.5 * true


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_an_interval_without_an_error_keeps_its_width(value):
    interval = share_interval(np.full(30, value), even(30))

    # The rule of three: 3 / n, and Wilson's z^2 / (n + z^2).
    assert abs(interval.high - interval.low) == pytest.approx(3.8415 / 33.8415, abs=1e-4)
    assert interval.estimate == pytest.approx(value, abs=1e-12)


def test_documents_that_are_alike_do_not_give_an_interval_without_a_width():
    # Every document has 1 of 3 texts with the property, so that the sums of documents never differ.
    values = np.array([1.0, 0.0, 0.0] * 7)
    interval = share_interval(values, even(21, 0.1, np.repeat(np.arange(7), 3)))

    assert interval.high - interval.low > 0.3


def test_a_pool_that_is_audited_whole_has_no_error_left():
    values = np.array([1.0, 0.0, 0.0, 1.0])

    assert share_interval(values, even(4, 1.0)) == (0.5, 0.5, 0.5)
    assert corrected_share(values, values, 0.5, even(4, 1.0)) == (0.5, 0.5, 0.5)


def test_a_weighted_share_is_less_certain_than_an_even_one():
    random = np.random.default_rng(3)
    values = (random.random(100) < 0.4).astype(float)
    weighted = share_interval(values, Design(random.choice([1.0, 9.0], 100)))
    plain = share_interval(values, even(100))

    assert weighted.high - weighted.low > 1.2 * (plain.high - plain.low)


def test_a_proxy_that_tells_nothing_gives_the_share_of_the_audit_alone():
    values = np.array([1.0, 0.0, 0.0, 1.0, 0.0] * 20)
    alone = share_interval(values, even(100, 0.1))
    for constant in (0.0, 1.0):
        corrected = corrected_share(values, np.full(100, constant), constant, even(100, 0.1))
        assert corrected.estimate == alone.estimate
        # Half an error is added to the variance.
        assert corrected.low == pytest.approx(alone.low, abs=0.002)
        assert corrected.high == pytest.approx(alone.high, abs=0.002)


def test_a_share_is_corrected_by_the_regression_estimate_computed_by_hand():
    is_class = np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    proxy = np.array([1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    # Means 1/4 and 1/4; covariance 1/8 - 1/16, variance of the proxy 3/16: a slope of 1/3.
    corrected = corrected_share(is_class, proxy, 0.55, even(8))

    assert corrected.estimate == pytest.approx(0.25 + (0.55 - 0.25) / 3)


def test_a_corrected_share_is_close_to_that_of_ppi_python():
    """ppi_mean_pointestimate and ppi_mean_ci of ppi-python 0.2.3 on the same labels.

    It takes the variance of the proxy from all texts where we take it from the audit, so that the
    two differ by a share of their error.
    """
    gold = np.repeat([1.0, 0.0], [30, 70])
    proxy = np.repeat([1.0, 0.0, 1.0, 0.0], [26, 4, 9, 61])
    pool_share = (35 + 1200) / 3000
    found = corrected_share(gold, proxy, pool_share, Design(np.ones(100)))

    assert found.estimate == pytest.approx(0.33945, abs=0.004)
    assert found.high - found.low == pytest.approx(0.40401 - 0.27489, rel=0.01)


def test_a_proxy_that_contradicts_the_audit_is_not_used():
    is_class = np.array([1.0, 0.0] * 10)

    assert corrected_share(is_class, 1 - is_class, 0.9, even(20)).estimate == 0.5


def test_a_proxy_without_an_error_in_the_sample_keeps_a_width():
    is_class = np.array([1.0, 0.0, 0.0, 0.0] * 25)
    corrected = corrected_share(is_class, is_class.copy(), 0.3, even(100, 0.05))

    assert corrected.estimate == pytest.approx(0.3)
    # The standard deviation of half an error in 100 texts, 95 % of the pool not sampled.
    reach = 1.96 * np.sqrt(0.5 * 0.95) / 100
    assert corrected.high - corrected.low == pytest.approx(2 * reach, rel=0.02)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_corrected_share_of_0_or_1_keeps_a_width(share):
    # Wherever the proxy is ``share`` so is the human label, and in the pool it is so everywhere.
    is_class = np.abs(share - np.eye(20)[0])
    proxy = np.abs(share - np.eye(20)[:2].sum(axis=0))
    corrected = corrected_share(is_class, proxy, share, even(20))

    assert corrected.estimate == pytest.approx(share, abs=1e-12)
    assert corrected.high - corrected.low > 0.1


@pytest.mark.parametrize(("error", "narrower"), [(0.05, 0.6), (0.2, 0.95)])
def test_corrected_shares_cover_the_truth_and_are_narrower_than_the_audits_own(error, narrower):
    random = np.random.default_rng(4)
    gold = random.random(2000) < 0.3
    # The LLM misses none and calls others by that class: its own share is too large.
    proxy = (gold | (random.random(2000) < error)).astype(float)
    gold = gold.astype(float)
    rows = samples_of(2000, 200, 1200, seed=5)
    design = even(200, 0.1)
    intervals = np.array([corrected_share(gold[r], proxy[r], proxy.mean(), design) for r in rows])
    alone = np.array([share_interval(gold[r], design) for r in rows[:200]])
    inside = (intervals[:, 1] <= gold.mean()) & (gold.mean() <= intervals[:, 2])

    assert 0.93 <= inside.mean() <= 0.98
    assert intervals[:, 0].mean() == pytest.approx(gold.mean(), abs=0.003)
    width = np.ptp(intervals[:, 1:], axis=1).mean()
    assert width < narrower * np.ptp(alone[:, 1:], axis=1).mean()


@pytest.mark.parametrize("n", [10, 27, 49, 98])
def test_a_class_that_every_audited_text_has_gets_a_share_of_1_and_a_narrow_interval(n):
    # The weights of 49 texts, for instance, add up to a little less than 1.
    proxy = np.ones(n)
    proxy[: n // 4] = 0

    share = corrected_share(np.ones(n), proxy, 0.8, Design(np.ones(n), None, 0.4))

    assert share.estimate == pytest.approx(1)
    assert 1 - share.low < 4 / n
    none = corrected_share(np.zeros(n), 1 - proxy, 0.2, Design(np.ones(n), None, 0.4))
    assert none.high == pytest.approx(1 - share.low)
