"""What is true where every text of the pool has a human label, to see if an audit was right."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from project.audit.learner import POOL_FOLDS, Learner, cross_fitted
from project.stats.scores import score_answers
from project.stats.types import Codes, Floats

N_STEPS = 2 * POOL_FOLDS
"""Trainings of :func:`true_scores`."""


class Truth(NamedTuple):
    """Accuracy and macro-F1 ``(2,)`` each, and class shares ``(n_classes,)``."""

    llm: Floats
    classifier: Floats
    gold_trained: Floats
    shares: Floats


def true_scores(
    gold: Codes,
    llm: Codes,
    *,
    n_classes: int,
    learner: Learner,
    seed: int,
    progress: Callable[[int], object],
    documents: Codes | None = None,
) -> Truth:
    """The scores that an audit estimates, from human labels of the whole pool.

    Both classifiers are cross-fitted: each text is predicted by a model that did not train on it.

    Parameters
    ----------
    gold, llm
        Human labels and the LLM's labels of the pool ``(n_pool,)``; -1 is no label of the LLM.
    n_classes
        Size of the label set.
    learner
        The classifier.
    seed
        Seed of the folds, the same as that of the audit.
    progress
        Called with 1 after every training.
    documents
        Code of the document of every text ``(n_pool,)``, as for the audit.
    """
    by_llm, by_gold = (
        cross_fitted(learner, labels, seed, progress=progress, documents=documents)
        for labels in (llm, gold)
    )
    return truth_of(gold, llm, by_llm, by_gold, n_classes=n_classes)


def truth_of(gold: Codes, llm: Codes, by_llm: Codes, by_gold: Codes, *, n_classes: int) -> Truth:
    """The scores of labels and predictions of the whole pool, ``(n_pool,)`` each.

    Parameters
    ----------
    gold, llm
        Human labels and the LLM's labels; -1 is no label of the LLM.
    by_llm, by_gold
        Predictions by classifiers that were trained on the LLM's and on human labels.
    n_classes
        Size of the label set.
    """
    scores = [score_answers(gold, given, n_classes) for given in (llm, by_llm, by_gold)]
    values = [np.array([found.accuracy, found.macro_f1]) for found in scores]
    shares = np.bincount(gold, minlength=n_classes) / len(gold)
    return Truth(values[0], values[1], values[2], shares)
