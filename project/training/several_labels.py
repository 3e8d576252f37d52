"""Answers of one encoder to a question for each label: scores and probabilities."""

from __future__ import annotations

import numpy as np

from project.stats.scores import confusion, scores
from project.stats.types import Codes, Floats, Mask


def mean_scores(gold: Codes, given: Mask) -> tuple[float, float]:
    """Means over the labels of accuracy and macro-F1 of yes and no.

    Parameters
    ----------
    gold
        1 for yes, 0 for no, -1 where it is not known, ``(n, n_labels)``.
    given
        Whether the model answers yes, ``(n, n_labels)``.
    """
    each = []
    for answers, guesses in zip(gold.T, given.T, strict=True):
        known = answers >= 0
        if known.any():
            score = scores(confusion(answers[known], guesses[known].astype(int), 2))
            each.append((score.accuracy, score.macro_f1))
    accuracy, macro_f1 = np.mean(each, axis=0)
    return float(accuracy), float(macro_f1)


def log_probabilities(log_odds: Floats) -> Floats:
    """Natural log probabilities of no and yes, ``(n, 2)``, from the log odds of yes ``(n,)``."""
    return np.stack([-np.logaddexp(0, log_odds), -np.logaddexp(0, -log_odds)], axis=1)
