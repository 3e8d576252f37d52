"""Whether a training has left its start, judged without gold labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from project.stats.types import Codes, Floats
from project.training.history import Evaluation
from project.training.inputs import Phase

_EM_STEPS = 200
LEARNED_SHARE = 0.02
"""Share of the loss of a constant answer by which a training's loss must be lower."""


def constant_loss(targets: Floats, weights: Floats) -> float:
    """Mean cross-entropy of the best answer that is the same for every text, in nats.

    That answer is the label shares, and its loss their entropy: ln K for K equally frequent
    classes.

    For several labels with one encoder it is the mean over the labels, as their loss is.

    Parameters
    ----------
    targets
        Probabilities of the classes ``(n, n_classes)``; rows sum to 1. For several labels those of
        yes, ``(n, n_labels)``.
    weights
        Weights of the texts ``(n,)``, or ``(n, n_labels)`` for several labels.
    """
    if weights.ndim == 2:
        each = [
            constant_loss(np.stack([1 - yes, yes], axis=1), weight)
            for yes, weight in zip(targets.T, weights.T, strict=True)
        ]
        return float(np.mean(each))
    shares = np.average(targets, axis=0, weights=weights)
    known = shares[shares > 0]
    return float(-(known * np.log(known)).sum())


def constant_latent_loss(likelihood: Floats, weights: Floats) -> float:
    """The same where the texts' classes are latent: the mean of -log P(label), in nats.

    The answer is the shares of the classes under which the labels are most probable. EM finds them
    (Dempster, Laird and Rubin 1977); the likelihood is concave in the shares.

    Parameters
    ----------
    likelihood
        P(label | class) ``(n, n_classes)``.
    weights
        Weights of the texts ``(n,)``.
    """
    rows, place = np.unique(likelihood, axis=0, return_inverse=True)
    weight = np.bincount(place.reshape(-1), weights=weights) / weights.sum()
    shares = np.full(likelihood.shape[1], 1 / likelihood.shape[1])
    for _ in range(_EM_STEPS):
        joint = rows * shares
        shares = weight @ (joint / joint.sum(axis=1, keepdims=True))
    return float(-(weight * np.log(rows @ shares)).sum())


def has_not_learned(
    history: Sequence[Evaluation], phase: Phase, predicted: Codes, *, latent: bool = False
) -> bool:
    """Whether a training is no better than a constant answer.

    It is not if its loss since the last but one evaluation is near that of the label shares, or
    if all predictions are one class.

    Parameters
    ----------
    history
        All evaluations.
    phase
        The last phase of the training.
    predicted
        Class codes of the predicted texts ``(n,)``.
    latent
        Whether the texts' classes are latent.
    """
    if len(predicted) > 1 and len(np.unique(predicted)) == 1:
        return True
    loss = constant_latent_loss if latent else constant_loss
    limit = (1 - LEARNED_SHARE) * loss(phase.targets, phase.weights)
    return history[-1].training_loss >= limit > 0
