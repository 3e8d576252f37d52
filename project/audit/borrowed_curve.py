"""How good a classifier trained on human labels of the whole pool would be, and the loss.

Nobody has those labels. The audit has some, and the LLM's labels, which are many, show how much a
classifier gains from more of them. This gain is borrowed:

    1 - G(N) = (1 - G(m)) * clip((1 - R(N)) / (1 - R(m)), 0, 1.2)

G(k): score of a classifier trained on k human labels. R(k): how well one that is trained on k of
the LLM's labels predicts other labels of the LLM. N: texts of the pool. m: audited texts that a
cross-validation trains on. Developed for this program; ``python -m benchmarks.audit`` measures it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from project.audit.learner import Learner, folds
from project.audit.loss import Loss, Scores, intervals
from project.audit.quality import class_sums, mean_f1
from project.audit.sample import AuditSample
from project.stats.scores import score_answers
from project.stats.types import Codes, Floats

AUDIT_FOLDS = 5
AUDIT_REPEATS = 4
SMALL_TRAININGS = 8
_MAX_HELD_OUT = 2000  # LLM labels on which a small training is scored
MAX_RATIO = 1.2
_PROXY_SHARES = (0.0, 0.25, 0.5)
LOSS_ERROR = 0.30
"""Standard error of the borrowed loss beside the bootstrap's, times the square root of the audit's
size: another audit would train other small classifiers."""
LOSS_BIAS = 0.10
"""The borrowed loss is too small by about this over the square root of the audit's size."""


class Curves(NamedTuple):
    """Predictions from which the loss is computed.

    Attributes
    ----------
    gold_audit
        Cross-validated predictions of the audited texts by classifiers that learned their human
        labels ``(repeats, n)``.
    gold_rest
        Predictions of the unaudited texts by the same classifiers, one for each fold,
        ``(repeats, folds, n_rest)``.
    small, full
        R(m) and R(N), accuracy and macro-F1 ``(2,)`` each.
    """

    gold_audit: Codes
    gold_rest: Codes
    small: Floats
    full: Floats


def n_trainings() -> int:
    """How many classifiers :func:`learn_curves` trains."""
    return AUDIT_FOLDS * AUDIT_REPEATS + SMALL_TRAININGS


def learn_curves(
    sample: AuditSample,
    llm: Codes,
    classifier: Codes,
    *,
    learner: Learner,
    seed: int,
    progress: Callable[[int], object],
    documents: Codes | None = None,
) -> Curves:
    """Train what the borrowed curve needs.

    Parameters
    ----------
    sample
        The audit.
    llm, classifier
        Labels of the LLM, and cross-fitted predictions of the classifier trained on them, for the
        whole pool ``(n_pool,)`` each.
    learner
        The classifier.
    seed
        Seed of folds and subsets.
    progress
        Called with 1 after every training.
    documents
        Code of the document of every text of the pool ``(n_pool,)``; see
        :func:`project.audit.learner.cross_fitted`.
    """
    random = np.random.default_rng(seed)
    audited = None if documents is None else documents[sample.indices]
    gold_audit = np.empty((AUDIT_REPEATS, sample.n), dtype=np.int64)
    gold_rest = np.empty((AUDIT_REPEATS, AUDIT_FOLDS, len(sample.rest)), dtype=np.int64)
    for repeat in range(AUDIT_REPEATS):
        fold = folds(sample.n, AUDIT_FOLDS, random, audited)
        for number in range(AUDIT_FOLDS):
            train = fold != number
            held = sample.indices[~train]
            predicted = learner.predict(
                sample.indices[train], sample.gold[train], np.concatenate([held, sample.rest])
            )
            gold_audit[repeat, ~train] = predicted[: len(held)]
            gold_rest[repeat, number] = predicted[len(held) :]
            progress(1)
    answered = np.flatnonzero(llm >= 0)
    size = min(int(sample.n * (1 - 1 / AUDIT_FOLDS)), len(answered) // 2)
    small = []
    for _ in range(SMALL_TRAININGS):
        order = random.permutation(answered)
        held = order[size : size + _MAX_HELD_OUT]
        predicted = learner.predict(order[:size], llm[order[:size]], held)
        small.append(_plain_scores(llm[held], predicted, sample.n_classes))
        progress(1)
    full = _plain_scores(llm[answered], classifier[answered], sample.n_classes)
    return Curves(gold_audit, gold_rest, np.mean(small, axis=0), full)


def estimate_loss(sample: AuditSample, llm: Codes, classifier: Codes, curves: Curves) -> Loss:
    """The loss of a classifier trained on the LLM's labels against one trained on human labels.

    Scores are read on the audit, which neither classifier has trained on. The LLM's labels of the
    other texts sharpen them: a share of the difference that they make is added, which PPI++
    (arXiv 2311.01453) calls power tuning. The share with the smallest bootstrap variance of the
    loss is taken. The borrowed curve's own error (``LOSS_BIAS``, ``LOSS_ERROR``) was measured on
    tasks with gold labels for all texts.

    Parameters
    ----------
    sample
        The audit.
    llm, classifier
        Labels of the LLM and cross-fitted predictions, for the whole pool ``(n_pool,)`` each.
    curves
        From :func:`learn_curves`.
    """
    gain = learned_gain(curves.small, curves.full)
    on_audit = classifier[sample.indices][None]
    on_rest = [classifier[sample.rest][None]]
    candidates = []
    # Of a stratum that is audited whole, no other text tells what the LLM says there.
    is_whole = sample.strata is not None and not sample.strata.unsampled.all()
    for share in _PROXY_SHARES[:1] if is_whole else _PROXY_SHARES:
        own = _sharpened(sample, llm, on_audit, on_rest, share)
        small = _sharpened(sample, llm, curves.gold_audit, list(curves.gold_rest), share)
        gold = Scores(
            accuracy=1 - (1 - small.accuracy) * gain[0], macro_f1=1 - (1 - small.macro_f1) * gain[1]
        )
        spread = float((gold.macro_f1 - own.macro_f1)[1:].std())
        candidates.append((spread, share, own, gold))
    _, share, own, gold = min(candidates, key=lambda candidate: candidate[0])
    error = LOSS_ERROR / np.sqrt(sample.n)
    bias = LOSS_BIAS / np.sqrt(sample.n)
    return intervals(own, gold, model_error=error, bias=bias)._replace(proxy_share=share)


def learned_gain(small: Floats, full: Floats) -> Floats:
    """Errors at R(N) over errors at R(m), between 0 and ``MAX_RATIO``; 1 where R(m) has none."""
    errors = 1 - small
    has_errors = errors > 1e-9
    ratio = np.where(has_errors, (1 - full) / np.where(has_errors, errors, 1.0), 1.0)
    return np.clip(ratio, 0.0, MAX_RATIO)


def _sharpened(
    sample: AuditSample, llm: Codes, audit: Codes, rest: list[Codes], share: float
) -> Scores:
    """Scores against the human labels, sharpened by the LLM's labels of the unaudited texts.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``.
    audit
        Predictions of the audited texts ``(repeats, n)``; the sums are means over the repeats.
    rest
        Predictions of the unaudited texts for each repeat, ``(n_models, n_rest)`` each.
    share
        Weight of what the LLM's labels say.
    """
    weights = sample.replicates
    sums = np.zeros((3, len(weights), sample.n_classes))
    for predicted, on_rest in zip(audit, rest, strict=True):
        part = np.stack(class_sums(sample.gold, predicted, sample.n_classes, weights))
        if share:
            proxy_audit = llm[sample.indices]
            proxy = _proxy_sums(proxy_audit, predicted, sample.n_classes, weights)
            part = part + share * (_pool_sums(sample, llm, on_rest)[:, None] - proxy)
        sums = sums + np.maximum(part, 0.0) / len(audit)
    hits, n_gold, n_given = sums
    total = n_gold + n_given
    # Sharpened sums may hold more hits than labels, which would be scores above 1.
    accuracy = np.minimum(hits.sum(axis=-1) / np.maximum(n_gold.sum(axis=-1), 1e-12), 1.0)
    return Scores(accuracy, mean_f1(np.minimum(hits, total / 2), total))


def _proxy_sums(proxy: Codes, predicted: Codes, n_classes: int, weights: Floats) -> Floats:
    """:func:`class_sums` against the LLM's labels, over the texts that have one."""
    answered = proxy >= 0
    weights = weights[:, answered]
    total = np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    sums = class_sums(proxy[answered], predicted[answered], n_classes, weights / total)
    return np.stack(sums)


def _pool_sums(sample: AuditSample, llm: Codes, predicted: Codes) -> Floats:
    """:func:`class_sums` against the LLM's labels over the unaudited texts, ``(3, n_classes)``."""
    labels = llm[sample.rest]
    answered = labels >= 0
    if not answered.any():
        return np.zeros((3, sample.n_classes))
    weights = sample.rest_weights[None, answered]
    weights = weights / weights.sum()
    by_model = [
        np.stack(class_sums(labels[answered], model[answered], sample.n_classes, weights))[:, 0]
        for model in predicted
    ]
    return np.asarray(np.mean(by_model, axis=0))


def _plain_scores(gold: Codes, given: Codes, n_classes: int) -> Floats:
    """Accuracy and macro-F1 ``(2,)``."""
    found = score_answers(gold, given, n_classes)
    return np.array([found.accuracy, found.macro_f1])
