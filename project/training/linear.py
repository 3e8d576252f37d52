"""The cheap classifier: a logistic regression on sentence embeddings."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.information import log_normalise
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


class _Softmax(NamedTuple):
    """A logistic regression by its coefficients ``(1 + n_components, n_classes)``, bias first."""

    coefficients: Floats

    def predict_proba(self, points: Points) -> Floats:
        """Class probabilities ``(n, n_classes)``."""
        return np.exp(log_normalise(_with_one(points) @ self.coefficients))


def fit_latent(points: Points, likelihood: Floats, weights: Floats) -> LinearModel:
    """Train a logistic regression on labels whose texts' classes are latent.

    It maximises the sum of weight x log sum_k P(k | text) P(label | k), less the ridge penalty of
    :func:`fit`, which it equals where one class alone can have got each label. The objective is not
    convex: the optimum is the one that L-BFGS reaches from zero.

    Parameters
    ----------
    points
        Coordinates of the texts ``(n, n_components)``.
    likelihood
        P(label | class) ``(n, n_classes)``.
    weights
        Weights of the texts ``(n,)``.
    """
    from scipy.optimize import minimize
    from threadpoolctl import threadpool_limits

    classes = np.flatnonzero((likelihood > 0).any(axis=0))
    if ((likelihood > 0).sum(axis=1) == 1).all():
        return fit(points, likelihood.argmax(axis=1), weights)
    values = _with_one(points)
    known = likelihood[:, classes]
    share = weights / weights.sum()
    # scikit-learn has one vector for two classes, this one has two, each of half the length.
    ridge = (2 if len(classes) == 2 else 1) / (STRENGTH * weights.sum())
    shape = (values.shape[1], len(classes))

    def objective(flat: Floats) -> tuple[float, Floats]:
        coefficients = flat.reshape(shape)
        expected = np.exp(log_normalise(values @ coefficients))
        joint = expected * known
        of_label = np.maximum(joint.sum(axis=1, keepdims=True), _LEAST)
        slope = values.T @ (share[:, None] * (expected - joint / of_label))
        slope[1:] += ridge * coefficients[1:]
        loss = -(share * np.log(of_label[:, 0])).sum() + ridge * (coefficients[1:] ** 2).sum() / 2
        return float(loss), slope.ravel()

    options = {"maxiter": 200, "gtol": 1e-4}
    with threadpool_limits(1):
        found = minimize(
            objective, np.zeros(shape[0] * shape[1]), jac=True, method="L-BFGS-B", options=options
        )
    return LinearModel(classes, _Softmax(found.x.reshape(shape)))


def _with_one(points: Points) -> Floats:
    """The points with a first coordinate of 1."""
    return np.concatenate([np.ones((len(points), 1)), points], axis=1)


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
