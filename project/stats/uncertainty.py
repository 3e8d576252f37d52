"""Uncertainty of an annotator about each example, from arrays; a larger number is less certain."""

from __future__ import annotations

import numpy as np

from project.stats.agreement import label_counts
from project.stats.information import count_entropy_bits, entropy_bounds_bits
from project.stats.types import Codes, Floats


def entropy_uncertainty(log_probabilities: Floats, label_mass: Floats, log_bound: Floats) -> Floats:
    """Conditional entropy in bits of every example, ``(n,)``.

    With censored classes it is the largest entropy that fits the bounds; see
    :func:`project.stats.information.entropy_bounds_bits`.

    Parameters
    ----------
    log_probabilities
        Natural logs ``(n, n_classes)``, normalised over the known classes; nan for a censored
        class.
    label_mass
        Probability of the known classes ``(n,)`` before normalising.
    log_bound
        Natural log ``(n,)`` of the largest probability of a censored class, before normalising.

    Returns
    -------
    Floats
        nan for an example without any known class.
    """
    return entropy_bounds_bits(log_probabilities, label_mass, log_bound).upper


def margin_uncertainty(log_probabilities: Floats, label_mass: Floats, log_bound: Floats) -> Floats:
    """1 minus the lead of the most probable class over the second, ``(n,)`` in [0, 1].

    A censored class counts with its bound, a class without a bound with probability 0.

    Parameters
    ----------
    log_probabilities, label_mass, log_bound
        Those of :func:`entropy_uncertainty`.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        bound = (log_bound - np.log(label_mass))[:, None]
        filled = np.exp(np.where(np.isnan(log_probabilities), bound, log_probabilities))
    rising = np.sort(np.nan_to_num(filled), axis=1)
    return np.asarray(1.0 - (rising[:, -1] - rising[:, -2]))


def vote_entropy_bits(codes: Codes, n_classes: int) -> Floats:
    """Entropy in bits of the labels that several draws give each example, ``(n,)``.

    ``codes`` ``(n_draws, n)``; a missing label, -1, counts as one more class.
    """
    filled = np.where(codes < 0, n_classes, codes)
    return count_entropy_bits(label_counts(filled, n_classes + 1))
