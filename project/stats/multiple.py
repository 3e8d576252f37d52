"""Scores of several arms on the same resampled examples, where arms may share trainings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from project.stats.bootstrap import (
    REPLICATES,
    WeightedScores,
    example_weights,
    mean_with_draws,
    resampled_scores,
    weighted_scores,
)
from project.stats.types import Codes, Floats

TrainingKey: TypeAlias = tuple[str, bytes]
"""Name and predictions of a training."""


def paired_scores(
    gold: Codes,
    arms: Mapping[str, Codes],
    trainings: Mapping[str, Sequence[str]],
    n_classes: int,
    *,
    replicates: int = REPLICATES,
    seed: int = 0,
) -> dict[str, WeightedScores]:
    """:func:`project.stats.bootstrap.resampled_scores`, where arms may share trainings.

    What two arms share they share in every replicate, the chance of the seeds too. So the
    difference of arms that are the same trainings is exactly zero, and that of five seeds from ten
    seeds, among them the same five, varies with the other five only.

    Parameters
    ----------
    gold
        Gold class codes ``(n,)``.
    arms
        Predictions ``(n_seeds, n)`` of every arm.
    trainings
        For each arm the identity of each of its trainings, in the order of the predictions. Two
        trainings are the same if identity and predictions are equal.
    n_classes
        Size of the label set.
    replicates
        Number of bootstrap replicates.
    seed
        Seed of the replicates.

    Returns
    -------
    dict
        Scores ``(1 + replicates, ...)`` by arm, the first row from the data.
    """
    keys = {arm: training_keys(trainings[arm], predicted) for arm, predicted in arms.items()}
    # Arms that are the same trainings, in whatever order, are scored once.
    first_of: dict[tuple[TrainingKey, ...], str] = {}
    for arm in arms:
        first_of.setdefault(tuple(sorted(keys[arm])), arm)
    distinct = {arm: arms[arm] for arm in first_of.values()}
    scores = resampled_scores(gold, distinct, n_classes, replicates=replicates, seed=seed)
    n_arms = Counter(key for arm in distinct for key in set(keys[arm]))
    index_of = {key: index for index, key in enumerate(n_arms)}
    for arm, predicted in distinct.items():
        if any(n_arms[key] > 1 for key in keys[arm]):
            weights = example_weights(len(gold), replicates, seed)
            by_seed = weighted_scores(gold, predicted, n_classes, weights)
            draws = _shared_draws([index_of[key] for key in keys[arm]], replicates, seed)
            means = [_mean_with_draws(values, draws) for values in by_seed]
            scores[arm] = WeightedScores(*means)
    return {arm: scores[first_of[tuple(sorted(keys[arm]))]] for arm in arms}


def training_keys(trainings: Sequence[str], predicted: Codes) -> list[TrainingKey]:
    """Identities of trainings by their names and their predictions ``(n_seeds, n)``.

    A repetition that does not predict the same, for instance on a GPU, is another training.
    """
    return [
        (name, np.ascontiguousarray(codes, dtype=np.int64).tobytes())
        for name, codes in zip(trainings, predicted, strict=True)
    ]


def _shared_draws(indices: Sequence[int], replicates: int, seed: int) -> Floats:
    """Draws of Student's t ``(1 + replicates,)`` for the mean of k seeds, the first one 0.

    ``indices`` are those of its trainings among all trainings ``(k,)``. Every training has normal
    draws of its own, which it brings into each arm; t is their mean over its standard error. So the
    draws of two arms that share trainings correlate as their means and their spreads do.
    """
    k = len(indices)
    if len(set(indices)) < 2:  # one training, perhaps several times, has no spread
        return np.zeros(1 + replicates)
    # The last number keeps the streams apart from those of resampled_scores().
    normal = np.stack(
        [np.random.default_rng([seed, index, 1]).normal(size=replicates) for index in indices]
    )
    draws = normal.mean(axis=0) * np.sqrt(k) / normal.std(axis=0, ddof=1)
    return np.concatenate([[0.0], draws])


def _mean_with_draws(values: Floats, draws: Floats) -> Floats:
    """Means over the seeds ``(1 + replicates, ...)`` with given draws, clipped to scores."""
    if values.shape[1] < 2:
        return np.asarray(values.mean(axis=1))
    # The spread of the seeds, which is added, may lead out of the range of scores.
    return np.clip(mean_with_draws(values, draws), 0.0, 1.0)
