"""Audits of synthetic pools, and a classifier on two numbers that trains in microseconds."""

import numpy as np

from project.audit.sample import AuditSample


class NearestMean:
    """A classifier that predicts the class whose training texts have the nearest mean.

    It fails loudly where a text would be predicted by a model that was trained on it, and where a
    text without a label would be trained on. ``calls`` holds what every training was given.
    """

    name = "nearest class mean"

    def __init__(self, points, n_classes):
        self._points = points
        self._n_classes = n_classes
        self.calls = []

    def predict(self, train, labels, test):
        return self.probabilities(train, labels, test).argmax(axis=1)

    def probabilities(self, train, labels, test):
        assert len(train) == len(labels) > 0
        assert (labels >= 0).all(), "a text without a label is trained on"
        assert not set(train.tolist()) & set(test.tolist()), "a text is predicted by its own model"
        self.calls.append((train, labels, test))
        classes = np.unique(labels)
        means = np.stack([self._points[train[labels == code]].mean(axis=0) for code in classes])
        distance = ((self._points[test][:, None] - means) ** 2).sum(axis=2)
        result = np.zeros((len(test), self._n_classes))
        result[:, classes] = np.exp(-distance) + 1e-300
        return result / result.sum(axis=1, keepdims=True)


def audit_of(gold, n, *, seed=0, n_classes=None, design="random", groups=None):
    """A random audit of ``n`` of the texts whose gold labels are ``gold``."""
    n_pool = len(gold)
    indices = np.sort(np.random.default_rng(seed).choice(n_pool, n, replace=False))
    return AuditSample(
        indices=indices,
        gold=gold[indices],
        inclusion_probability=np.full(n, n / n_pool) if design == "random" and n else None,
        n_pool=n_pool,
        n_classes=n_classes or int(gold.max()) + 1,
        groups=None if groups is None else groups[indices],
    )


def corrupted(gold, share, n_classes, seed=10):
    """``gold`` with another class in a random ``share`` of the places."""
    random = np.random.default_rng(seed)
    wrong = random.random(len(gold)) < share
    other = (gold + random.integers(1, n_classes, len(gold))) % n_classes
    return np.where(wrong, other, gold)
