"""The cheap classifier: a logistic regression on sentence embeddings."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from project.stats.types import Codes

N_COMPONENTS = 128
STRENGTH = 4.0
"""Inverse strength of the ridge penalty, ``C`` of scikit-learn."""
MAX_TRAIN = 20_000
"""Most texts that one training takes; more hardly change a model of so few numbers."""

Points = npt.NDArray[np.float32]


def principal_components(embeddings: Points, n_components: int = N_COMPONENTS) -> Points:
    """Coordinates of embeddings ``(n, size)`` on their first principal components.

    The covariance is summed over parts of the rows, so that memory stays near that of the input.
    """
    mean = embeddings.mean(axis=0, dtype=np.float64)
    size = embeddings.shape[1]
    covariance = np.zeros((size, size))
    for start in range(0, len(embeddings), 8192):
        part = embeddings[start : start + 8192] - mean
        covariance += part.T @ part
    _, vectors = np.linalg.eigh(covariance)
    axes = vectors[:, ::-1][:, : min(n_components, len(embeddings) - 1)]
    return np.asarray((embeddings - mean.astype(np.float32)) @ axes.astype(np.float32))


class LinearClassifier:
    """A multinomial logistic regression on the embeddings of a pool.

    ``name`` says so in every sentence about it.
    """

    name = "logistic regression on sentence embeddings"

    def __init__(self, points: Points, n_classes: int) -> None:
        """``points`` ``(n_pool, n_components)`` from :func:`principal_components`."""
        self._points = points
        self._n_classes = n_classes

    def predict(self, train: Codes, labels: Codes, test: Codes) -> Codes:
        """Class codes ``(n_test,)``; see :class:`project.audit.learner.Learner`."""
        return np.asarray(self.probabilities(train, labels, test).argmax(axis=1))

    def probabilities(self, train: Codes, labels: Codes, test: Codes) -> npt.NDArray[np.float64]:
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
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        if len(train) > MAX_TRAIN:
            kept = np.random.default_rng(0).permutation(len(train))[:MAX_TRAIN]
            train = train[kept]
            labels = labels[kept]
        classes = np.unique(labels)
        result = np.zeros((len(test), self._n_classes))
        if len(classes) == 1:  # a logistic regression needs two
            result[:, classes[0]] = 1.0
            return result
        # Close enough: more iterations change no score in its third digit.
        model = LogisticRegression(C=STRENGTH, max_iter=200, tol=1e-3)
        # The products are too small to share: with more threads they wait for one another.
        with threadpool_limits(1):
            model.fit(self._points[train], labels)
            result[:, classes] = model.predict_proba(self._points[test])
        return result
