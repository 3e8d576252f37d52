"""The functions of the registered metrics, which all have the same three arguments.

``gold`` are class codes ``(n_examples,)``. ``predicted`` are those of one seed, ``(n_examples,)``,
for scores against gold, and those of all seeds, ``(n_seeds, n_examples)``, for the agreement of
seeds. ``n_classes`` is the size of the label set. Results are in [0, 1], alpha and kappa in
[-1, 1], and the mean absolute error is in steps from 0 to n_classes - 1.
"""

from __future__ import annotations

import numpy as np

from project.stats import agreement, ordinal
from project.stats.bootstrap import Interval
from project.stats.scores import score_answers
from project.stats.types import Codes


def accuracy(gold: Codes, predicted: Codes, n_classes: int) -> float:
    """Share of equal codes; a missing answer (-1) is wrong."""
    return score_answers(gold, predicted, n_classes).accuracy


def macro_f1(gold: Codes, predicted: Codes, n_classes: int) -> float:
    """Mean F1 over all ``n_classes``; a missing answer (-1) is wrong."""
    return score_answers(gold, predicted, n_classes).macro_f1


def weighted_f1(gold: Codes, predicted: Codes, n_classes: int) -> float:
    """Mean F1 weighted by the gold examples of each class; a missing answer (-1) is wrong."""
    sizes = np.bincount(gold, minlength=n_classes)
    if not sizes.sum():
        return float("nan")
    return float(np.average(score_answers(gold, predicted, n_classes).f1, weights=sizes))


def mean_absolute_error(gold: Codes, predicted: Codes, n_classes: int) -> float:
    """Mean distance from gold in steps of the order; a missing answer is as far as can be."""
    return float(ordinal.mean_absolute_error(ordinal.ordinal_confusion(gold, predicted, n_classes)))


def quadratic_kappa(gold: Codes, predicted: Codes, n_classes: int) -> float:
    """Quadratic weighted kappa with gold; a missing answer is as far as can be."""
    return float(ordinal.quadratic_kappa(ordinal.ordinal_confusion(gold, predicted, n_classes)))


def krippendorff_alpha(gold: Codes, predicted: Codes, n_classes: int) -> Interval:
    """Nominal alpha of the rows of ``predicted`` with its bootstrap interval over the examples."""
    counts = agreement.label_counts(predicted, n_classes)
    # The package's value, which is stored; that of the interval may differ in the last digit.
    estimate = agreement.krippendorff_alpha(counts)
    return agreement.alpha_interval(counts)._replace(estimate=estimate)


def krippendorff_alpha_ordinal(gold: Codes, predicted: Codes, n_classes: int) -> Interval:
    """Ordinal alpha of the rows of ``predicted`` with its bootstrap interval over the examples."""
    return agreement.alpha_interval(agreement.label_counts(predicted, n_classes), ordered=True)


def unchanged(gold: Codes, predicted: Codes, n_classes: int) -> Interval:
    """Share of the examples that all rows of ``predicted`` label alike, with Wilson's interval."""
    return agreement.unchanged_interval(predicted)
