"""The best split of human labels between training and audit."""

import numpy as np
import pytest

from project.stats.bootstrap import interval
from project.stats.label_split import (
    MIN_AUDIT,
    FallingLaw,
    best_split,
    falling_value,
    fit_falling_law,
    half_width,
    residual_variance,
    starts_for,
)
from project.stats.power_law import PowerLaw
from project.stats.survey import Design, corrected_share


def law_of(limit, gain, rate, start=0.0):
    """v(n) = limit + gain (n + start)^-rate."""
    values = (1 - limit, gain, rate, 0.0)
    return FallingLaw(PowerLaw(*map(np.asarray, values)), np.asarray(start))


@pytest.mark.parametrize("rate", [0.25, 0.5, 1.0, 2.0])
def test_of_a_pure_power_law_the_audited_share_is_1_over_1_plus_the_rate(rate):
    # d/dn of -rate log(n) - log(N - n) is 0 at n = N rate / (1 + rate).
    split = best_split(law_of(0, 0.5, rate), 1000, least=1, most=1000, untrained=1.0)

    assert 1 - split.trained / 1000 == pytest.approx(1 / (1 + rate), abs=0.001)
    assert split.variance == pytest.approx(0.5 * split.trained**-rate / (1000 - split.trained))


def test_labels_of_the_llm_that_stand_for_human_ones_raise_the_audited_share():
    # With n + start = (N + start) rate / (1 + rate), the audit gets (N + start) / (1 + rate).
    split = best_split(law_of(0, 0.5, 1.0, 400), 1000, least=0, most=1000, untrained=1.0)
    assert split.trained == pytest.approx(300, abs=1)

    worth_more = best_split(law_of(0, 0.5, 1.0, 1500), 1000, least=0, most=1000, untrained=1.0)
    assert worth_more.trained == 0


def test_a_flat_law_audits_all_labels_and_so_does_one_that_is_no_better_than_no_training():
    flat = best_split(law_of(0.2, 0.0, 1.0, 1), 1000, least=0, most=1000, untrained=0.2)
    assert flat.trained == 0
    assert flat.variance == pytest.approx(0.2 / 1000)

    useless = best_split(law_of(0.2, 0.01, 1.0), 1000, least=50, most=1000, untrained=0.2)
    assert useless.trained == 0
    assert useless.variance == pytest.approx(0.2 / 1000)


def test_an_audit_keeps_its_fewest_labels_and_training_its_limits():
    law = law_of(0, 1.0, 3.0)

    assert best_split(law, 60, least=10, most=60, untrained=1.0).trained == 60 - MIN_AUDIT
    assert best_split(law, 1000, least=10, most=300, untrained=1.0).trained == 300
    assert best_split(law, 30, least=20, most=30, untrained=1.0).trained == 0


def test_the_fit_finds_the_law_and_what_the_other_labels_are_worth():
    sizes = np.array([0, 25, 50, 100, 200, 500])
    worth = starts_for(sizes)[6]
    values = 0.1 + 3.0 * (sizes + worth) ** -0.8

    law = fit_falling_law(sizes, np.stack([values, values + 0.05]), starts_for(sizes))

    assert law.start == pytest.approx([worth, worth])
    assert law.law.rate == pytest.approx([0.8, 0.8], rel=1e-3)
    assert falling_value(law, 300.0)[0] == pytest.approx(0.1 + 3.0 * (300 + worth) ** -0.8)


def test_the_residual_variance_is_that_of_the_best_multiple_of_the_prediction():
    random = np.random.default_rng(0)
    gold = (random.random(500) < 0.3).astype(float)
    proxy = np.where(random.random(500) < 0.8, gold, 1 - gold)
    weights = random.integers(0, 3, (2, 500)).astype(float)

    found = residual_variance(gold, np.stack([proxy, 1 - proxy]), weights)

    for row, weight in zip(found, weights, strict=True):
        # numpy's weighted covariance; the multiple of the reversed prediction would be negative.
        (of_gold, both), (_, of_proxy) = np.cov(gold, proxy, aweights=weight, ddof=0)
        assert row == pytest.approx([of_gold - both**2 / of_proxy, of_gold])


def test_the_half_width_is_that_of_the_corrected_share():
    random = np.random.default_rng(1)
    gold = (random.random(4000) < 0.4).astype(float)
    proxy = np.where(random.random(4000) < 0.85, gold, 1 - gold)
    share = corrected_share(gold, proxy, float(proxy.mean()), Design(np.ones(4000)))
    variance = residual_variance(gold, proxy[None], np.ones((1, 4000)))[0, 0]

    assert half_width(variance, 4000) == pytest.approx((share.high - share.low) / 2, rel=0.01)


def test_the_interval_of_the_best_split_holds_the_true_one():
    sizes = np.array([20, 40, 80, 160, 320, 640])
    truth = 0.05 + 1.2 * sizes**-0.6
    best = best_split(law_of(0.05, 1.2, 0.6), 600, least=20, most=600, untrained=0.5)
    random = np.random.default_rng(2)
    held = []
    for _ in range(100):
        # The means of a few trainings at every size, and replicates of them.
        means = truth + random.normal(0, 0.005, 6)
        replicates = means + random.normal(0, 0.005, (200, 6))
        law = fit_falling_law(sizes, np.vstack([means, replicates]))
        found = best_split(law, 600, least=20, most=600, untrained=np.full(201, 0.5))
        limits = interval(found.trained)
        held.append(limits.low <= best.trained <= limits.high)

    assert np.mean(held) >= 0.9
