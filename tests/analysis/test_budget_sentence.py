"""What a budget's sentence claims: only what limits that hold at once support."""

import numpy as np
import pytest

from analysis.questions.budget_sentence import Source, findings, limits, sentence
from project.stats.bootstrap import NO_INTERVAL, Interval

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


def test_the_limits_hold_for_all_sources_and_both_comparisons_at_once():
    random = np.random.default_rng(0)
    macro_f1 = {
        name: 0.8 + 0.01 * np.r_[0.0, random.normal(size=2000)] for name in ("random", *"abcdefgh")
    }
    alone = limits(macro_f1, np.full(2001, 0.76), ["a"], {})
    found = limits(
        macro_f1, np.full(2001, 0.76), list(macro_f1), dict.fromkeys("abcdefgh", "random")
    )

    width = alone.over_goal["a"].high - alone.over_goal["a"].low
    wider = found.over_goal["a"].high - found.over_goal["a"].low
    assert width == pytest.approx(2 * 1.96 * 0.01, rel=0.1)
    # 17 numbers: 2.9 standard errors to either side instead of 1.96.
    assert wider == pytest.approx(2 * 2.9 * 0.01, rel=0.1)
    assert set(found.over_random) == set("abcdefgh")
    assert limits(macro_f1, None, ["a"], {"a": "random"}).over_goal == {}
