"""Entropy of class distributions, and prior calibration of an annotator's distribution.

The log-sum-exp is written out rather than taken from scipy, whose last digit differs: tables of
annotations and labels are known by their hashes, and those of older versions must stay the same.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Counts, Floats


class EntropyBounds(NamedTuple):
    """The smallest and the largest entropy that an example can have, in bits, ``(n,)`` each."""

    lower: Floats
    upper: Floats


def log_normalise(log_weights: Floats) -> Floats:
    """Rows of ``log_weights`` ``(n, n_classes)`` shifted so that their exponentials sum to one."""
    shifted = log_weights - log_weights.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def conditional_entropy_bits(log_probabilities: Floats) -> Floats:
    """H(Y | X = x) in bits of every row of natural log probabilities ``(n, n_classes)``; ``(n,)``.

    Lu and Smith (2025), section 4, "Entropy-Ranking Filtering". They do not state the base of
    their logarithm; the ranking does not depend on it.
    """
    probabilities = np.exp(log_probabilities)
    zeros = np.zeros_like(probabilities)
    terms = np.multiply(probabilities, log_probabilities, out=zeros, where=probabilities > 0)
    return -terms.sum(axis=1) / np.log(2.0)


def count_entropy_bits(counts: Counts) -> Floats:
    """Entropy in bits of the shares in every row of counts ``(n, n_classes)``; ``(n,)``.

    0 for a row without any.
    """
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1) + 0.0)


def entropy_bounds_bits(
    log_probabilities: Floats, label_mass: Floats, log_bound: Floats
) -> EntropyBounds:
    """Bounds of H(Y | X = x) in bits where the probabilities of some classes are censored.

    Entropy grows with the censored probabilities as long as they are no larger than those of the
    known classes. The lower bound therefore has all of them at zero, the upper one at their bound.
    Both are nan where no class is known.

    Parameters
    ----------
    log_probabilities
        Natural logs ``(n, n_classes)``, normalised over the known classes; nan for a censored
        class.
    label_mass
        Probability of the known classes ``(n,)`` before normalising.
    log_bound
        Natural log ``(n,)`` of the largest probability that a censored class can have, before
        normalising; no larger than that of any known class.
    """
    known = ~np.isnan(log_probabilities)
    at_zero = np.where(known, log_probabilities, -np.inf)
    # Divided by the label mass, the bound has the unit of the normalised probabilities. Examples
    # without any known class have a mass of 0.
    with np.errstate(divide="ignore"):
        bound = (log_bound - np.log(label_mass))[:, None]
        at_bound = np.where(known, log_probabilities, bound)
    # Any finite value would do in the rows that become nan below.
    none_known = ~known.any(axis=1)
    at_zero[none_known] = 0.0
    at_bound[none_known] = 0.0
    lower = conditional_entropy_bits(at_zero)
    upper = conditional_entropy_bits(log_normalise(at_bound))
    return EntropyBounds(np.where(none_known, np.nan, lower), np.where(none_known, np.nan, upper))


def sample(log_probabilities: Floats, uniform: Floats, temperature: float) -> Codes:
    """Classes drawn from the softmax of ``log_probabilities / temperature``, ``(n, n_draws)``.

    The cumulative distribution is inverted.

    Parameters
    ----------
    log_probabilities
        Natural log probabilities ``(n, n_classes)``.
    uniform
        Uniform random numbers ``(n, n_draws)`` in [0, 1).
    temperature
        Above 0.
    """
    cumulative = np.exp(log_normalise(log_probabilities / temperature)).cumsum(axis=1)
    # A number falls into the class after all those whose cumulative probability it reaches.
    drawn = (uniform[:, :, None] >= cumulative[:, None, :]).sum(axis=2)
    # Rounding may leave the last sum below a uniform number close to 1.
    return np.asarray(np.minimum(drawn, log_probabilities.shape[1] - 1), dtype=np.int64)


def divide_by_prior(log_probabilities: Floats, log_prior: Floats) -> Floats:
    """Rows proportional to p(y|x) / prior(y), normalised.

    Natural logs, ``(n, n_classes)`` and ``(n_classes,)``. With the mean over content-free inputs
    as prior this is contextual calibration (Zhao et al. 2021, arXiv 2102.09690, section 5, their
    diagonal W); with the mean over the batch it is batch calibration (Zhou et al. 2023, arXiv
    2309.17249).
    """
    return log_normalise(log_probabilities - log_prior)


def log_mean(log_probabilities: Floats) -> Floats:
    """Natural log of the mean of the distributions in ``(n, n_classes)``; ``(n_classes,)``."""
    # Taken out before exp, which would turn very small probabilities into zero.
    top = log_probabilities.max(axis=0)
    return top + np.log(np.exp(log_probabilities - top).mean(axis=0))
