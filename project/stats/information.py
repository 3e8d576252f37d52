"""Entropy of class distributions, and prior calibration of an annotator's distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from project.stats.types import Floats


def log_normalise(log_weights: Floats) -> Floats:
    """Rows of ``log_weights`` ``(n, n_classes)`` shifted so that their exponentials sum to one."""
    shifted = log_weights - log_weights.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def conditional_entropy_bits(log_probabilities: Floats) -> Floats:
    """H(Y | X = x) in bits of every row of natural log probabilities ``(n, n_classes)``; shape ``(n,)``.

    Lu and Smith (2025), section 4, "Entropy-Ranking Filtering". Their base is not stated; ranking does not depend on it.
    """
    probabilities = np.exp(log_probabilities)
    terms = np.multiply(
        probabilities, log_probabilities, out=np.zeros_like(probabilities), where=probabilities > 0
    )
    return -terms.sum(axis=1) / np.log(2.0)


def count_entropy_bits(counts: npt.NDArray[np.signedinteger[Any]]) -> Floats:
    """Entropy in bits of the shares in every row of counts ``(n, n_classes)``, ``(n,)``; 0 for a row without any."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    logs = np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    return np.asarray(-(shares * logs).sum(axis=1) + 0.0)


def entropy_bounds_bits(
    log_probabilities: Floats, label_mass: Floats, log_bound: Floats
) -> tuple[Floats, Floats]:
    """The least and the most that H(Y | X = x) can be, in bits, ``(n,)`` each, where some classes are censored.

    ``log_probabilities`` ``(n, n_classes)``: natural log, normalised over the classes that are known, ``nan`` for the others;
    ``label_mass`` ``(n,)``: their probability before normalising; ``log_bound`` ``(n,)``: natural log of the most that each
    censored class has, before normalising, which is no more than any known class has. Entropy grows with the censored
    probabilities up to there, so that the bounds are those of all at zero and all at the bound. Both are ``nan`` where no class is known.
    """
    known = ~np.isnan(log_probabilities)
    least = np.where(known, log_probabilities, -np.inf)
    with np.errstate(divide="ignore"):
        most = np.where(known, log_probabilities, (log_bound - np.log(label_mass))[:, None])
    none = ~known.any(axis=1)
    least[none] = most[none] = 0.0
    bounds = conditional_entropy_bits(least), conditional_entropy_bits(log_normalise(most))
    return np.where(none, np.nan, bounds[0]), np.where(none, np.nan, bounds[1])


def sample(log_probabilities: Floats, uniform: Floats, temperature: float) -> npt.NDArray[np.int64]:
    """Classes drawn from the softmax of ``log_probabilities / temperature``, by inverting its cumulative distribution.

    ``log_probabilities`` ``(n, n_classes)``; ``uniform`` ``(n, n_draws)`` in [0, 1); returns class codes ``(n, n_draws)``.
    """
    cumulative = np.exp(log_normalise(log_probabilities / temperature)).cumsum(axis=1)
    drawn = (uniform[:, :, None] >= cumulative[:, None, :]).sum(axis=2)
    return np.asarray(np.minimum(drawn, log_probabilities.shape[1] - 1), dtype=np.int64)


def divide_by_prior(log_probabilities: Floats, log_prior: Floats) -> Floats:
    """Rows proportional to p(y|x) / prior(y), normalised; natural logs, ``(n, n_classes)`` and ``(n_classes,)``.

    With the mean over content-free inputs as prior this is contextual calibration (Zhao et al. 2021, arXiv 2102.09690,
    section 5, their diagonal W); with the mean over the batch it is batch calibration (Zhou et al. 2023, arXiv 2309.17249).
    """
    return log_normalise(log_probabilities - log_prior)


def log_mean(log_probabilities: Floats) -> Floats:
    """Natural log of the mean distribution over the rows of ``(n, n_classes)``; shape ``(n_classes,)``."""
    top = log_probabilities.max(axis=0)
    return top + np.log(np.exp(log_probabilities - top).mean(axis=0))
