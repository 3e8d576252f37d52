"""Looking after every batch raises a false alarm at most once in 20 monitors."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import kstest, spearmanr

from project.stats.anytime import anytime_p_values, evidence, share_of_look
from project.stats.two_samples import Aspects, joined, two_sample_test


@pytest.mark.parametrize("before", [[], [0.02], [0.9, 0.3, 0.05]])
def test_the_evidence_is_expected_to_stay_where_it_is(before):
    now = evidence(np.array(before))[-1] if before else 1.0

    # With p = exp(-x), a uniform p has the density exp(-x).
    expected, _ = quad(
        lambda x: evidence(np.array([*before, np.exp(-x)]))[-1] * np.exp(-x), 0, 600, limit=500
    )

    assert expected == pytest.approx(now, rel=0.01)


def test_the_first_bet_has_half_of_the_stake():
    # Half of it is bet on a change at batch 1, with the mean over k of k p ** (k - 1), which is
    # (1 - p + p ln p) / (p ln(p) ** 2); the other half waits.
    p = 0.01
    bet = (1 - p + p * np.log(p)) / (p * np.log(p) ** 2)

    assert evidence(np.array([p]))[0] == pytest.approx(0.5 + 0.5 * bet, rel=1e-6)


def test_a_late_change_is_found_soon_after_200_ordinary_batches():
    ordinary = np.random.default_rng(0).uniform(size=200)
    p_values = anytime_p_values(np.concatenate([ordinary, np.full(6, 0.001)]), {})

    assert (p_values[:200] > 0.05).all()
    assert p_values[-1] <= 0.05
    assert (np.diff(p_values) <= 0).all()
    assert np.isfinite(evidence(np.full(300, 1e-300))).all()


def test_a_large_change_of_one_batch_is_found_at_once_while_there_are_few():
    found = [anytime_p_values(np.array([*[0.5] * before, 0.0003]), {})[-1] for before in range(9)]

    expected = [3 * 0.0003 * (before + 1) * (before + 2) for before in range(9)]
    assert found[:6] == pytest.approx(expected[:6])
    assert found[8] <= expected[8]


def test_all_batches_so_far_count_at_doublings_with_shares_that_add_up_to_1():
    assert [number for number in range(1, 40) if share_of_look(number)] == [1, 2, 4, 8, 16, 32]
    assert sum(share_of_look(2**power) for power in range(400)) == pytest.approx(1, abs=0.003)
    ordinary = np.full(4, 0.8)

    assert anytime_p_values(ordinary, {2: 0.004})[1] == pytest.approx(3 * 0.004 * 6)
    assert anytime_p_values(ordinary, {2: 0.004})[0] == 1
    assert anytime_p_values(ordinary, {3: 1e-9})[-1] == 1  # no share at batch 3
    assert anytime_p_values(ordinary, {4: 1e-9})[-1] < 1e-6


def p_values_of_two_batches(monitors, *, fixed):
    """The p-values of the first two batches of monitors with 8 old texts ``(monitors, 2)``."""

    def texts(n, rng):
        return Aspects(np.zeros(n, dtype=np.int64), np.zeros((n, 1)), {"score": rng.normal(size=n)})

    result = []
    for seed in range(monitors):
        rng = np.random.default_rng(seed)
        old = texts(8, rng)
        first, second = texts(30, rng), texts(30, rng)
        before = old if fixed else joined([old, first])
        pairs = [(old, first), (before, second)]
        tests = [two_sample_test(*pair, rng=rng, permutations=99) for pair in pairs]
        result.append([test.together for test in tests])
    return np.array(result)


def test_batches_are_independent_where_earlier_ones_join_the_old_texts():
    growing = p_values_of_two_batches(400, fixed=False)
    fixed = p_values_of_two_batches(400, fixed=True)

    assert spearmanr(growing).pvalue > 0.05
    assert kstest(growing[:, 1], "uniform").pvalue > 0.05
    # Compared with the same few old texts, both batches look odd, or neither.
    assert spearmanr(fixed).statistic > 0.4
    product = np.array([evidence(pair)[-1] for pair in growing])
    assert (product >= 20).mean() <= 0.05
