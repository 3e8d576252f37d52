"""Agreement of raters beyond what their use of the classes gives by chance: kappas."""

from __future__ import annotations

import numpy as np

from project.stats.types import Codes, Counts, Floats


def cohen_kappa(first: Codes, second: Codes, n_classes: int) -> float:
    """Cohen's kappa (1960) of two raters, on the examples that both label.

    nan if both use a single class, the same one.

    Parameters
    ----------
    first, second
        Class codes of each rater ``(n_examples,)``, -1 missing.
    n_classes
        Number of classes.
    """
    # Not scikit-learn's function: the report must not import scikit-learn, which takes a second
    # and 100 MB. A test compares the two.
    both = (first >= 0) & (second >= 0)
    table = np.zeros((n_classes, n_classes))
    np.add.at(table, (first[both], second[both]), 1.0)
    if not table.any():
        return float("nan")
    table /= table.sum()
    expected = float(table.sum(axis=1) @ table.sum(axis=0))
    return (float(np.trace(table)) - expected) / (1 - expected) if expected < 1 else float("nan")


def pairwise_kappa(codes: Codes, n_classes: int) -> Floats:
    """:func:`cohen_kappa` of every two raters, ``(n_raters, n_raters)``.

    ``codes`` ``(n_raters, n_examples)``, -1 missing. nan also for raters without a common example.
    """
    codes = np.asarray(codes)
    known = (codes >= 0).astype(np.float64)
    both = known @ known.T
    same = np.zeros_like(both)
    by_chance = np.zeros_like(both)
    for label in range(n_classes):
        gives = (codes == label).astype(np.float64)
        same += gives @ gives.T
        # How often each rater gives the label where the other one labels, too.
        given = gives @ known.T
        by_chance += given * given.T
    undefined = np.full_like(both, np.nan)
    # Both sides times the square of the number of common examples: whole numbers, without rounding.
    possible = both**2 - by_chance
    return np.divide(same * both - by_chance, possible, out=undefined, where=possible > 0)


def fleiss_kappa(counts: Counts) -> float:
    """Fleiss' kappa (1971) of ``counts`` ``(n_examples, n_classes)``.

    nan if there is a single class. Raises ValueError unless every example has the same number of
    answers, two at least.
    """
    n_raters = counts.sum(axis=1)
    if len(counts) == 0 or (n_raters != n_raters[0]).any() or n_raters[0] < 2:
        raise ValueError(
            "Fleiss' kappa needs the same number of answers to every example, two at least. Use "
            "Krippendorff's alpha if some are missing."
        )
    m = int(n_raters[0])
    observed = float((((counts**2).sum(axis=1) - m) / (m * (m - 1))).mean())
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return (observed - expected) / (1 - expected) if expected < 1 else float("nan")
