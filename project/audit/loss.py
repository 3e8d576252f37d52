"""The loss by training on the LLM's labels: its interval, and what would decide about it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import ndtri

from project.audit.sample import LEVEL
from project.stats.bootstrap import Interval
from project.stats.types import Floats

CLASSIFIER_ERROR = 0.025
"""Standard error of a classifier's score beside the bootstrap's: another training, other texts."""
LOSS_LEVEL = 0.90
"""Probability with which an interval of the loss holds it, so that one of 20 losses at most lies
above it. Measured by ``python -m benchmarks.audit``."""
LOSS_Z = float(ndtri((1 + LOSS_LEVEL) / 2))
CHANCE = 0.8
"""Chance of a verdict with which an audit counts as large enough."""


class Scores(NamedTuple):
    """Accuracy and macro-F1 ``(1 + replicates,)`` each, the first from the audit itself."""

    accuracy: Floats
    macro_f1: Floats


class Loss(NamedTuple):
    """What the classifier, a gold-trained one and their difference are worth, by metric.

    ``proxy_share`` is the weight of the LLM's labels of the unaudited texts in the estimates;
    ``standard_error`` is the bootstrap's of the loss, and ``model_error`` that of the curve.
    """

    classifier: dict[str, Interval]
    gold_trained: dict[str, Interval]
    loss: dict[str, Interval]
    standard_error: dict[str, float]
    proxy_share: float = 0.0
    model_error: float = 0.0


def intervals(own: Scores, gold: Scores, *, model_error: float, bias: float) -> Loss:
    """Intervals of both classifiers and of the loss, with the errors that the bootstrap lacks.

    Those of the classifiers hold with a probability of ``LEVEL``, those of the loss of
    ``LOSS_LEVEL``.

    Parameters
    ----------
    own
        Scores of the classifier that is trained on the LLM's labels.
    gold
        Scores that one trained on human labels would have, by the curve.
    model_error
        Standard error of the borrowed loss beside the bootstrap's.
    bias
        By how much the borrowed loss is known to be too small.
    """
    result = Loss({}, {}, {}, {}, model_error=model_error)
    both = float(np.hypot(CLASSIFIER_ERROR, model_error))
    for metric in Scores._fields:
        classifier = getattr(own, metric)
        corrected = getattr(gold, metric) + bias
        loss = corrected - classifier
        result.classifier[metric] = _clipped(_widened(classifier, CLASSIFIER_ERROR))
        result.gold_trained[metric] = _clipped(_widened(corrected, both))
        result.loss[metric] = _widened(loss, model_error, LOSS_LEVEL)
        result.standard_error[metric] = float(loss[1:].std())
    return result


def texts_to_decide(error: float, distance: float) -> float:
    """Size of an audit that decides with a probability of ``CHANCE``; inf where none does.

    Parameters
    ----------
    error
        Standard error of the loss times the square root of the audit's size.
    distance
        How far the loss is from the tolerance.
    """
    if distance <= 0:
        return math.inf
    return ((LOSS_Z + float(ndtri(CHANCE))) * error / distance) ** 2


def _widened(values: Floats, error: float, level: float = LEVEL) -> Interval:
    """The interval between the replicates' quantiles, with a further standard error added."""
    estimate = values[0]
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    reach = float(ndtri((1 + level) / 2)) * error
    return Interval(
        float(estimate),
        float(estimate - np.hypot(min(0.0, low - estimate), reach)),
        float(estimate + np.hypot(max(0.0, high - estimate), reach)),
    )


def _clipped(interval: Interval) -> Interval:
    """An interval of a score, within [0, 1]."""
    return Interval(*(min(1.0, max(0.0, limit)) for limit in interval))
