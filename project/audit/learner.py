"""What the audit needs of a classifier, and predictions of texts that a model did not train on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from project.stats.types import Codes, Floats

POOL_FOLDS = 10


class Learner(Protocol):
    """Trains a classifier on some texts of the pool and predicts others."""

    name: str

    def predict(self, train: Codes, labels: Codes, test: Codes) -> Codes:
        """Class codes ``(n_test,)`` of a classifier trained on ``labels``.

        Parameters
        ----------
        train
            Positions in the pool of the texts to train on ``(n_train,)``.
        labels
            Their class codes ``(n_train,)``, none of them -1.
        test
            Positions in the pool of the texts to predict ``(n_test,)``.
        """
        ...

    def probabilities(self, train: Codes, labels: Codes, test: Codes) -> Floats:
        """Class probabilities ``(n_test, n_classes)``; :meth:`predict` gives their largest."""
        ...


def folds(
    n: int, n_folds: int, random: np.random.Generator, documents: Codes | None = None
) -> Codes:
    """A random fold for every text ``(n,)``; texts of one document are in the same fold.

    Parameters
    ----------
    n
        Number of texts.
    n_folds
        Number of folds.
    random
        Source of the order.
    documents
        Code of the document of every text ``(n,)``; None: every text is a document of its own.
    """
    if documents is None:
        return random.permutation(n) % n_folds
    _, member = np.unique(documents, return_inverse=True)
    return np.asarray((random.permutation(int(member.max(initial=-1)) + 1) % n_folds)[member])


def cross_fitted(
    learner: Learner,
    labels: Codes,
    seed: int,
    *,
    progress: Callable[[int], object],
    documents: Codes | None = None,
    resample: bool = False,
) -> Codes:
    """A prediction for every text of the pool by a model that did not see its label.

    Parameters
    ----------
    learner
        The classifier.
    labels
        Labels of the pool ``(n_pool,)``; texts with -1 are predicted and not trained on.
    seed
        Seed of the folds and of the resampling.
    progress
        Called with 1 after every fold.
    documents
        Code of the document of every text ``(n_pool,)``; no text is predicted by a model that
        trained on another text of its document. None: every text is a document of its own.
    resample
        Train on a bootstrap resample of the other folds, so that trainings differ as they would
        on other texts.
    """
    predictions = np.empty(len(labels), dtype=np.int64)
    for train, test in _splits(labels, seed, documents, resample=resample):
        if len(test):  # a pool may have fewer texts than folds
            predictions[test] = learner.predict(train, labels[train], test)
        progress(1)
    return predictions


def cross_fitted_probabilities(
    learner: Learner,
    labels: Codes,
    seed: int,
    *,
    n_classes: int,
    progress: Callable[[int], object],
    documents: Codes | None = None,
) -> Floats:
    """Class probabilities ``(n_pool, n_classes)`` by models that did not see a text's label.

    The parameters are those of :func:`cross_fitted`, whose predictions are the most probable
    classes.
    """
    result = np.zeros((len(labels), n_classes))
    for train, test in _splits(labels, seed, documents, resample=False):
        if len(test):
            result[test] = learner.probabilities(train, labels[train], test)
        progress(1)
    return result


def _splits(
    labels: Codes, seed: int, documents: Codes | None, *, resample: bool
) -> Iterator[tuple[Codes, Codes]]:
    """For every fold the texts to train on, which have a label, and the texts to predict."""
    random = np.random.default_rng(seed)
    fold = folds(len(labels), POOL_FOLDS, random, documents)
    for number in range(POOL_FOLDS):
        train = np.flatnonzero((fold != number) & (labels >= 0))
        if resample:
            train = random.choice(train, len(train))
        yield train, np.flatnonzero(fold == number)
