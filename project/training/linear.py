"""The cheap classifier: a logistic regression on sentence embeddings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Codes, Floats

N_COMPONENTS = 128
STRENGTH = 4.0
"""Inverse strength of the ridge penalty, ``C`` of scikit-learn."""
MAX_TRAIN = 20_000
"""Most texts that one training takes; more hardly change a model of so few numbers."""
_LEAST = 1e-12  # stands for a probability of 0

Points = npt.NDArray[np.float32]


def principal_components(
    embeddings: Points, n_components: int = N_COMPONENTS, fit_on: slice = slice(None)
) -> Points:
    """Coordinates of embeddings ``(n, size)`` on their first principal components.

    The components are those of the rows in ``fit_on``. The covariance is summed over parts of the
    rows, so that memory stays near that of the input.
    """
    fitted = embeddings[fit_on]
    mean = fitted.mean(axis=0, dtype=np.float64)
    size = embeddings.shape[1]
    covariance = np.zeros((size, size))
    for start in range(0, len(fitted), 8192):
        part = fitted[start : start + 8192] - mean
        covariance += part.T @ part
    _, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, : min(n_components, max(1, len(fitted) - 1))]
    return np.asarray((embeddings - mean.astype(np.float32)) @ axes.astype(np.float32))


class LinearModel(NamedTuple):
    """A trained logistic regression.

    ``classes`` are the codes of the classes among its training labels; with one class alone there
    is no ``regression``, and that class is predicted everywhere.
    """

    classes: Codes
    regression: Any


def fit(points: Points, labels: Codes, weights: Floats | None = None) -> LinearModel:
    """Train a multinomial logistic regression.

    Parameters
    ----------
    points
        Coordinates of the texts ``(n, n_components)``.
    labels
        Their class codes ``(n,)``.
    weights
        Their weights ``(n,)``; None: all the same.
    """
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    classes = np.unique(labels)
    if len(classes) == 1:
        return LinearModel(classes, None)
    # Close enough: more iterations change no score in its third digit.
    regression = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3)
    # The products are too small to share: with more threads they wait for one another.
    with threadpool_limits(1):
        regression.fit(points, labels, sample_weight=weights)
    return LinearModel(classes, regression)


def probabilities(model: LinearModel, points: Points, n_classes: int) -> Floats:
    """Class probabilities ``(n, n_classes)``; 0 for classes that the model never saw."""
    from threadpoolctl import threadpool_limits

    result = np.zeros((len(points), n_classes))
    if model.regression is None:
        result[:, model.classes[0]] = 1.0
        return result
    with threadpool_limits(1):
        result[:, model.classes] = model.regression.predict_proba(points)
    return result


def log_probabilities(model: LinearModel, points: Points, n_classes: int) -> Floats:
    """Natural log probabilities ``(n, n_classes)``, all of them finite."""
    known = np.maximum(probabilities(model, points, n_classes), _LEAST)
    return np.asarray(np.log(known / known.sum(axis=1, keepdims=True)))


class LinearClassifier:
    """A multinomial logistic regression on the embeddings of a pool.

    ``name`` says so in every sentence about it; ``points`` are the texts' coordinates.
    """

    name = "logistic regression on sentence embeddings"

    def __init__(self, points: Points, n_classes: int) -> None:
        """``points`` ``(n_pool, n_components)`` from :func:`principal_components`."""
        self.points = points
        self._n_classes = n_classes

    def predict(self, train: Codes, labels: Codes, test: Codes) -> Codes:
        """Class codes ``(n_test,)``; see :class:`project.audit.learner.Learner`."""
        return np.asarray(self.probabilities(train, labels, test).argmax(axis=1))

    def probabilities(self, train: Codes, labels: Codes, test: Codes) -> Floats:
        """Class probabilities ``(n_test, n_classes)`` of a model trained on ``labels``.

        Parameters
        ----------
        train
            Positions of the texts to train on ``(n_train,)``. Of more than ``MAX_TRAIN`` the first
            ones are taken after a shuffle with a fixed seed.
        labels
            Their class codes ``(n_train,)``.
        test
            Positions of the texts to predict ``(n_test,)``.
        """
        if len(train) > MAX_TRAIN:
            kept = np.random.default_rng(0).permutation(len(train))[:MAX_TRAIN]
            train = train[kept]
            labels = labels[kept]
        model = fit(self.points[train], labels)
        return probabilities(model, self.points[test], self._n_classes)
