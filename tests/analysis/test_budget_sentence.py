"""What a budget's sentence claims: only what limits that hold at once support."""

import numpy as np
import pytest

from analysis.questions.budget_sentence import Source, findings, limits, sentence
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.contrasts import ScoreSums

GOAL = "95 % of gold's macro-F1 (85.5)"


def around(estimate, half_width=0.02):
    return Interval(estimate, estimate - half_width, estimate + half_width)


def source(kind, share, over_goal, over_random=None, price=None):
    """A source at ``share`` per cent; a number stands for the limits 2 points to either side."""
    return Source(
        f"{kind}_{share:g}",
        kind,
        share / 100,
        share / 100 if price is None else price,
        around(over_goal),
        NO_INTERVAL if over_random is None else around(over_random),
    )


def said(*sources, has_prices=False):
    return sentence(findings(sources), GOAL, has_prices=has_prices)


def test_equal_sources_are_not_told_apart_and_none_is_named_as_enough():
    text = said(
        source("random", 5, 0.01), source("entropy", 5, 0.01, 0.0), source("learned", 5, 0.0, 0.01)
    )

    assert text == (
        f"No source is shown to reach {GOAL} at these budgets; not excluded: random_5, entropy_5, "
        "learned_5. No source is measurably better or worse than random at the same budget."
    )


def test_a_clear_winner_is_named_with_its_budget_as_an_upper_bound():
    text = said(
        source("random", 5, -0.06),
        source("random", 10, -0.04),
        source("random", 25, 0.03),
        source("entropy", 5, -0.03, 0.03),
        source("entropy", 10, 0.03, 0.07),
        source("entropy", 25, 0.05, 0.01),
    )

    assert text == (
        f"At most 10 % human labels, by entropy_10, are enough for {GOAL}. All cheaper ones fall "
        "short. Random human labels need more: they fall short with up to 10 %. Against random at "
        "the same budget, in points of macro-F1, better: entropy_5 +3.0 [+1.0, +5.0], entropy_10 "
        "+7.0 [+5.0, +9.0]; no measurable difference: 1."
    )


def test_cheaper_sources_that_may_reach_the_goal_are_named():
    text = said(
        source("random", 10, 0.03), source("entropy", 5, 0.0, 0.01), source("entropy", 10, 0.01)
    )

    assert "At most 10 % human labels, by random_10, are enough" in text
    assert "Others that cost no more are not excluded: entropy_5, entropy_10." in text
    assert "Random human labels need" not in text


@pytest.mark.parametrize("random", [(10, -0.01), (5, -0.04), (25, -0.04)])
def test_random_needs_more_only_if_it_falls_short_at_the_same_and_all_smaller_budgets(random):
    """At 10 it may reach the goal; at 5 nothing is known of 10; at 25 it does, with 5 unknown."""
    sources = [source("entropy", 10, 0.03, 0.01), source("random", *random)]
    if random[0] == 25:
        sources.append(source("random", 5, -0.01))

    assert "Whether random human labels need more is not told." in said(*sources)


def test_a_source_without_human_labels_is_named_as_such_and_has_no_rival():
    text = said(source("random", 10, 0.03), source("llm", 0, 0.03), source("drop_margin", 0, 0.04))

    assert text == f"{GOAL} is reached without any human label, by drop_margin_0 or llm_0."


def test_sources_that_all_fall_short_are_said_to():
    text = said(source("random", 10, -0.03), source("entropy", 10, -0.04, -0.03))

    assert text == (
        f"Every source falls short of {GOAL} at these budgets. Against random at the same budget, "
        "in points of macro-F1, worse: entropy_10 -3.0 [-5.0, -1.0]."
    )


def test_with_prices_the_cost_decides_and_is_named():
    text = said(
        source("random", 50, 0.03, price=95.0),
        source("entropy", 10, 0.05, price=99.0),
        has_prices=True,
    )

    assert text.startswith("At most 50 % human labels at a cost of 95, by random_50, are enough")


TRUTH = np.arange(400) % 2


def predicted(seed, right=0.8, n_seeds=3):
    random = np.random.default_rng(seed)
    return np.where(random.random((n_seeds, 400)) < right, TRUTH, 1 - TRUTH)


def sums_of(arms, trainings=None):
    return ScoreSums(TRUTH, arms, 2, trainings=trainings, replicates=1000)


def test_the_limits_hold_for_all_sources_and_both_comparisons_at_once():
    arms = {name: predicted(seed) for seed, name in enumerate(("gold", "random", *"abcdefgh"))}
    sources = list(arms)[1:]
    alone = limits(sums_of(arms), 0.95, ["a"], {})
    found = limits(sums_of(arms), 0.95, sources, dict.fromkeys("abcdefgh", "random"))

    wider = np.ptp(found.over_goal["a"][1:]) / np.ptp(alone.over_goal["a"][1:])
    # 17 numbers: up to 2.9 standard errors to either side instead of 1.96.
    assert 1.2 < wider < 2.2
    assert set(found.over_random) == set("abcdefgh")
    assert limits(sums_of(arms), None, ["a"], {"a": "random"}).over_goal == {}


def test_the_goal_is_a_share_of_golds_macro_f1():
    arms = {"gold": predicted(0, 0.9), "a": predicted(1)}
    f1 = {name: sums_of(arms).contrast({name: 1.0}).estimate for name in arms}

    for reach in (0.8, 1.0):
        found = limits(sums_of(arms), reach, ["a"], {}).over_goal["a"]
        assert found.estimate == pytest.approx(f1["a"] - reach * f1["gold"])


def test_a_source_that_answers_like_gold_on_the_test_texts_is_not_shown_to_reach_it():
    same = predicted(0)
    found = limits(sums_of({"gold": same, "a": same}), 1.0, ["a"], {}).over_goal["a"]

    assert found.estimate == 0
    assert found.low < -0.005


def test_a_source_of_the_same_trainings_as_gold_or_random_reaches_it_exactly():
    same = predicted(0)
    arms = {"gold": same, "random_5": same, "a": same}
    trainings = dict.fromkeys(arms, ("x", "y", "z"))
    found = limits(sums_of(arms, trainings), 1.0, ["a"], {"a": "random_5"})

    assert found.over_goal["a"] == found.over_random["a"] == (0, 0, 0)
