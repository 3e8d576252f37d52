"""How good labels are, read on the audit: accuracy, macro-F1, precision and recall by class."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.audit.sample import LEVEL, AuditSample
from project.stats.bootstrap import NO_INTERVAL, Interval
from project.stats.noise import Transition, noise_transition
from project.stats.survey import Design, share_interval
from project.stats.types import Codes, Floats


class ClassQuality(NamedTuple):
    """Precision and recall of one class."""

    precision: Interval
    recall: Interval
    n_gold: int
    n_given: int


class Quality(NamedTuple):
    """The quality of labels against the human labels of the audit, in [0, 1]."""

    accuracy: Interval
    macro_f1: Interval
    classes: list[ClassQuality]


def quality(sample: AuditSample, given: Codes) -> Quality:
    """The quality of the labels that the pool has.

    The intervals speak of the pool, of which the audit is a part. Limits of accuracy are Wilson's.
    Those of macro-F1 come from a bootstrap over the audited texts (:func:`macro_f1_interval`).
    Those of precision and recall are Wilson's and hold together for all classes (Bonferroni).

    Parameters
    ----------
    sample
        The audit.
    given
        The labels to judge, class codes of the audited texts ``(n,)``; -1 counts as wrong.
    """
    design = sample.design
    accuracy = share_interval((given == sample.gold).astype(np.float64), design, LEVEL)
    level = 1 - (1 - LEVEL) / (2 * sample.n_classes)
    classes = []
    for code in range(sample.n_classes):
        is_gold = sample.gold == code
        is_given = given == code
        right = (is_gold & is_given).astype(np.float64)
        classes.append(
            ClassQuality(
                precision=_share_among(right, is_given, design, level),
                recall=_share_among(right, is_gold, design, level, may_hide=True),
                n_gold=int(is_gold.sum()),
                n_given=int(is_given.sum()),
            )
        )
    return Quality(accuracy, macro_f1_interval(sample, given), classes)


def _share_among(
    right: Floats, rows: np.ndarray, design: Design, level: float, *, may_hide: bool = False
) -> Interval:
    """The share of right labels among some of the audited texts.

    ``may_hide``: whether people alone tell which texts of the pool these are.
    """
    if not rows.any():
        return NO_INTERVAL
    part = design.part(rows, design.fraction)
    return share_interval(right[rows], part, level, may_hide=may_hide)


def macro_f1_interval(sample: AuditSample, given: Codes) -> Interval:
    """Macro-F1 in the pool, with limits from a bootstrap over the audited texts.

    Deviations of the replicates shrink with the sampled share of the pool, of each stratum by
    itself where there are strata. A bootstrap knows no error that the audit did not meet. So the
    lower limit comes from replicates in which every class has a few more missed and false labels:
    each a draw from a gamma distribution with mean 1 / n_classes, one error in all, as in Jeffreys'
    prior for two classes. With strata it weighs as much as a text of those that stand for most
    others.
    """
    error, shrink = 1 / sample.n, np.sqrt(max(0.0, 1 - sample.design.fraction))
    weights = sample.replicates
    if sample.strata is not None:
        weights, shrink = sample.replicates_of_pool, 1.0
        unsampled = sample.strata.unsampled[sample.strata.member]
        error = float((weights[0] * np.sqrt(unsampled)).max())
    hits, n_gold, n_given = class_sums(sample.gold, given, sample.n_classes, weights)
    plain = mean_f1(hits, n_gold + n_given)
    random = np.random.default_rng(1)
    extra = random.gamma(1 / sample.n_classes, size=(2, *hits.shape)).sum(axis=0) * error
    smoothed = mean_f1(hits, n_gold + n_given + extra)
    estimate = plain[0]
    tail = (1 - LEVEL) / 2
    low = estimate + shrink * (np.quantile(smoothed[1:], tail) - estimate)
    high = estimate + shrink * (np.quantile(plain[1:], 1 - tail) - estimate)
    return Interval(float(estimate), float(min(low, estimate)), float(max(high, estimate)))


def class_sums(
    gold: Codes, given: Codes, n_classes: int, weights: Floats
) -> tuple[Floats, Floats, Floats]:
    """Weighted hits, gold labels and given labels of every class, ``(n_weightings, n_classes)``.

    Parameters
    ----------
    gold, given
        Class codes ``(n,)``; -1 among ``given`` is no label.
    n_classes
        Size of the label set.
    weights
        Weights of the texts ``(n_weightings, n)``.
    """
    classes = np.arange(n_classes)
    is_gold = (gold[:, None] == classes).astype(np.float64)
    is_given = (given[:, None] == classes).astype(np.float64)
    return weights @ (is_gold * is_given), weights @ is_gold, weights @ is_given


def mean_f1(hits: Floats, total: Floats) -> Floats:
    """Mean over the classes of 2 hits / total, 0 where a class has neither gold nor given."""
    zeros = np.zeros_like(hits)
    return np.asarray(np.divide(2 * hits, total, out=zeros, where=total > 0).mean(axis=-1))


def transition(sample: AuditSample, given: Codes) -> Transition:
    """P(given label | human label) with simultaneous exact limits; the last column is no label.

    Weighted audits have weighted shares and no limits, since exact limits need whole counts. Audits
    of documents have none either: their texts are no independent draws.
    """
    n_columns = sample.n_classes + 1
    column = np.where(given < 0, sample.n_classes, given)
    cells = sample.gold * n_columns + column
    shape = (sample.n_classes, n_columns)
    counts = np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)
    if not sample.design.is_weighted and sample.groups is None:
        return noise_transition(counts)
    weighted = np.bincount(cells, weights=sample.design.weights, minlength=shape[0] * shape[1])
    weighted = weighted.reshape(shape)
    total = weighted.sum(axis=1, keepdims=True)
    share = np.divide(weighted, total, out=np.full(shape, np.nan), where=total > 0)
    nothing = np.full(shape, np.nan)
    return Transition(share, nothing, nothing.copy())
