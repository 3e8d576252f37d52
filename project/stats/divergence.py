"""The paper's error propagation in bits: the annotator's error and the classifiers' own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.types import Floats, Singles

JACKKNIFE_BIAS = 0.27
"""Bias of the corrected entropy of two classes in bits, times the number of votes, at most."""


class Decomposition(NamedTuple):
    """Bits of every example: ``approximation`` ``(n,)``, the others ``(n_seeds, n)``.

    ``total`` is the sum of the three others.
    """

    total: Floats
    approximation: Floats
    estimation: Floats
    cross: Floats


def smoothed(probabilities: Floats, smoothing: float) -> Floats:
    """Distributions ``(..., n_classes)`` mixed with a share ``smoothing`` of the uniform one.

    No class keeps the probability zero.
    """
    return (1 - smoothing) * probabilities + smoothing / probabilities.shape[-1]


def kl_bits(p: Floats, q: Floats) -> Floats:
    """KL(p || q) in bits over the last axis; 0 log 0 is 0, and inf where q is zero and p is not."""
    from scipy.special import rel_entr

    return np.asarray(rel_entr(p, q).sum(axis=-1) / np.log(2.0))


def decomposition(
    target: Floats, annotator: Floats, classifiers: Floats | Singles, *, smoothing: float = 1e-3
) -> Decomposition:
    """KL(P || P_hat) = KL(P || P_S) + KL(P_S || P_hat) + cross, of every example, in bits.

    Lu and Smith (2025), section 3, after Heskes (1998). Their approximation is the first two
    terms. Their expectation over synthetic samples is the mean over seeds here, which share one
    sample unless every seed has labels of its own. The cross term that they drop, the sum over
    classes of (P - P_S) log2(P_S / P_hat), makes the equation exact.

    Where P is one-hot, from a single gold label, KL(P || Q) is -log2 Q(gold). It then cannot
    separate disagreement between people from the annotator's errors, and counts both as errors.

    Parameters
    ----------
    target
        P, the distribution of people's labels ``(n, n_classes)``.
    annotator
        P_S, the annotator's distribution ``(n, n_classes)``.
    classifiers
        P_hat, the distribution of every fine-tuned classifier ``(n_seeds, n, n_classes)``.
    smoothing
        Applied to P_S and P_hat, not to P (:func:`smoothed`).
    """
    p = target
    p_s = smoothed(annotator, smoothing)
    total, estimation, cross = np.empty((3, *classifiers.shape[:2]))
    for seed, classifier in enumerate(classifiers):  # one at a time, for the sake of memory
        p_hat = smoothed(classifier.astype(np.float64), smoothing)
        total[seed] = kl_bits(p, p_hat)
        estimation[seed] = kl_bits(p_s, p_hat)
        cross[seed] = ((p - p_s) * (np.log2(p_s) - np.log2(p_hat))).sum(axis=-1)
    return Decomposition(total, kl_bits(p, p_s), estimation, cross)


def corrected(terms: Decomposition, target: Floats, votes: Floats) -> Decomposition:
    """The terms where ``target`` holds the shares of few votes instead of P itself.

    The entropy of the shares of m votes is too small on average, by 0.31 bits for three votes of
    people who are divided evenly, and so ``total`` and ``approximation``, in which it is
    subtracted, are too large. The others are linear in P and need no correction.

    Parameters
    ----------
    terms, target
        The terms for the shares of the votes, and these ``(n, n_classes)``.
    votes
        Number of votes of every example ``(n,)``; nan, or fewer than 2, for no correction.
    """
    more = entropy_correction(target, votes)
    return terms._replace(total=terms.total - more, approximation=terms.approximation - more)


def entropy_correction(shares: Floats, votes: Floats) -> Floats:
    """Bits by which the jackknife raises the entropy of the shares of votes, ``(n,)``.

    m H(m) - (m - 1) times the mean entropy with one vote left out, less H(m) (Miller 1974, The
    Jackknife, Biometrika 61:1). What remains of the bias is at most ``JACKKNIFE_BIAS`` / m bits
    for two classes; Miller and Madow's correction leaves three times as much at two votes.
    """
    possible = votes >= 2
    m = np.where(possible, votes, 2.0)[:, None]
    counts = np.nan_to_num(shares) * m
    left_out = np.zeros(len(shares))
    for label in range(shares.shape[1]):
        fewer = counts.copy()
        fewer[:, label] -= 1
        # With the probability counts / m it is a vote for this class that is left out.
        chance = counts[:, label] / m[:, 0]
        left_out += chance * _entropy_bits(np.maximum(fewer, 0.0) / (m - 1))
    more = (m[:, 0] - 1) * (_entropy_bits(counts / m) - left_out)
    return np.where(possible, more, 0.0)


def _entropy_bits(p: Floats) -> Floats:
    from scipy.special import entr

    return np.asarray(entr(p).sum(axis=-1) / np.log(2.0))
