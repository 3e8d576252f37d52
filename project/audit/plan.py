"""How many texts to audit: expected widths of intervals and chances of a verdict, by size."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.special import ndtr

from project.audit.borrowed_curve import LOSS_ERROR, estimate_loss, learn_curves, n_trainings
from project.audit.learner import Learner
from project.audit.loss import CLASSIFIER_ERROR, LOSS_Z, texts_to_decide
from project.audit.quality import macro_f1_interval
from project.audit.sample import AuditSample
from project.audit.verdict import MIN_OF_CLASS
from project.stats.bootstrap import Z95
from project.stats.survey import corrected_share, wilson
from project.stats.types import Codes

SIZES = (50, 100, 150, 250, 400, 500, 750, 1000, 1500, 2000)
_SIMULATED = (100, 250, 500)


class Spread(NamedTuple):
    """Standard errors times the square root of the audit's size, which hardly depend on it.

    ``estimate`` is the loss of macro-F1 that a pilot found; None without a pilot.
    """

    loss: float
    classifier: float
    estimate: float | None = None


class PlanRow(NamedTuple):
    """What an audit of one size would probably give.

    Widths are those of whole intervals, in [0, 1]: of 95 % ones, and of the loss of
    ``LOSS_LEVEL``. ``decided`` is the chance of a verdict if the loss is what the pilot found, or,
    without a pilot, if it is 0 or twice the tolerance, which are equally far from it.
    ``decided_near`` is that for half or one and a half times the tolerance. ``rarest`` is the
    expected number of audited texts of the rarest class; with fewer than 10 there is no verdict.
    """

    size: int
    llm_accuracy: float
    llm_macro_f1: float
    classifier_macro_f1: float
    share: float
    loss_macro_f1: float
    decided: float
    decided_near: float
    rarest: float


class Plan(NamedTuple):
    """The rows by size, and the sizes that are enough; None where the whole pool is not."""

    rows: list[PlanRow]
    enough: int | None
    enough_of_rarest: int | None


def simulated_gold(llm: Codes, accuracy: float, n_classes: int, seed: int) -> Codes:
    """Human labels ``(n_pool,)`` of which the LLM's labels agree with the share ``accuracy``.

    Which labels differ, and to which class, is drawn at random; texts without a label of the LLM
    get a class by its shares.

    Parameters
    ----------
    llm
        The LLM's labels of the pool ``(n_pool,)``, -1 for none.
    accuracy
        Assumed share of right labels, in [0, 1].
    n_classes
        Size of the label set.
    seed
        Seed of the draws.
    """
    random = np.random.default_rng(seed)
    shares = np.bincount(llm[llm >= 0], minlength=n_classes) + 1.0
    other = random.choice(n_classes, size=len(llm), p=shares / shares.sum())
    other = np.where(other == llm, (other + 1) % n_classes, other)
    wrong = (random.random(len(llm)) >= accuracy) | (llm < 0)
    return np.where(wrong, other, llm)


def n_steps(n_pool: int) -> int:
    """How many trainings :func:`simulated_spread` makes."""
    return n_trainings() * len([size for size in _SIMULATED if size <= n_pool // 2])


def simulated_spread(
    llm: Codes,
    predicted: Codes,
    gold: Codes,
    *,
    n_classes: int,
    learner: Learner,
    seed: int,
    progress: Callable[[int], object],
) -> Spread:
    """The spread of audits of simulated human labels.

    Parameters
    ----------
    llm, predicted, gold
        Labels of the LLM, cross-fitted predictions, and simulated human labels of the pool
        ``(n_pool,)`` each.
    n_classes
        Size of the label set.
    learner
        The classifier.
    seed
        Seed of the draws.
    progress
        Called with 1 after every training.
    """
    random = np.random.default_rng(seed)
    spreads = []
    for size in _SIMULATED:
        if size > len(llm) // 2:
            continue
        indices = np.sort(random.permutation(len(llm))[:size])
        sample = _sample(indices, gold, n_classes)
        curves = learn_curves(sample, llm, predicted, learner=learner, seed=seed, progress=progress)
        loss = estimate_loss(sample, llm, predicted, curves)
        spreads.append(
            spread_of_audit(size, loss.standard_error["macro_f1"], loss.classifier["macro_f1"])
        )
    loss, classifier = np.mean([spread[:2] for spread in spreads], axis=0)
    return Spread(float(loss), float(classifier))


def spread_of_audit(size: int, loss_error: float, classifier: Sequence[float]) -> Spread:
    """The spread that an audit of ``size`` texts showed.

    Parameters
    ----------
    size
        Number of audited texts.
    loss_error
        Bootstrap standard error of the loss of macro-F1.
    classifier
        Estimate and limits of the classifier's macro-F1.
    """
    half_width = (classifier[2] - classifier[1]) / 2
    own = math.sqrt(max(0.0, (half_width / Z95) ** 2 - CLASSIFIER_ERROR**2))
    return Spread(loss_error * math.sqrt(size), own * math.sqrt(size))


def plan(llm: Codes, gold: Codes, spread: Spread, tolerance: float, n_classes: int) -> Plan:
    """What audits of several sizes would probably give.

    Parameters
    ----------
    llm, gold
        Labels of the LLM, and assumed human labels of the pool ``(n_pool,)`` each.
    spread
        From :func:`simulated_spread` or :func:`spread_of_pilot`.
    tolerance
        Largest loss of macro-F1 that is safe, in [0, 1].
    n_classes
        Size of the label set.
    """
    sizes = [size for size in SIZES if size < len(llm)]
    rows = [_row(size, llm, gold, spread, tolerance, n_classes) for size in sizes]
    error = math.hypot(spread.loss, LOSS_ERROR)
    counts = np.bincount(gold, minlength=n_classes)
    return Plan(
        rows=rows,
        enough=_within(len(llm), texts_to_decide(error, _distance(spread, tolerance))),
        enough_of_rarest=_within(len(llm), MIN_OF_CLASS * len(gold) / max(1, counts.min())),
    )


def _distance(spread: Spread, tolerance: float) -> float:
    """How far the assumed loss is from the tolerance."""
    return tolerance if spread.estimate is None else abs(spread.estimate - tolerance)


def _within(n_pool: int, size: float) -> int | None:
    """A whole number of texts, at least the smallest size; None if the pool has not as many."""
    return None if size > n_pool else max(SIZES[0], math.ceil(size))


def _row(
    size: int, llm: Codes, gold: Codes, spread: Spread, tolerance: float, n_classes: int
) -> PlanRow:
    """One row: widths of one drawn audit of this size, and chances from the spread."""
    indices = np.sort(np.random.default_rng(size).permutation(len(llm))[:size])
    sample = _sample(indices, gold, n_classes)
    given = llm[indices]
    right = float((llm == gold).mean())
    low, high = wilson(right, size / (1 - size / len(llm)))
    f1 = macro_f1_interval(sample, given)
    widths = []
    for code in range(n_classes):
        is_class = (sample.gold == code).astype(np.float64)
        proxy = (given == code).astype(np.float64)
        share = corrected_share(is_class, proxy, float((llm == code).mean()), sample.design)
        widths.append(share.high - share.low)
    own = spread.loss / math.sqrt(size)
    error = math.hypot(own, LOSS_ERROR / math.sqrt(size))
    reach = LOSS_Z * error
    classifier = Z95 * math.hypot(spread.classifier / math.sqrt(size), CLASSIFIER_ERROR)
    counts = np.bincount(gold, minlength=n_classes)
    return PlanRow(
        size=size,
        llm_accuracy=high - low,
        llm_macro_f1=f1.high - f1.low,
        classifier_macro_f1=2 * classifier,
        share=max(widths),
        loss_macro_f1=2 * reach,
        decided=float(ndtr((_distance(spread, tolerance) - reach) / error)),
        decided_near=float(ndtr((tolerance / 2 - reach) / error)),
        rarest=float(size * counts.min() / len(gold)),
    )


def _sample(indices: Codes, gold: Codes, n_classes: int) -> AuditSample:
    """A simple random audit of these texts."""
    return AuditSample(
        indices=indices,
        gold=gold[indices],
        inclusion_probability=np.full(len(indices), len(indices) / len(gold)),
        n_pool=len(gold),
        n_classes=n_classes,
    )
