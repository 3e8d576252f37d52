"""Entropy of class distributions, and prior calibration of an annotator's distribution."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def log_normalise(log_weights: Floats) -> Floats:
    """Rows of ``log_weights`` ``(n, n_classes)`` shifted so that their exponentials sum to one."""
    shifted = log_weights - log_weights.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def conditional_entropy_bits(log_probabilities: Floats) -> Floats:
    """H(Y | X = x) in bits of every row of natural log probabilities ``(n, n_classes)``; shape ``(n,)``.

    Lu and Smith (2025), section 4, "Entropy-Ranking Filtering". Their base is not stated; ranking does not depend on it.
    """
    probabilities = np.exp(log_probabilities)
    terms = np.multiply(probabilities, log_probabilities, out=np.zeros_like(probabilities), where=probabilities > 0)
    return -terms.sum(axis=1) / np.log(2.0)


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
