"""The nearest texts of the error model: those of the whole pool, or of a sample of a large one."""

import numpy as np
import pytest

from project.labels import error_model


@pytest.fixture
def cloud():
    """Unit vectors around three centres ``(60, 8)`` and a label for each, a tenth of them wrong."""
    rng = np.random.default_rng(3)
    labels = rng.integers(3, size=60)
    embeddings = 3 * np.eye(8)[labels] + rng.normal(size=(60, 8))
    wrong = rng.random(60) < 0.1
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return np.where(wrong, (labels + 1) % 3, labels), embeddings


def by_hand(labels, embeddings, compared):
    """The share of other labels among the ten nearest of the compared texts."""
    cosines = embeddings @ embeddings.T
    shares = []
    for own in range(len(labels)):
        others = sorted(
            (index for index in compared if index != own), key=lambda i: -cosines[own, i]
        )
        shares.append(np.mean([labels[index] != labels[own] for index in others[:10]]))
    return shares


def test_the_nearest_texts_of_a_small_pool_are_those_of_all(cloud):
    labels, embeddings = cloud

    found = error_model.neighbour_disagreement(labels, embeddings, seed=0)

    assert found == pytest.approx(by_hand(labels, embeddings, range(60)))


def test_the_nearest_texts_of_a_large_pool_are_those_of_a_sample(cloud, monkeypatch):
    labels, embeddings = cloud
    monkeypatch.setattr(error_model, "MAX_COMPARED", 40)

    found, again = (
        error_model.neighbour_disagreement(labels, embeddings, seed=5) for _ in range(2)
    )

    sample = np.random.default_rng(5).choice(60, 40, replace=False)
    assert found == pytest.approx(by_hand(labels, embeddings, sample))
    assert not np.allclose(found, by_hand(labels, embeddings, range(60)))
    assert found.tolist() == again.tolist()
