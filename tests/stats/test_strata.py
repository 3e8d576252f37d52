"""Samples by strata: textbook values, all samples of a small pool, and coverage in simulations."""

import itertools

import numpy as np
import pandas as pd
import pytest

from project.stats.strata import strata_of, stratified_replicates, stratified_variance
from project.stats.survey import Design, corrected_share, mean_variance, share_interval

STRATUM = np.repeat([0, 1, 2], [700, 250, 50])
WRONG = np.random.default_rng(0).random(1000) < np.array([0.03, 0.4, 0.6])[STRATUM]
TAKEN = (40, 45, 15)


def drawn(stratum, taken, random):
    """Positions of a sample with so many texts of each stratum."""
    rows = [random.permutation(np.flatnonzero(stratum == code))[:n] for code, n in enumerate(taken)]
    return np.sort(np.concatenate(rows))


def design_of(stratum, sampled):
    strata = strata_of(stratum, sampled)
    assert strata is not None
    weights = (strata.n_pool / strata.n_drawn)[strata.member]
    return Design(weights, None, 1 / weights.max(), strata)


def test_the_variance_is_that_of_cochran():
    """Cochran (1977), equation 5.9: sum of W_h^2 (1 - f_h) s_h^2 / n_h, each stratum by itself."""
    sampled = drawn(STRATUM, TAKEN, np.random.default_rng(1))
    values = np.random.default_rng(2).normal(size=len(sampled))
    design = design_of(STRATUM, sampled)
    by_stratum = pd.Series(values).groupby(STRATUM[sampled])
    size = np.array([700, 250, 50])
    n = by_stratum.size().to_numpy()
    expected = ((size / 1000) ** 2 * (1 - n / size) * by_stratum.var(ddof=1) / n).sum()

    assert mean_variance(values, design) == pytest.approx(expected, rel=1e-12)
    mean = (size / 1000 * by_stratum.mean()).sum()
    weights = design.weights / design.weights.sum()
    assert weights @ values == pytest.approx(mean)


def test_the_variance_of_all_samples_of_a_small_pool_is_estimated_without_bias():
    """Strata of 4 and 5 texts, 2 and 3 of them drawn: 60 samples, all equally probable."""
    stratum = np.repeat([0, 1], [4, 5])
    values = np.array([0.0, 1.0, 1.0, 3.0, 2.0, 2.0, 7.0, 4.0, 0.0])
    means, variances = [], []
    for first in itertools.combinations(range(4), 2):
        for second in itertools.combinations(range(4, 9), 3):
            sampled = np.array([*first, *second])
            design = design_of(stratum, sampled)
            means.append(design.weights @ values[sampled] / 9)
            variances.append(mean_variance(values[sampled], design))

    assert len(means) == 60
    assert np.mean(means) == pytest.approx(values.mean())
    assert np.mean(variances) == pytest.approx(np.var(means))


def test_texts_outside_of_a_part_count_as_zero_in_its_variance():
    sampled = drawn(STRATUM, TAKEN, np.random.default_rng(1))
    design = design_of(STRATUM, sampled)
    rows = np.arange(len(sampled)) % 3 == 0
    values = WRONG[sampled].astype(float)
    part = design.part(rows, 0.0)
    share = np.average(values[rows], weights=design.weights[rows])
    # The share is a ratio: its residuals are 0 outside of the part (Cochran 1977, 6.4 and 5A.14).
    whole = np.where(rows, design.weights * (values - share), 0.0) / design.weights[rows].sum()

    assert mean_variance(values[rows], part) == pytest.approx(
        stratified_variance(whole, design.strata)
    )


@pytest.mark.parametrize(
    ("stratum", "sampled", "known"),
    [
        ([0, 0, 0, 1, 1, 1], [0, 1, 3, 4], True),
        ([0, 0, 0, 1, 1, 1], [0, 1, 3], False),
        ([0, 0, 0, 1], [0, 1, 3], True),
        ([0, 0, 0, 1, 1, 1], [0, 1, 2], False),
        ([0, 0, 0, 0], [0, 1, 2], False),
    ],
    ids=["two of each", "one of three", "one of one", "none of three", "one stratum"],
)
def test_strata_need_two_texts_of_each_that_is_not_sampled_whole(stratum, sampled, known):
    assert (strata_of(np.array(stratum), np.array(sampled)) is not None) == known


@pytest.mark.parametrize("of_pool", [True, False])
def test_replicates_vary_as_the_stratified_variance_says(of_pool):
    sampled = drawn(STRATUM, TAKEN, np.random.default_rng(3))
    design = design_of(STRATUM, sampled)
    values = WRONG[sampled].astype(float)
    factors = stratified_replicates(design.strata, 20000, np.random.default_rng(4), of_pool=of_pool)
    shares = factors @ (design.weights * values) / 1000
    within = mean_variance(values, design)
    if not of_pool:
        # Without the pool's correction, and with sizes of strata that vary (multinomial).
        n = design.strata.n_drawn
        p = np.bincount(STRATUM[sampled], weights=values) / n
        size = design.strata.n_pool / 1000
        within = (size**2 * p * (1 - p) / (n - 1)).sum()
        within += (size * (p - size @ p) ** 2).sum() / 1000

    assert (factors >= 0).all()
    assert shares.mean() == pytest.approx(design.weights @ values / 1000, abs=0.001)
    assert shares.var() == pytest.approx(within, rel=0.06)


def covered(stratum, right, taken, n_draws=400):
    """Share of samples whose limits hold the share of right texts, and mean widths."""
    drawings = []
    for seed in range(n_draws):
        sampled = drawn(stratum, taken, np.random.default_rng(seed))
        design = design_of(stratum, sampled)
        aside = Design(design.weights, None, design.fraction)
        values = right[sampled].astype(float)
        drawings.append([*share_interval(values, design), *share_interval(values, aside)])
    found = np.array(drawings)
    inside = (found[:, 1] <= right.mean()) & (right.mean() <= found[:, 2])
    return inside.mean(), (found[:, 2] - found[:, 1]).mean(), (found[:, 5] - found[:, 4]).mean()


def test_limits_by_stratum_cover_and_are_narrower_than_without_strata():
    share, width, aside = covered(np.where(STRATUM > 0, 1, 0), ~WRONG, (100, 100))

    assert share >= 0.93
    assert width < 0.92 * aside


def test_limits_hold_the_errors_that_a_large_stratum_hides():
    """95 % of the pool, with 3 % errors: one sample in nine meets none of them."""
    stratum = np.repeat([0, 1], [950, 50])
    wrong = np.zeros(1000, dtype=bool)
    wrong[:28] = True
    wrong[950:980] = True

    assert covered(stratum, ~wrong, (75, 25))[0] >= 0.93


def test_a_sample_without_an_error_keeps_a_width_that_its_heaviest_stratum_decides():
    sampled = drawn(STRATUM, TAKEN, np.random.default_rng(5))
    design = design_of(STRATUM, sampled)
    interval = share_interval(np.ones(len(sampled)), design)

    assert interval[::2] == pytest.approx((1, 1))
    # One text of 40 stands for 700 / 40 of 1,000 texts: as if a sample had 57 texts.
    assert 2 / 57 < 1 - interval.low < 6 / 57


def test_texts_of_a_class_that_a_stratum_may_hide_make_the_limits_wider():
    """All sampled texts of the class are in the small stratum, and in it all are right."""
    stratum = np.repeat([0, 1], [950, 50])
    sampled = drawn(stratum, (50, 25), np.random.default_rng(6))
    design = design_of(stratum, sampled)
    rows = stratum[sampled] == 1
    values = np.ones(int(rows.sum()))
    known = share_interval(values, design.part(rows, 0.0))
    hidden = share_interval(values, design.part(rows, 0.0), may_hide=True)

    assert known.low > 0.85
    # One unseen text would stand for 19 beside 50.
    assert hidden.low < 0.75


def test_a_pool_that_is_sampled_whole_has_no_width_and_a_stratum_that_is_adds_none():
    everything = np.arange(1000)
    right = (~WRONG).astype(float)
    whole = share_interval(right, design_of(STRATUM, everything))
    assert whole.low == whole.estimate == whole.high == pytest.approx(right.mean())

    sampled = drawn(STRATUM, (700, 20, 50), np.random.default_rng(7))
    values = right[sampled]
    interval = share_interval(values, design_of(STRATUM, sampled))
    alone = design_of(np.where(STRATUM == 1, 1, 0), sampled)
    assert interval == pytest.approx(share_interval(values, alone))


def test_a_corrected_share_is_the_audits_own_where_the_strata_are_the_proxys_labels():
    sampled = drawn(STRATUM, TAKEN, np.random.default_rng(8))
    is_class = np.where(WRONG[sampled], 0.0, (STRATUM[sampled] == 1).astype(float))
    proxy = (STRATUM[sampled] == 1).astype(float)
    design = design_of(STRATUM, sampled)

    corrected = corrected_share(is_class, proxy, 0.25, design)
    assert corrected == pytest.approx(share_interval(is_class, design))
