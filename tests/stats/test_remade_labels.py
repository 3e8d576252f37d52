"""Dawid and Skene, conformal selection, audited posteriors, and labels of given shares."""

import numpy as np
import pytest

from project.stats.base_rates import recut
from project.stats.conformal import certified, min_audit
from project.stats.dawid_skene import dawid_skene
from project.stats.transition import audited_posterior, smoothed_transition

VOTES = np.array(
    [
        [1, 1, 0, 0, 0, 1, 1, 0, 1, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0, 0, 0],
        [1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 1],
    ]
)
# DawidSkene(n_iter).fit of crowd-kit: P(class 1) of the first six texts
CROWD_KIT = {
    1: [0.646911, 0.318345, 0.314146, 0.703569, 0.104548, 0.707602],
    3: [0.578355, 0.384186, 0.321492, 0.717643, 0.177298, 0.769929],
    8: [0.526132, 0.437941, 0.310918, 0.749437, 0.240493, 0.837796],
}


@pytest.mark.parametrize("steps", CROWD_KIT)
def test_dawid_and_skene_agree_with_crowd_kit_without_smoothing(steps):
    found = dawid_skene(VOTES, 2, smoothing=0.0, iterations=steps)

    assert found.posterior[:6, 1] == pytest.approx(CROWD_KIT[steps], abs=2e-6)


def test_a_text_without_any_vote_has_no_posterior_and_rows_sum_to_one():
    votes = VOTES.copy()
    votes[:, 2] = -1
    found = dawid_skene(votes, 3)

    assert np.isnan(found.posterior[2]).all()
    assert np.delete(found.posterior, 2, axis=0).sum(axis=1) == pytest.approx(1)
    assert found.confusion.sum(axis=2) == pytest.approx(1)


def test_a_good_annotator_outvotes_two_bad_ones():
    random = np.random.default_rng(0)
    gold = random.integers(0, 3, 600)
    rates = np.array([0.95, 0.5, 0.5])
    wrong = (gold + random.integers(1, 3, (3, 600))) % 3
    votes = np.where(random.random((3, 600)) < rates[:, None], gold, wrong)
    majority = np.array([np.bincount(column, minlength=3).argmax() for column in votes.T])

    found = dawid_skene(votes, 3).posterior.argmax(axis=1)

    assert (found == gold).mean() > (majority == gold).mean() + 0.1


def test_the_smallest_audit_is_the_one_of_conformal_risk_control():
    assert [min_audit(error) for error in (0.05, 0.1, 0.2, 0.03)] == [19, 9, 4, 33]
    score = np.arange(200.0)
    audited = np.arange(200) % 11 == 0  # 19 labels
    nothing_wrong = np.zeros(200, dtype=bool)

    assert certified(score, audited, nothing_wrong, 0.05).sum() == 181
    assert certified(score, audited, nothing_wrong, 0.049).sum() == 0


@pytest.mark.parametrize("informative", [True, False])
def test_at_most_the_stated_share_of_kept_labels_is_wrong_on_average(informative):
    random = np.random.default_rng(1)
    shares, kept = [], []
    for _ in range(600):
        wrong = random.random(500) < 0.15
        score = random.normal(size=500) - 2.0 * wrong * informative
        audited = np.zeros(500, dtype=bool)
        audited[random.choice(500, 60, replace=False)] = True
        found = certified(score, audited, wrong, 0.1)
        shares.append(wrong[found].mean() if found.any() else 0.0)
        kept.append(found.sum())

    standard_error = np.std(shares) / np.sqrt(len(shares))
    assert np.mean(shares) <= 0.1 + 2 * standard_error
    assert np.mean(kept) > 150 or not informative


def test_rows_of_the_smoothed_transition_are_dirichlet_means_and_sum_to_one():
    given = np.array([0] * 10 + [1] * 10)
    gold = np.array([0] * 8 + [1] * 2 + [1] * 10)
    found = smoothed_transition(given, gold, 3)

    assert found.sum(axis=1) == pytest.approx(1)
    # right (18 + 1) / (20 + 2); the rest of the row by 13 : 1; 2 labels of prior beside 10
    right = 19 / 22
    assert found[0] == pytest.approx(
        np.array([8 + 2 * right, 2 + 2 * (1 - right) * 13 / 14, 2 * (1 - right) / 14]) / 12
    )
    assert found[2, 2] == pytest.approx(right)  # a label that the audit lacks has the prior


@pytest.mark.parametrize("informative", [True, False])
def test_features_count_where_they_help_and_the_transition_alone_where_not(informative):
    random = np.random.default_rng(2)
    gold = random.integers(0, 2, 2000)
    given = np.where(random.random(2000) < 0.75, gold, 1 - gold)
    features = random.normal(size=(2000, 8))
    features[:, 0] += 3.0 * gold * informative
    audited = np.arange(100)
    found = audited_posterior(given, audited, gold[:100], features, 2, 0)
    plain = smoothed_transition(given[:100], gold[:100], 2)[given]

    assert found.values.sum(axis=1) == pytest.approx(1)
    losses = [-np.log(p[np.arange(100, 2000), gold[100:]]).mean() for p in (found.values, plain)]
    assert losses[0] < losses[1] - 0.1 if informative else losses[0] < losses[1] + 0.05
    assert found.refined or not informative


def test_recut_labels_have_the_shares_that_are_asked_for():
    random = np.random.default_rng(0)
    shares = np.array([0.1, 0.4, 0.3, 0.2])
    found = recut(np.log(random.dirichlet([1, 0.3, 0.2, 2], size=1000)), shares)

    assert np.bincount(found, minlength=4) / 1000 == pytest.approx(shares, abs=0.003)


def test_a_binary_recut_takes_the_texts_with_the_highest_probability():
    p = np.random.default_rng(1).random(200)
    found = recut(np.log(np.stack([1 - p, p], axis=1)), np.array([0.75, 0.25]))

    assert set(np.flatnonzero(found)) == set(np.argsort(-p)[:50])
