"""Simultaneous limits of scores, and the share of a gap that an arm closes."""

import math

import numpy as np
import pytest

from project.stats.contrasts import ScoreSums
from project.stats.score_limits import gap_closed, score_limits

GOLD = np.arange(400) % 3


def noisy(right, seed, n_seeds=3):
    random = np.random.default_rng(seed)
    wrong = (GOLD + random.integers(1, 3, (n_seeds, 400))) % 3
    return np.where(random.random((n_seeds, 400)) < right, GOLD, wrong)


ARMS = {"gold": noisy(0.9, 0), "half": noisy(0.75, 1), "llm": noisy(0.6, 2)}


def sums_of(arms, trainings=None):
    return ScoreSums(GOLD, arms, 3, trainings=trainings, replicates=500)


def test_limits_of_scores_hold_for_all_arms_at_once():
    arms = {f"arm {index}": noisy(0.8, index) for index in range(8)}
    alone = score_limits(sums_of(arms), ["arm 1"])
    found = score_limits(sums_of(arms), list(arms), "arm 0")

    assert np.ptp(found.score["arm 1"][1:]) > 1.25 * np.ptp(alone.score["arm 1"][1:])
    assert set(found.difference) == set(arms) - {"arm 0"}
    assert alone.difference == {}


def test_no_limit_of_a_score_is_above_one():
    found = score_limits(sums_of({"all right": np.stack([GOLD] * 3)}), ["all right"])

    assert found.score["all right"].high == 1.0
    assert 0.98 < found.score["all right"].low < 1.0


def test_the_share_of_a_gap_is_defined_only_where_there_is_a_gap():
    sums = sums_of(ARMS)
    closed = gap_closed(sums, "half", "llm", "gold")
    f1 = {arm: sums.contrast({arm: 1.0}).estimate for arm in ARMS}

    assert closed.estimate == pytest.approx((f1["half"] - f1["llm"]) / (f1["gold"] - f1["llm"]))
    assert 0.1 < closed.low < closed.estimate < closed.high < 0.9
    assert math.isnan(gap_closed(sums, "half", "gold", "llm").estimate)
    assert math.isnan(gap_closed(sums, "half", "gold", "gold").estimate)


def test_trainings_of_llm_and_of_gold_close_exactly_nothing_and_everything():
    arms = {**ARMS, "no more": ARMS["llm"][::-1], "as gold": ARMS["gold"][::-1]}
    names = {arm: [f"{arm} {index}" for index in range(3)] for arm in ARMS}
    names |= {"no more": names["llm"][::-1], "as gold": names["gold"][::-1]}
    sums = sums_of(arms, names)

    assert gap_closed(sums, "no more", "llm", "gold") == pytest.approx((0, 0, 0), abs=1e-9)
    assert gap_closed(sums, "as gold", "llm", "gold") == pytest.approx((1, 1, 1), abs=1e-9)


def test_answers_like_those_of_llm_are_no_proof_that_nothing_is_closed():
    closed = gap_closed(sums_of({**ARMS, "alike": ARMS["llm"]}), "alike", "llm", "gold")

    assert closed.estimate == 0
    assert closed.low < -0.01
    assert closed.high > 0.01
