"""Scores of labels with an order, in which a wrong label may be near or far.

The order is that of the class codes, and neighbours are one step apart. Both scores are functions
of the confusion matrix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from project.stats.bootstrap import REPLICATES, example_weights, mean_over_seeds
from project.stats.multiple import TrainingKey, training_keys
from project.stats.scores import confusion
from project.stats.types import Codes, Counts, Floats, Weights
from project.stats.weighting import weighted


class OrdinalScores(NamedTuple):
    """Scores of every seed under several weightings of the examples, ``(n_weightings, n_seeds)``.

    ``mean_absolute_error`` is in steps, from 0 to n_classes - 1; ``quadratic_kappa`` is in [-1, 1].
    """

    mean_absolute_error: Floats
    quadratic_kappa: Floats


def steps(n_classes: int) -> Floats:
    """Distance of every two classes in steps of the order, ``(n_classes, n_classes)``."""
    places = np.arange(n_classes, dtype=np.float64)
    return np.abs(places[:, None] - places)


def mean_absolute_error(counts: Counts | Floats) -> Floats:
    """Mean distance of the given label from gold in steps ``(...)``; nan without an example.

    ``counts`` ``(..., n_classes, n_classes)``: rows gold, columns given.
    """
    total = counts.sum(axis=(-2, -1)).astype(np.float64)
    distance = (counts * steps(counts.shape[-1])).sum(axis=(-2, -1))
    return np.divide(distance, total, out=np.full_like(total, np.nan), where=total > 0)


def quadratic_kappa(counts: Counts | Floats) -> Floats:
    """Cohen's kappa (1968) with the squared distance in steps as weight, ``(...)`` in [-1, 1].

    nan where the same single class is both gold and given everywhere, and without an example.

    ``counts`` ``(..., n_classes, n_classes)``: rows gold, columns given.
    """
    shares = counts.astype(np.float64)
    weights = steps(counts.shape[-1]) ** 2
    total = shares.sum(axis=(-2, -1))
    observed = (shares * weights).sum(axis=(-2, -1)) * total
    expected = np.einsum("...i,...j,ij->...", shares.sum(axis=-1), shares.sum(axis=-2), weights)
    undefined = np.full_like(total, np.nan)
    return np.asarray(1.0 - np.divide(observed, expected, out=undefined, where=expected > 0))


def with_farthest(gold: Codes, given: Codes, n_classes: int) -> Codes:
    """``given`` with the label farthest from gold in place of a missing one, -1.

    A missing answer is wrong in accuracy and macro-F1, and here as wrong as a label can be. Where
    the first and the last label are equally far, it is the first.
    """
    farthest = np.where(gold >= n_classes - 1 - gold, 0, n_classes - 1)
    return np.where(given >= 0, given, farthest)


def ordinal_confusion(gold: Codes, given: Codes, n_classes: int) -> Counts:
    """:func:`project.stats.scores.confusion` of :func:`with_farthest`, all ``(n,)``."""
    return confusion(gold, with_farthest(gold, given, n_classes), n_classes)


def weighted_ordinal_scores(
    gold: Codes, predicted: Codes, n_classes: int, weights: Weights
) -> OrdinalScores:
    """Both scores of every seed under every weighting.

    Parameters
    ----------
    gold
        Gold class codes ``(n,)``.
    predicted
        Predicted class codes of every seed ``(n_seeds, n)``; -1 counts as the farthest label.
    n_classes
        Size of the label set.
    weights
        How often each example counts ``(n_weightings, n)``, such as those of
        :func:`project.stats.bootstrap.example_weights`.
    """
    errors = []
    kappas = []
    for codes in predicted:
        cells = gold * n_classes + with_farthest(gold, codes, n_classes)
        is_cell = (cells[:, None] == np.arange(n_classes**2)).astype(np.float64)
        counts = weighted(weights, is_cell).reshape(len(weights), n_classes, n_classes)
        errors.append(mean_absolute_error(counts))
        kappas.append(quadratic_kappa(counts))
    return OrdinalScores(np.stack(errors, axis=1), np.stack(kappas, axis=1))


def resampled_ordinal_scores(
    gold: Codes,
    arms: Mapping[str, Codes],
    trainings: Mapping[str, Sequence[str]],
    n_classes: int,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, OrdinalScores]:
    """Means over the seeds of every arm, in the data and in every replicate.

    Paired and hierarchical as :func:`project.stats.bootstrap.resampled_scores`, on the same
    resampled examples as there. Arms that are the same trainings differ by exactly zero. Of arms
    that share some trainings the chance of the seeds counts as independent, so that the limits of
    their difference are too wide.

    Parameters
    ----------
    gold
        Gold class codes ``(n,)``.
    arms
        Predictions ``(n_seeds, n)`` of every arm, -1 for a missing answer.
    trainings
        For each arm the identity of each of its trainings, in the order of the predictions.
    n_classes
        Size of the label set.
    replicates, seed
        Number and seed of the bootstrap replicates.

    Returns
    -------
    dict
        Scores ``(1 + replicates,)`` by arm, the first from the data.
    """
    weights = example_weights(len(gold), replicates, seed)
    by_trainings: dict[tuple[TrainingKey, ...], OrdinalScores] = {}
    scores_of_arm = {}
    for index, (arm, predicted) in enumerate(arms.items()):
        key = tuple(sorted(training_keys(trainings[arm], predicted)))
        if key not in by_trainings:
            by_seed = weighted_ordinal_scores(gold, predicted, n_classes, weights)
            # Both scores get the same draws, every arm its own.
            error, kappa = (
                mean_over_seeds(values, np.random.default_rng([seed, index, 2]))
                for values in by_seed
            )
            # The spread of the seeds, which is added, may lead out of the range of scores.
            by_trainings[key] = OrdinalScores(
                np.clip(error, 0.0, n_classes - 1.0), np.clip(kappa, -1.0, 1.0)
            )
        scores_of_arm[arm] = by_trainings[key]
    return scores_of_arm
