"""The borrowed learning curve, with a classifier on two numbers that trains in microseconds."""

import dataclasses

import numpy as np
import pytest
from sklearn.metrics import f1_score

from project.audit import borrowed_curve, learner
from project.audit.borrowed_curve import (
    AUDIT_FOLDS,
    AUDIT_REPEATS,
    LOSS_BIAS,
    LOSS_ERROR,
    SMALL_TRAININGS,
    Curves,
    estimate_loss,
    learn_curves,
    learned_gain,
    n_trainings,
)
from project.audit.learner import POOL_FOLDS, cross_fitted, folds
from tests.helpers.audits import NearestMean, audit_of

N = 800
RANDOM = np.random.default_rng(0)
POINTS = RANDOM.uniform(-1, 1, (N, 2))
GOLD = (POINTS[:, 0] + 0.15 * RANDOM.normal(size=N) > 0).astype(np.int64)
# Errors that a classifier learns: the LLM draws the border between the classes elsewhere.
SYSTEMATIC = (POINTS[:, 0] > 0.6).astype(np.int64)


def none(count):
    return None


def examined(llm, n=240, points=POINTS, gold=GOLD, n_classes=2, seed=0):
    """Sample, curves, loss and classifier of an audit."""
    classifier = NearestMean(points, n_classes)
    sample = audit_of(gold, n, n_classes=n_classes)
    predicted = cross_fitted(classifier, llm, seed, progress=none)
    curves = learn_curves(sample, llm, predicted, learner=classifier, seed=seed, progress=none)
    return sample, curves, estimate_loss(sample, llm, predicted, curves), classifier


def test_labels_of_an_llm_that_are_gold_lose_nothing():
    _, _, loss, _ = examined(GOLD)

    assert loss.loss["macro_f1"].estimate == pytest.approx(0, abs=0.02)
    assert loss.loss["macro_f1"].low < 0 < loss.loss["macro_f1"].high


def test_errors_that_a_classifier_learns_are_a_loss():
    _, _, loss, _ = examined(SYSTEMATIC)
    halves = np.arange(N) < N // 2
    train = np.flatnonzero(halves)
    test = np.flatnonzero(~halves)
    scores = [
        f1_score(
            GOLD[test],
            NearestMean(POINTS, 2).predict(train, labels[train], test),
            average="macro",
        )
        for labels in (GOLD, SYSTEMATIC)
    ]
    true = scores[0] - scores[1]

    assert true > 0.08
    assert loss.loss["macro_f1"].low > 0.02
    assert loss.loss["macro_f1"].low < true < loss.loss["macro_f1"].high
    assert loss.gold_trained["macro_f1"].estimate == pytest.approx(scores[0], abs=0.04)
    assert loss.classifier["macro_f1"].estimate == pytest.approx(scores[1], abs=0.04)


def test_every_text_is_predicted_by_models_that_did_not_see_its_label():
    # NearestMean fails where it does not hold; this counts that every text was predicted.
    sample, _, _, classifier = examined(SYSTEMATIC)
    n_pool = POOL_FOLDS
    n_audit = AUDIT_FOLDS * AUDIT_REPEATS
    pool = np.concatenate([test for _, _, test in classifier.calls[:n_pool]])
    assert sorted(pool) == list(range(N))

    held = [test[: -len(sample.rest)] for _, _, test in classifier.calls[n_pool : n_pool + n_audit]]
    times = np.bincount(np.concatenate(held), minlength=N)
    assert set(times[sample.indices]) == {AUDIT_REPEATS}
    for train, labels, _ in classifier.calls[n_pool : n_pool + n_audit]:
        assert (GOLD[train] == labels).all()
        assert set(train) <= set(sample.indices)
    small = classifier.calls[n_pool + n_audit :]
    assert len(small) == SMALL_TRAININGS
    assert {len(train) for train, _, _ in small} == {int(240 * 0.8)}
    for train, labels, _ in small:
        assert (SYSTEMATIC[train] == labels).all()


def test_progress_counts_every_training():
    counted: list[int] = []
    classifier = NearestMean(POINTS, 2)
    sample = audit_of(GOLD, 100, n_classes=2)
    predicted = cross_fitted(classifier, GOLD, 0, progress=counted.append)
    assert sum(counted) == POOL_FOLDS
    learn_curves(sample, GOLD, predicted, learner=classifier, seed=0, progress=counted.append)

    assert sum(counted) == POOL_FOLDS + n_trainings() == len(classifier.calls)


def test_texts_without_a_label_are_predicted_and_not_trained_on():
    silent = np.where(np.arange(N) % 4 == 0, -1, SYSTEMATIC)
    sample, curves, loss, classifier = examined(silent)
    with_answers = examined(SYSTEMATIC)[2]

    pool = np.concatenate([test for _, _, test in classifier.calls[:POOL_FOLDS]])
    assert sorted(pool) == list(range(N))
    assert (silent[sample.indices] < 0).any()
    assert np.isfinite(curves.small).all()
    estimate = loss.loss["macro_f1"].estimate
    assert estimate == pytest.approx(with_answers.loss["macro_f1"].estimate, abs=0.03)


def test_a_resample_differs_from_seed_to_seed_and_repeats_with_its_seed():
    def trained(seed, resample):
        classifier = NearestMean(POINTS, 2)
        cross_fitted(classifier, GOLD, seed, progress=none, resample=resample)
        return [train.tolist() for train, _, _ in classifier.calls]

    assert trained(1, True) == trained(1, True)
    assert trained(1, True) != trained(2, True)
    assert all(len(set(train)) < len(train) for train in trained(1, True))
    assert all(len(set(train)) == len(train) for train in trained(1, False))


def test_the_gain_is_borrowed_as_the_formula_says():
    sample = audit_of(GOLD, 200)
    wrong = np.where(np.arange(200) % 5 == 0, 1 - sample.gold, sample.gold)
    curves = Curves(
        gold_audit=np.stack([wrong, wrong]),
        gold_rest=np.repeat(GOLD[None, None, sample.rest], 2, axis=0),
        small=np.array([0.8, 0.8]),
        full=np.array([0.9, 0.85]),
    )
    found = estimate_loss(sample, np.full(N, -1), GOLD, curves)
    small_f1 = f1_score(sample.gold, wrong, average="macro")
    bias = LOSS_BIAS / np.sqrt(200)

    # No LLM label, no proxy: 1 - (1 - G(m)) * (1 - R(N)) / (1 - R(m)), and the bias on top.
    assert found.proxy_share == 0
    assert found.gold_trained["accuracy"].estimate == pytest.approx(1 - 0.2 / 2 + bias)
    expected = 1 - (1 - small_f1) * 0.75 + bias
    assert found.gold_trained["macro_f1"].estimate == pytest.approx(expected)
    assert found.loss["macro_f1"].estimate == pytest.approx(expected - 1)


@pytest.mark.parametrize(
    ("small", "full", "gain"), [(0.9, 0.5, 1.2), (0.5, 1.0, 0.0), (1.0, 1.0, 1.0)]
)
def test_the_gain_is_limited(small, full, gain):
    sample = audit_of(GOLD, 200)
    wrong = np.where(np.arange(200) % 10 == 0, 1 - sample.gold, sample.gold)
    rest = GOLD[None, None, sample.rest]
    curves = Curves(wrong[None], rest, np.full(2, small), np.full(2, full))
    found = estimate_loss(sample, np.full(N, -1), GOLD, curves)
    bias = LOSS_BIAS / np.sqrt(200)

    estimate = found.gold_trained["accuracy"].estimate
    assert estimate == pytest.approx(min(1, 1 - 0.1 * gain + bias))


def test_an_interval_of_the_loss_is_never_narrower_than_the_curves_own_error():
    sample = audit_of(GOLD, 200)
    curves = Curves(
        sample.gold[None], GOLD[None, None, sample.rest], np.full(2, 0.9), np.full(2, 0.9)
    )
    interval = estimate_loss(sample, GOLD, GOLD, curves).loss["macro_f1"]

    reach = 1.6449 * LOSS_ERROR / np.sqrt(200)
    assert interval.high - interval.estimate == pytest.approx(reach, rel=1e-3)
    assert interval.estimate - interval.low == pytest.approx(reach, rel=1e-3)


def test_scores_stay_within_0_and_1():
    _, _, loss, _ = examined(GOLD, points=np.stack([GOLD, GOLD], axis=1).astype(float))

    for scores in (loss.classifier, loss.gold_trained):
        for interval in scores.values():
            assert 0 <= interval.low <= interval.estimate <= interval.high <= 1


def spreads(llm, shares, monkeypatch):
    monkeypatch.setattr(borrowed_curve, "_PROXY_SHARES", shares)
    _, _, loss, _ = examined(llm)
    return loss


def test_a_good_proxy_is_used_and_makes_the_loss_more_certain(monkeypatch):
    good = np.where(np.arange(N) % 25 == 0, 1 - GOLD, GOLD)
    alone = spreads(good, (0.0,), monkeypatch)
    chosen = spreads(good, (0.0, 0.25, 0.5), monkeypatch)

    assert chosen.proxy_share > 0
    assert chosen.standard_error["macro_f1"] < 0.9 * alone.standard_error["macro_f1"]
    estimate = alone.loss["macro_f1"].estimate
    assert chosen.loss["macro_f1"].estimate == pytest.approx(estimate, abs=0.03)


def test_a_proxy_that_tells_nothing_is_not_used(monkeypatch):
    chance = np.random.default_rng(5).integers(0, 2, N)
    loss = spreads(chance, (0.0, 0.25, 0.5), monkeypatch)
    alone = spreads(chance, (0.0,), monkeypatch)

    assert loss.standard_error["macro_f1"] <= alone.standard_error["macro_f1"]


def test_the_same_seed_gives_the_same_loss():
    first = examined(SYSTEMATIC)[2]

    assert examined(SYSTEMATIC)[2] == first
    assert examined(SYSTEMATIC, seed=1)[2] != first


def test_a_larger_audit_is_more_certain():
    small = examined(SYSTEMATIC, n=100)[2]
    large = examined(SYSTEMATIC, n=400)[2]

    assert large.standard_error["macro_f1"] < 0.7 * small.standard_error["macro_f1"]


def test_documents_make_the_loss_less_certain():
    document = np.argsort(np.argsort(POINTS[:, 0])) // 20  # texts of a document are alike
    classifier = NearestMean(POINTS, 2)
    predicted = cross_fitted(classifier, SYSTEMATIC, 0, progress=none)
    sample = audit_of(GOLD, 240)
    in_documents = dataclasses.replace(sample, groups=document[sample.indices])
    curves = learn_curves(sample, SYSTEMATIC, predicted, learner=classifier, seed=0, progress=none)
    plain = estimate_loss(sample, SYSTEMATIC, predicted, curves)
    grouped = estimate_loss(in_documents, SYSTEMATIC, predicted, curves)

    assert grouped.standard_error["accuracy"] > 1.3 * plain.standard_error["accuracy"]


def test_a_pool_smaller_than_the_folds_is_predicted():
    classifier = NearestMean(POINTS, 2)
    predicted = cross_fitted(classifier, GOLD[:6], 0, progress=none)

    assert set(predicted) <= {0, 1}
    assert all(len(test) for _, _, test in classifier.calls)
    assert learner.POOL_FOLDS > 6


def test_no_text_is_predicted_by_a_model_that_saw_its_document():
    documents = np.arange(N) // 3
    classifier = NearestMean(POINTS, 2)
    cross_fitted(classifier, GOLD, 0, progress=none, documents=documents)

    assert len(classifier.calls) == POOL_FOLDS
    for train, _, test in classifier.calls:
        assert not set(documents[train]) & set(documents[test])


def test_human_labels_of_a_document_are_in_one_fold():
    documents = np.arange(N) // 3
    sample = audit_of(GOLD, 240)
    classifier = NearestMean(POINTS, 2)
    learn_curves(sample, GOLD, GOLD, learner=classifier, seed=0, progress=none, documents=documents)

    for train, _, test in classifier.calls[: AUDIT_FOLDS * AUDIT_REPEATS]:
        held = np.intersect1d(test, sample.indices)
        assert len(held)
        assert not set(documents[train]) & set(documents[held])


def test_folds_of_texts_without_copies_are_those_of_texts_without_documents():
    alone = folds(50, 10, np.random.default_rng(3))

    assert (folds(50, 10, np.random.default_rng(3), np.arange(50)) == alone).all()
    assert list(np.bincount(alone)) == [5] * 10


def test_without_errors_nothing_is_gained():
    assert list(learned_gain(np.array([1.0, 0.8]), np.array([1.0, 0.9]))) == pytest.approx([1, 0.5])
