"""Class shares in the pool and in its parts."""

import dataclasses

import numpy as np
import pytest

from project.audit.shares import MIN_PART, class_shares, shares_by
from project.stats.survey import Design, corrected_share, share_interval
from tests.helpers.audits import audit_of

N = 1000
RANDOM = np.random.default_rng(0)
GOLD = RANDOM.choice(3, N, p=[0.6, 0.3, 0.1])
# The LLM calls a fifth of class 0 class 2.
LLM = np.where((GOLD == 0) & (RANDOM.random(N) < 0.2), 2, GOLD)
YEAR = np.where(np.arange(N) < 700, "2001", np.where(np.arange(N) < 990, "2002", "2003"))


def width(interval):
    return interval.high - interval.low


def test_the_llms_share_is_a_count_over_the_pool():
    found = class_shares(audit_of(GOLD, 200), LLM)

    assert [item.llm for item in found] == pytest.approx(np.bincount(LLM) / N)


def test_no_label_is_no_class():
    silent = np.where(np.arange(N) % 2 == 0, -1, LLM)
    found = class_shares(audit_of(GOLD, 200), silent)

    assert sum(item.llm for item in found) == pytest.approx(0.5)
    assert sum(item.audit.estimate for item in found) == pytest.approx(1)
    truth = (GOLD == 0).mean()
    assert found[0].corrected.low < truth < found[0].corrected.high


def test_audit_and_corrected_shares_are_those_of_the_survey():
    sample = audit_of(GOLD, 200)
    is_class = (sample.gold == 2).astype(float)
    proxy = (LLM[sample.indices] == 2).astype(float)
    design = Design(np.ones(200), None, 0.2)
    found = class_shares(sample, LLM)[2]

    assert found.audit == share_interval(is_class, design)
    assert found.corrected == corrected_share(is_class, proxy, (LLM == 2).mean(), design)


def test_corrected_shares_hold_the_truth_where_the_llms_are_wrong():
    true = np.bincount(GOLD) / N
    intervals = np.array(
        [
            [item.corrected for item in class_shares(audit_of(GOLD, 150, seed=seed), LLM)]
            for seed in range(200)
        ]
    )
    errors = intervals[:, :, 0] - true
    inside = (intervals[:, :, 1] <= true) & (true <= intervals[:, :, 2])

    assert np.abs(np.mean(errors, axis=0)).max() < 0.005
    assert (np.mean(inside, axis=0) >= 0.91).all()
    assert abs((LLM == 2).mean() - (GOLD == 2).mean()) > 0.1


def test_an_unknown_design_has_estimates_of_the_audit_and_no_limits():
    found = class_shares(audit_of(GOLD, 200, design="unknown"), LLM)

    assert sum(item.audit.estimate for item in found) == pytest.approx(1)
    for item in found:
        assert np.isnan([item.audit.low, item.audit.high, *item.corrected]).all()


def test_no_audited_text_leaves_the_llms_shares():
    found = class_shares(audit_of(GOLD, 0, n_classes=3), LLM)

    assert [item.llm for item in found] == pytest.approx(np.bincount(LLM) / N)
    assert all(np.isnan(item.audit.estimate) for item in found)


def test_parts_are_counted_and_have_shares_of_their_own():
    sample = audit_of(GOLD, 300)
    parts = shares_by(sample, LLM, "year", list(YEAR))

    assert [(part.column, part.value, part.n_pool) for part in parts] == [
        ("year", "2001", 700),
        ("year", "2002", 290),
        ("year", "2003", 10),
    ]
    assert sum(part.n_audit for part in parts) == 300
    second = parts[1]
    rows = YEAR == "2002"
    assert second.n_audit == rows[sample.indices].sum()
    assert second.classes[1].llm == pytest.approx((LLM[rows] == 1).mean())
    own = (sample.gold[rows[sample.indices]] == 1).mean()
    assert second.classes[1].audit.estimate == pytest.approx(own)
    assert abs(second.classes[0].corrected.estimate - (GOLD[rows] == 0).mean()) < 0.08


def test_limits_in_parts_hold_together():
    sample = audit_of(GOLD, 300)
    rows = YEAR == "2001"
    alone = class_shares(sample, LLM, rows=rows)[0]
    together = shares_by(sample, LLM, "year", list(YEAR))[0].classes[0]

    # z of 1 - 0.05 / 9 / 2 is 2.77 instead of 1.96.
    assert width(together.audit) == pytest.approx(2.77 / 1.96 * width(alone.audit), rel=0.02)


def test_a_part_with_few_audited_texts_has_no_limits():
    sample = audit_of(GOLD, 300)
    part = shares_by(sample, LLM, "year", list(YEAR))[2]

    assert 0 < part.n_audit < MIN_PART
    assert np.isnan(part.classes[0].audit.low)
    assert np.isnan(part.classes[0].corrected.estimate)


def test_a_part_that_is_audited_more_densely_is_known_better():
    dense = np.flatnonzero(YEAR == "2002")[:200]
    sample = dataclasses.replace(
        audit_of(GOLD, 200), indices=dense, gold=GOLD[dense], inclusion_probability=None
    )
    sample = dataclasses.replace(sample, inclusion_probability=np.full(200, 0.5))
    part = shares_by(sample, LLM, "year", list(YEAR))[1]
    is_class = (GOLD[dense] == 0).astype(float)
    expected = share_interval(is_class, Design(np.ones(200), None, 200 / 290), 1 - 0.05 / 9)

    assert part.classes[0].audit == expected


def test_unequal_probabilities_are_not_taken_for_a_dense_sample():
    probability = np.where(np.arange(300) < 150, 0.9, 0.01)
    sample = dataclasses.replace(audit_of(GOLD, 300), inclusion_probability=probability)
    is_class = (sample.gold == 0).astype(float)
    expected = share_interval(is_class, Design(1 / probability, None, 0.01))

    assert class_shares(sample, LLM)[0].audit == pytest.approx(expected)
