"""Which texts a person should label next, and how many errors that finds."""

import numpy as np
import pytest

from project.audit.next_texts import next_texts
from tests.helpers.audits import audit_of, corrupted

N = 1000
GOLD = np.random.default_rng(0).integers(0, 3, N)
LLM = corrupted(GOLD, 0.2, 3)
# Five trainings that mostly see the errors.
TRAININGS = np.stack([corrupted(GOLD, 0.1, 3, seed=20 + number) for number in range(5)])
SUPPORT = np.full(N, 0.5)
DOUBT = (TRAININGS != LLM).mean(axis=0)


def test_the_most_contradicted_texts_that_nobody_labelled_come_first():
    sample = audit_of(GOLD, 200)
    found = next_texts(sample, LLM, TRAININGS, SUPPORT, 50)

    assert len(found.indices) == len(set(found.indices)) == 50
    assert not set(found.indices) & set(sample.indices)
    assert (np.diff(found.disagreement) <= 0).all()
    assert found.disagreement == pytest.approx(DOUBT[found.indices])
    left = np.setdiff1d(sample.rest, found.indices)
    assert DOUBT[left].max() <= found.disagreement[-1]


def test_ties_are_broken_by_chance_and_the_same_every_time():
    sample = audit_of(GOLD, 200)
    agreeing = np.stack([LLM] * 5)
    found = next_texts(sample, LLM, agreeing, SUPPORT, 50).indices

    assert (found == next_texts(sample, LLM, agreeing, SUPPORT, 50).indices).all()
    # The first 50 texts of the pool would be one document or one year.
    assert found.max() > 900


def test_among_equally_contradicted_texts_the_least_supported_labels_come_first():
    sample = audit_of(GOLD, 200)
    support = np.random.default_rng(5).random(N)
    found = next_texts(sample, LLM, np.stack([LLM] * 5), support, 50).indices

    assert (found == sample.rest[np.argsort(support[sample.rest])][:50]).all()


def test_the_expected_number_of_errors_is_close_to_the_true_one():
    expected = []
    true = []
    for seed in range(40):
        found = next_texts(audit_of(GOLD, 200, seed=seed), LLM, TRAININGS, SUPPORT, 100)
        expected.append([found.expected_wrong, found.expected_wrong_random])
        true.append([(LLM != GOLD)[found.indices].sum(), 100 * (LLM != GOLD).mean()])

    assert np.mean(expected, axis=0) == pytest.approx(np.mean(true, axis=0), rel=0.08)
    assert np.mean(expected, axis=0)[0] > 3 * np.mean(expected, axis=0)[1]


def test_a_text_without_a_label_comes_first_and_no_share_is_above_1():
    silent = np.where(np.arange(N) % 100 == 0, -1, LLM)
    sample = audit_of(GOLD, 200)
    found = next_texts(sample, silent, TRAININGS, SUPPORT, 50)
    n_silent = int((silent[sample.rest] < 0).sum())

    assert (silent[found.indices[:n_silent]] < 0).all()
    assert (silent[found.indices[n_silent:]] >= 0).all()
    assert found.disagreement.max() == 1


def test_no_label_is_wrong_for_sure_also_where_all_audited_labels_are_right():
    sample = audit_of(LLM, 200)
    answered = np.where(np.isin(np.arange(N), sample.indices), LLM, -1)

    assert next_texts(sample, LLM, TRAININGS, SUPPORT, 50).expected_wrong == 0
    assert next_texts(sample, answered, TRAININGS, SUPPORT, 50).expected_wrong == 50


def test_a_small_audit_does_not_say_how_many_are_wrong():
    found = next_texts(audit_of(GOLD, 29), LLM, TRAININGS, SUPPORT, 10)

    assert len(found.indices) == 10
    assert np.isnan([found.expected_wrong, found.expected_wrong_random]).all()
    assert np.isfinite(next_texts(audit_of(GOLD, 30), LLM, TRAININGS, SUPPORT, 10).expected_wrong)


def test_without_an_audit_texts_are_named_all_the_same():
    found = next_texts(audit_of(GOLD, 0, n_classes=3), LLM, TRAININGS, SUPPORT, 10)

    assert found.disagreement.min() == 1


@pytest.mark.parametrize(("asked", "named"), [(0, 0), (900, 800)])
def test_no_more_texts_are_named_than_there_are(asked, named):
    assert len(next_texts(audit_of(GOLD, 200), LLM, TRAININGS, SUPPORT, asked).indices) == named
