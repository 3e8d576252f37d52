"""Limits that allow for an example that was not seen: golden values, and what seeds add."""

import numpy as np
import pytest
from scipy.stats import beta

from project.stats.agreement import alpha_interval, label_counts
from project.stats.alpha_limits import alpha_limits
from project.stats.contrasts import ScoreSums
from project.stats.limits import (
    LimitReplicates,
    SeedSpread,
    add_spreads,
    exactly,
    needed,
    simultaneous,
)
from project.stats.unseen import unseen_weights

TWENTY_THOUSAND = 20_000


def lost(gold, better, worse, metric="macro_f1", n_classes=2, replicates=TWENTY_THOUSAND):
    """The score of the arm ``better`` less that of ``worse``."""
    arms = {"better": np.atleast_2d(better), "worse": np.atleast_2d(worse)}
    sums = ScoreSums(gold, arms, n_classes, replicates=replicates)
    return sums.difference("better", "worse", metric)


@pytest.mark.parametrize("n_lost", [0, 1, 5])
def test_limits_of_a_share_are_those_of_clopper_and_pearson(n_lost):
    # One arm is right about all of 100 texts, the other one wrong about n_lost. Exact limits of
    # n_lost in 100: scipy.stats.beta, as in Clopper and Pearson (1934); 0 in 100 has 3.62 %.
    gold = np.arange(100) % 2
    worse = np.where(np.arange(100) < n_lost, 1 - gold, gold)

    upper = lost(gold, gold, worse, "accuracy").interval().high

    assert upper == pytest.approx(beta.ppf(0.975, n_lost + 1, 100 - n_lost), abs=0.002)


def test_identical_predictions_on_few_texts_are_no_proof_of_no_loss():
    gold = np.arange(100) % 2
    for metric in ("accuracy", "macro_f1"):
        limits = lost(gold, [gold] * 3, [gold] * 3, metric).interval()
        assert limits.estimate == 0
        assert limits.high == pytest.approx(-limits.low, abs=0.003)
        assert 0.033 < limits.high < 0.04


def test_a_class_without_an_example_does_not_shrink_the_loss():
    gold = np.arange(300) % 2
    worse = np.where(np.arange(300) % 10 == 0, 1 - gold, gold)
    limits = [lost(gold, gold, worse, n_classes=k).interval() for k in (2, 3, 4)]

    assert limits[1].estimate == limits[0].estimate == limits[2].estimate
    assert limits[0].estimate == pytest.approx(0.1, abs=0.01)


def test_seeds_that_differ_widen_the_loss_by_students_t():
    random = np.random.default_rng(0)
    gold = np.arange(4000) % 2
    rates = (0.80, 0.86, 0.92)
    arm = np.stack([np.where(random.random(4000) < rate, gold, 1 - gold) for rate in rates])
    found = lost(gold, arm, arm[::-1], replicates=2000)

    # sd 0.06 over three seeds in both arms: variance 2 * 0.06^2 / 3, Welch's df of equal variances
    assert found.seeds.variance == pytest.approx(2 * 0.06**2 / 3, rel=0.1)
    assert found.seeds.degrees == pytest.approx(4, rel=0.01)
    assert found.seed_share > 0.9
    half_width = 2.776 * np.sqrt(found.seeds.variance)  # t with 4 degrees of freedom
    assert found.interval().high == pytest.approx(half_width, rel=0.1)
    assert found.interval(with_seeds=False).high < half_width / 3


def test_alpha_of_seeds_that_agree_about_every_text_is_not_certain_and_falls_with_fewer_texts():
    lows = []
    for n in (100, 1000):
        codes = np.stack([np.arange(n) % 2] * 5)
        limits = alpha_limits(codes, 2).interval()
        assert limits.estimate == 1
        lows.append(limits.low)
    # The unseen text is split 2 to 3, so that 6 of its 10 pairs disagree, twice the expected half;
    # the text has a weight of at most 3.6 % (0 in 100).
    assert lows[0] == pytest.approx(1 - 0.036 * 0.6 / 0.5, abs=0.005)
    assert lows[0] < lows[1] < 1


def test_alpha_of_one_class_or_of_one_seed_is_undefined():
    assert np.isnan(alpha_limits(np.zeros((3, 50), dtype=int), 2).interval().high)
    assert np.isnan(alpha_limits(np.array([[0, 1, 0]]), 2).interval().low)


def test_one_collapsed_seed_widens_the_interval_of_alpha():
    random = np.random.default_rng(1)
    gold = np.arange(1000) % 2
    alike = np.stack([np.where(random.random(1000) < 0.95, gold, 1 - gold) for _ in range(5)])
    collapsed = alike.copy()
    collapsed[4] = 0
    widths = [
        interval.high - interval.low
        for interval in (alpha_limits(codes, 2).interval() for codes in (alike, collapsed))
    ]

    assert widths[1] > 4 * widths[0]
    assert alpha_limits(collapsed, 2).interval().high <= 1


def test_simultaneous_limits_are_those_of_one_estimate_alone_and_wider_for_many():
    random = np.random.default_rng(2)
    values = {
        str(index): LimitReplicates(
            0.0,
            random.normal(size=5000).astype(np.float32),
            random.normal(size=5000).astype(np.float32),
            SeedSpread(0.0, 1.0),
            np.zeros(5000, dtype=np.float32),
        )
        for index in range(10)
    }
    one = {"0": values["0"]}

    assert simultaneous(one)["0"] == pytest.approx(values["0"].interval(), abs=1e-6)
    # ten independent normal numbers: quantile 1 - 0.025 / 10 of one, 2.80 (Bonferroni 2.81)
    assert np.mean([limit.high for limit in simultaneous(values).values()]) == pytest.approx(
        2.8, abs=0.15
    )


def test_what_is_needed_narrows_the_part_that_is_too_wide():
    random = np.random.default_rng(3)
    noise = random.normal(size=5000).astype(np.float32)
    draws = random.standard_t(8, size=5000).astype(np.float32)

    def estimate(texts, seeds):
        spread = SeedSpread(seeds**2, 8.0)
        return LimitReplicates(0.0, texts * noise, texts * noise, spread, draws)

    # 1.96 * 0.01 = 0.0196 must become 0.0098: a quarter of the variance, four times the texts
    only_texts = needed(estimate(0.01, 0.0), 0.0098, n_texts=500, n_seeds=5)
    assert only_texts.texts == pytest.approx(2000, rel=0.06)
    assert only_texts.seeds is None
    only_seeds = needed(estimate(1e-4, 0.01), 0.01, n_texts=500, n_seeds=5)
    assert only_seeds.texts is None
    assert only_seeds.seeds is not None
    assert 17 < only_seeds.seeds < 22  # t(2 * 4 * n / ...) near 2.0: (2.0 * 0.01)^2 * 5 / n
    assert needed(estimate(0.01, 0.01), 0.0, n_texts=500, n_seeds=5) == (None, None, None)
    both = needed(estimate(0.01, 0.01), 0.016, n_texts=500, n_seeds=5).both
    assert both is not None
    assert both[1] in (10, 20)


def test_spreads_add_up_with_welchs_degrees_of_freedom():
    # Welch (1947): equal variances of two samples of five have 8 degrees of freedom
    assert add_spreads(SeedSpread(2.0, 4.0), SeedSpread(2.0, 4.0)) == pytest.approx((4.0, 8.0))
    assert add_spreads(SeedSpread(2.0, 4.0), SeedSpread(0.0, 4.0)) == pytest.approx((2.0, 4.0))


def test_what_is_known_exactly_has_no_width():
    assert exactly(0.0).interval() == (0, 0, 0)


def test_weights_of_a_replicate_add_up_to_the_number_of_examples_and_are_shared():
    weights = unseen_weights(50, 10, 1)

    assert weights.sum(axis=1) == pytest.approx(np.full(10, 51.0), rel=1e-5)
    with pytest.raises(ValueError, match="read-only"):
        weights[0] = 0


@pytest.mark.parametrize("ordered", [False, True])
def test_raters_who_never_disagreed_may_do_so_on_a_text_that_was_not_seen(ordered):
    """A bootstrap over the texts says [1, 1]."""
    codes = np.tile(np.arange(100) % 3, (3, 1))
    found = alpha_interval(label_counts(codes, 3), ordered=ordered)

    assert (found.estimate, found.high) == pytest.approx((1, 1))
    assert found.low == pytest.approx(
        alpha_limits(codes, 3, ordered=ordered).interval().low, abs=0.01
    )
    assert 0.9 < found.low < 0.97


def test_one_text_says_hardly_anything_of_alpha():
    found = alpha_interval(label_counts(np.array([[0], [1], [0]]), 3))

    assert found.low < found.estimate < found.high - 0.5
