"""The logistic regression on embeddings, and the principal components that it reads."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

from project.training import linear
from project.training.linear import LinearClassifier, principal_components

RANDOM = np.random.default_rng(0)
CENTRES = np.array([[2, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]], dtype=np.float32)
LABELS = np.arange(300) % 3
POINTS = (CENTRES[LABELS] + RANDOM.normal(size=(300, 4))).astype(np.float32)
TRAIN = np.arange(200)
TEST = np.arange(200, 300)


def classifier(n_classes=3):
    return LinearClassifier(POINTS, n_classes)


@pytest.mark.parametrize("n_rows", [40, 20_000])
def test_principal_components_are_those_of_scikit_learn(n_rows):
    embeddings = RANDOM.normal(size=(n_rows, 6)).astype(np.float32) * np.arange(1, 7) + 3
    embeddings = embeddings.astype(np.float32)
    ours = principal_components(embeddings, 3)
    theirs = PCA(3, svd_solver="full").fit_transform(embeddings)

    assert ours.dtype == np.float32
    # The sign of an axis is arbitrary.
    assert np.abs(ours) == pytest.approx(np.abs(theirs), abs=2e-3)


def test_a_pool_smaller_than_the_components_has_fewer():
    embeddings = RANDOM.normal(size=(5, 20)).astype(np.float32)
    found = principal_components(embeddings, 10)
    distance = np.linalg.norm(embeddings[:, None] - embeddings, axis=2)

    assert found.shape == (5, 4)
    assert np.linalg.norm(found[:, None] - found, axis=2) == pytest.approx(distance, abs=1e-4)


def test_predictions_are_those_of_scikit_learn():
    model = LogisticRegression(C=linear.STRENGTH, tol=1e-8, max_iter=1000)
    model.fit(POINTS[TRAIN], LABELS[TRAIN])
    found = classifier().probabilities(TRAIN, LABELS[TRAIN], TEST)

    assert found == pytest.approx(model.predict_proba(POINTS[TEST]), abs=0.01)
    assert (classifier().predict(TRAIN, LABELS[TRAIN], TEST) == found.argmax(axis=1)).all()
    assert (found.argmax(axis=1) == LABELS[TEST]).mean() > 0.75


def test_a_class_without_a_training_text_has_probability_0():
    rows = TRAIN[LABELS[TRAIN] != 1]
    found = classifier(4).probabilities(rows, LABELS[rows], TEST)

    assert found.shape == (100, 4)
    assert (found[:, [1, 3]] == 0).all()
    assert found.sum(axis=1) == pytest.approx(np.ones(100))
    assert set(classifier(4).predict(rows, LABELS[rows], TEST)) == {0, 2}


def test_one_class_alone_is_predicted_everywhere():
    rows = TRAIN[LABELS[TRAIN] == 2]

    assert (classifier().predict(rows, LABELS[rows], TEST) == 2).all()


def test_of_many_texts_a_random_part_is_trained_on_and_the_same_every_time(monkeypatch):
    monkeypatch.setattr(linear, "MAX_TRAIN", 60)
    # Sorted by class: the first 60 texts would hold one class.
    order = TRAIN[np.argsort(LABELS[TRAIN], kind="stable")]
    first = classifier().probabilities(order, LABELS[order], TEST)

    assert (first == classifier().probabilities(order, LABELS[order], TEST)).all()
    assert (first.argmax(axis=1) == LABELS[TEST]).mean() > 0.7
    monkeypatch.setattr(linear, "MAX_TRAIN", 200)
    assert (first != classifier().probabilities(order, LABELS[order], TEST)).any()
