"""True labels estimated from several annotators whose errors are not known.

Dawid and Skene (1979), Maximum Likelihood Estimation of Observer Error-Rates Using the EM
Algorithm. Journal of the Royal Statistical Society C 28:20. The model takes the annotators to err
independently of one another, given the true label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.agreement import label_counts
from project.stats.types import Codes, Floats

_SMALLEST = 1e-10  # instead of a probability of zero, whose logarithm is infinite
_TOLERANCE = 1e-6


class DawidSkene(NamedTuple):
    """The fitted model.

    Attributes
    ----------
    posterior
        P(true label | labels given), ``(n, n_classes)``; nan where nobody gave a label.
    confusion
        P(label given | true label), ``(n_annotators, n_classes, n_classes)``: rows true.
    prior
        P(true label), ``(n_classes,)``.
    """

    posterior: Floats
    confusion: Floats
    prior: Floats


def dawid_skene(
    votes: Codes, n_classes: int, *, smoothing: float = 1.0, iterations: int = 200
) -> DawidSkene:
    """The model fitted by EM, which starts from the shares of the votes (majority).

    Parameters
    ----------
    votes
        Class codes ``(n_annotators, n)``, -1 where an annotator gave no label.
    n_classes
        Number of classes.
    smoothing
        Answers that are added to every row of every confusion matrix, spread evenly over its
        cells. Without them a class that an annotator rarely gives has probabilities of 0 or 1.
    iterations
        Most EM steps; they end earlier where no posterior changes by more than 1e-6.
    """
    voted = (votes >= 0).any(axis=0)
    given = np.eye(n_classes + 1)[votes[:, voted]][:, :, :-1]  # no label: zeros
    counts = label_counts(votes[:, voted], n_classes)
    posterior = counts / counts.sum(axis=1, keepdims=True)
    for _ in range(iterations):
        confusion = np.einsum("nt,ang->atg", posterior, given) + smoothing / n_classes
        confusion = np.maximum(confusion, _SMALLEST)
        confusion /= confusion.sum(axis=2, keepdims=True)
        prior = posterior.mean(axis=0)
        logs = np.einsum("ang,atg->nt", given, np.log(confusion))
        logs += np.log(np.maximum(prior, _SMALLEST))
        before = posterior
        posterior = np.exp(logs - logs.max(axis=1, keepdims=True))
        posterior /= posterior.sum(axis=1, keepdims=True)
        if np.abs(posterior - before).max(initial=0.0) < _TOLERANCE:
            break
    result = np.full((votes.shape[1], n_classes), np.nan)
    result[voted] = posterior
    return DawidSkene(result, confusion, prior)
