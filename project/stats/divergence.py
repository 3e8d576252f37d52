"""The paper's error propagation, term by term: how far the annotator is from the target, how far the classifiers are from the annotator."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.types import Floats


class Decomposition(NamedTuple):
    """Bits of every example: ``approximation`` ``(n,)``, the others ``(n_seeds, n)``. ``total`` is the sum of the three others."""

    total: Floats
    approximation: Floats
    estimation: Floats
    cross: Floats


def smoothed(probabilities: Floats, smoothing: float) -> Floats:
    """Distributions ``(..., n_classes)`` mixed with a share ``smoothing`` of the uniform one, so that none of them is zero anywhere."""
    return (1 - smoothing) * probabilities + smoothing / probabilities.shape[-1]


def kl_bits(p: Floats, q: Floats) -> Floats:
    """KL(p || q) in bits over the last axis, 0 log 0 being 0; ``inf`` where q is zero and p is not."""
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(p > 0, p * (np.log2(p) - np.log2(q)), 0.0)
    return np.asarray(terms.sum(axis=-1))


def decomposition(
    target: Floats, annotator: Floats, classifiers: Floats, *, smoothing: float = 1e-3
) -> Decomposition:
    """KL(P || P_hat) = KL(P || P_S) + KL(P_S || P_hat) + cross, of every example, in bits.

    ``target`` P and ``annotator`` P_S ``(n, n_classes)``, ``classifiers`` P_hat ``(n_seeds, n, n_classes)``; P_S and P_hat are
    :func:`smoothed` first, P is not. Lu and Smith (2025), section 3, after Heskes (1998): their approximation is the first two terms, and their
    expectation over synthetic samples is the mean over seeds here, which share one sample unless every seed has labels of its own. The cross term
    that it drops, sum over classes of (P - P_S) log2(P_S / P_hat), is what makes the equation exact.

    Where P is one-hot, from a single gold label, KL(P || Q) is -log2 Q(gold): it cannot tell what people would disagree about from what the
    annotator gets wrong, and counts both as the annotator's error.
    """
    source, learned = smoothed(annotator, smoothing), smoothed(classifiers, smoothing)
    total, approximation, estimation = (
        kl_bits(target[None], learned),
        kl_bits(target, source),
        kl_bits(source[None], learned),
    )
    cross = ((target - source)[None] * (np.log2(source)[None] - np.log2(learned))).sum(axis=-1)
    return Decomposition(total, approximation, estimation, cross)
