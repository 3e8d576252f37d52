"""The audit: its design, its replicates, and the texts that nobody labelled."""

import dataclasses

import numpy as np
import pytest

from project.audit.sample import REPLICATES, AuditSample
from project.stats.survey import mean_variance
from tests.helpers.audits import audit_of

GOLD = np.arange(200) % 3


def audit(probability, groups=None):
    n = len(probability)
    return AuditSample(np.arange(n), GOLD[:n], np.asarray(probability), 200, 3, groups)


def test_audited_texts_and_the_rest_are_the_pool():
    sample = audit_of(GOLD, 60)

    assert sample.n == 60
    assert sorted([*sample.indices, *sample.rest]) == list(range(200))
    assert sample.class_counts().tolist() == np.bincount(GOLD[sample.indices]).tolist()


def test_a_class_without_an_audited_text_counts_0():
    assert audit_of(np.zeros(50, dtype=int), 10, n_classes=3).class_counts().tolist() == [10, 0, 0]


def test_every_text_weighs_as_many_as_it_stands_for():
    design = audit([0.5, 0.1, 0.1]).design

    assert (design.weights / design.weights[0]).tolist() == pytest.approx([1, 5, 5])
    # The smallest probability: nothing is promised for the part that was sampled more densely.
    assert design.fraction == pytest.approx(0.1)
    assert audit_of(GOLD, 50).design.fraction == pytest.approx(0.25)


def test_an_unknown_design_has_no_intervals_and_equal_weights():
    sample = audit_of(GOLD, 50, design="unknown")

    assert not sample.has_intervals
    assert set(sample.design.weights) == {1.0}
    assert audit_of(GOLD, 50).has_intervals


def test_an_audit_of_no_text_has_a_design():
    sample = audit_of(GOLD, 0)

    assert (sample.n, sample.design.n, len(sample.rest)) == (0, 0, 200)
    assert not sample.has_intervals


def test_a_text_of_a_stratum_stands_for_as_many_as_the_stratum_has_for_each_audited_one():
    sample = AuditSample(
        indices=np.array([0, 1, 100, 101, 102, 103]),
        gold=GOLD[:6],
        inclusion_probability=np.full(6, 0.5),
        n_pool=200,
        n_classes=3,
        stratum=np.arange(200) // 100,
    )

    assert (sample.design.weights / sample.design.weights[2]).tolist() == [2, 2, 1, 1, 1, 1]
    assert sample.strata is not None
    assert sample.strata.unsampled.tolist() == [0.98, 0.96]
    assert (sample.replicates >= 0).all()
    assert sample.replicates_of_pool[0] == pytest.approx(np.array([2, 2, 1, 1, 1, 1]) / 8)
    # Not where documents may lie in several strata, nor where nobody knows the probabilities.
    for changes in ({"groups": np.arange(6)}, {"inclusion_probability": None}):
        other = dataclasses.replace(sample, **changes)
        assert other.strata is None
        assert other.design.strata is None


def test_the_rest_of_a_stratified_audit_counts_as_the_pool_does():
    stratum = np.arange(200) // 100
    indices = np.concatenate([np.arange(90), np.arange(100, 120)])
    sample = AuditSample(indices, GOLD[indices], np.full(110, 0.5), 200, 3, None, stratum)

    # 10 texts of one stratum are left, and 80 of the other; the pool has 100 of each.
    assert np.bincount(stratum[sample.rest], sample.rest_weights) == pytest.approx([100, 100])
    assert set(dataclasses.replace(sample, stratum=None).rest_weights) == {1.0}


def test_replicates_are_weightings_with_the_sum_1_and_the_first_is_the_design():
    sample = audit([0.5, 0.1, 0.1, 0.2])

    assert sample.replicates.shape == (1 + REPLICATES, 4)
    assert sample.replicates.sum(axis=1) == pytest.approx(np.ones(1 + REPLICATES))
    assert sample.replicates[0] == pytest.approx(np.array([2, 10, 10, 5]) / 27)


@pytest.mark.parametrize("has_groups", [False, True])
def test_the_spread_of_the_replicates_is_the_standard_error_of_the_design(has_groups):
    groups = np.repeat(np.arange(100, 140), 3) if has_groups else None
    sample = audit(np.full(120, 0.6), groups)
    values = np.repeat(np.random.default_rng(0).random(40) < 0.5, 3).astype(float)
    bootstrap = (sample.replicates[1:] @ values).var()

    # The bootstrap speaks of new texts, and lacks the factor n / (n - 1).
    expected = mean_variance(values, sample.design.of_new_texts())
    assert bootstrap == pytest.approx(expected, rel=0.15)


def test_a_document_is_drawn_whole():
    sample = audit(np.full(6, 0.1), np.array([8, 8, 8, 2, 2, 5]))

    assert (sample.replicates[:, :3] == sample.replicates[:, :1]).all()
    assert (sample.replicates[:, 3] == sample.replicates[:, 4]).all()
    assert (sample.replicates[:, 0] != sample.replicates[:, 5]).any()


def test_replicates_are_the_same_every_time():
    assert (audit_of(GOLD, 30).replicates == audit_of(GOLD, 30).replicates).all()
