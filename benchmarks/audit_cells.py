"""Simulated audits of real data: what one audit estimates beside the truth."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from benchmarks.audit_data import LabelSet
from project.audit.borrowed_curve import estimate_loss, learn_curves
from project.audit.design import draw_audit
from project.audit.learner import cross_fitted
from project.audit.loss import Loss
from project.audit.quality import quality
from project.audit.sample import AuditSample
from project.audit.shares import class_shares
from project.audit.verdict import CANNOT_TELL, MIN_OF_CLASS, verdict
from project.stats.bootstrap import Interval, weighted_scores
from project.stats.types import Codes, Floats
from project.training.linear import LinearClassifier, principal_components

MAX_POOL = 3000
MIN_TEST = 150
_POOL_SHARE = 0.7
_TRUTH_RESAMPLES = 300


class Estimate(NamedTuple):
    """One estimate of one audit, beside the truth; ``truth_error`` is the truth's own."""

    kind: str
    interval: Interval
    truth: float
    truth_error: float


class Cell(NamedTuple):
    """One audit: its estimates, and for each tolerance its verdict and the true loss."""

    data: str
    llm_name: str
    size: int
    estimates: list[Estimate]
    verdicts: dict[float, str]
    true_loss: float
    true_loss_error: float
    rarest: int


def audits(
    labelled: LabelSet,
    sizes: list[int],
    tolerances: list[float],
    seed: int,
    *,
    by_label: bool = False,
) -> list[Cell]:
    """One split into pool and test, and one audit of each size.

    Parameters
    ----------
    labelled
        The data.
    sizes
        Sizes of the audits; those over 80 % of the pool are left out.
    tolerances
        Tolerated losses of macro-F1, in [0, 1].
    seed
        Seed of the split and of the audits.
    by_label
        Whether the audits are drawn by strata of the LLM's labels, as ``ask`` with
        ``stratify=label`` does.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(labelled.gold))
    n_pool = min(MAX_POOL, int(_POOL_SHARE * len(order)))
    pool = order[:n_pool]
    test = order[n_pool:]
    if len(test) < MIN_TEST:
        return []
    both = np.concatenate([pool, test])
    learner = LinearClassifier(principal_components(labelled.vectors[both]), labelled.n_classes)
    truth = _truth(labelled, learner, pool, test)
    llm = labelled.llm[pool]
    predicted = cross_fitted(
        learner, llm, seed, progress=lambda n: None, documents=labelled.documents[pool]
    )
    cells = []
    for size in sizes:
        if size > 0.8 * n_pool:
            continue
        sample = _sample(labelled, pool, size, random, by_label=by_label)
        cells.append(
            _cell(
                labelled,
                sample,
                llm,
                predicted,
                documents=labelled.documents[pool],
                learner=learner,
                truth=truth,
                tolerances=tolerances,
                seed=seed,
            )
        )
    return cells


def _sample(
    labelled: LabelSet, pool: Codes, size: int, random: np.random.Generator, *, by_label: bool
) -> AuditSample:
    """An audit of ``size`` texts of the pool, whose positions in the data are ``pool``."""
    n_pool = len(pool)
    llm = labelled.llm[pool]
    if by_label:
        drawn = draw_audit(size, n_pool, seed=int(random.integers(2**31)), strata=llm)
        indices, probability = np.flatnonzero(drawn.selected), drawn.inclusion_probability
    else:
        indices = np.sort(random.permutation(n_pool)[:size])
        probability = np.full(n_pool, size / n_pool)
    return AuditSample(
        indices=indices,
        gold=labelled.gold[pool][indices],
        inclusion_probability=probability[indices],
        n_pool=n_pool,
        n_classes=labelled.n_classes,
        stratum=llm if by_label else None,
    )


class Truth(NamedTuple):
    """What is true: scores ``(1 + resamples, 2)`` of both classifiers, and facts of the pool."""

    classifier: Floats
    gold_trained: Floats
    gold: Codes


def _truth(labelled: LabelSet, learner: LinearClassifier, pool: Codes, test: Codes) -> Truth:
    """Both classifiers, trained on the whole pool and scored on the test texts."""
    n = len(pool)
    everything = np.arange(n)
    answered = np.flatnonzero(labelled.llm[pool] >= 0)
    on_test = np.arange(n, n + len(test))
    by_llm = learner.predict(answered, labelled.llm[pool][answered], on_test)
    by_gold = learner.predict(everything, labelled.gold[pool], on_test)
    random = np.random.default_rng(0)
    drawn = random.multinomial(len(test), np.full(len(test), 1 / len(test)), _TRUTH_RESAMPLES)
    weights = np.concatenate([np.ones((1, len(test))), drawn]) / len(test)
    gold = labelled.gold[test]
    return Truth(
        scored(gold, by_llm, labelled.n_classes, weights),
        scored(gold, by_gold, labelled.n_classes, weights),
        labelled.gold[pool],
    )


def scored(gold: Codes, given: Codes, n_classes: int, weights: Floats) -> Floats:
    """Accuracy and macro-F1 under every weighting, ``(n_weightings, 2)``."""
    scores = weighted_scores(gold, given[None], n_classes, weights)
    return np.stack([scores.accuracy[:, 0], scores.macro_f1[:, 0]], axis=1)


def _cell(
    labelled: LabelSet,
    sample: AuditSample,
    llm: Codes,
    predicted: Codes,
    *,
    documents: Codes,
    learner: LinearClassifier,
    truth: Truth,
    tolerances: list[float],
    seed: int,
) -> Cell:
    """What one audit estimates, beside the truth.

    Parameters
    ----------
    labelled
        The data, for their names.
    sample
        The audit.
    llm, predicted, documents
        Labels of the LLM, cross-fitted predictions and documents of the pool ``(n_pool,)`` each.
    learner
        The classifier on the pool.
    truth
        What is true.
    tolerances
        Tolerated losses of macro-F1, in [0, 1].
    seed
        Seed of folds and subsets.
    """
    given = llm[sample.indices]
    llm_quality = quality(sample, given)
    uniform = np.full((1, sample.n_pool), 1 / sample.n_pool)
    llm_truth = scored(truth.gold, llm, sample.n_classes, uniform)[0]
    estimates = [
        Estimate("LLM, accuracy", llm_quality.accuracy, float(llm_truth[0]), 0.0),
    ]
    for code, share in enumerate(class_shares(sample, llm)):
        true_share = float((truth.gold == code).mean())
        estimates.append(Estimate("corrected share", share.corrected, true_share, 0.0))
        estimates.append(Estimate("share by the audit alone", share.audit, true_share, 0.0))
    rarest = int(sample.class_counts().min())
    difference = truth.gold_trained - truth.classifier
    verdicts = dict.fromkeys(tolerances, CANNOT_TELL)
    # With fewer texts of a class, an audit shows no limits of macro-F1 and gives no verdict.
    if rarest >= MIN_OF_CLASS:
        macro_f1 = llm_quality.macro_f1
        estimates.append(Estimate("LLM, macro-F1", macro_f1, float(llm_truth[1]), 0.0))
        curves = learn_curves(
            sample,
            llm,
            predicted,
            learner=learner,
            seed=seed,
            progress=lambda n: None,
            documents=documents,
        )
        loss = estimate_loss(sample, llm, predicted, curves)
        estimates += loss_estimates(loss, truth, difference)
        if sample.strata is not None:
            aside = dataclasses.replace(sample, stratum=None)
            loss_aside = estimate_loss(aside, llm, predicted, curves)
            estimates += [
                one._replace(kind=f"{one.kind}, strata aside")
                for one in loss_estimates(loss_aside, truth, difference)
            ]
        verdicts = {limit: verdict(sample, loss, limit).word for limit in tolerances}
    return Cell(
        data=labelled.data,
        llm_name=labelled.llm_name,
        size=sample.n,
        estimates=estimates,
        verdicts=verdicts,
        true_loss=float(difference[0, 1]),
        true_loss_error=float(difference[1:, 1].std()),
        rarest=rarest,
    )


def loss_estimates(loss: Loss, truth: Truth, difference: Floats) -> list[Estimate]:
    """The estimates of both classifiers and of their difference."""
    parts = (
        ("classifier", loss.classifier, truth.classifier),
        ("gold-trained", loss.gold_trained, truth.gold_trained),
        ("loss", loss.loss, difference),
    )
    return [
        Estimate(
            f"{name}, {title}",
            intervals[metric],
            float(values[0, column]),
            float(values[1:, column].std()),
        )
        for name, intervals, values in parts
        for column, (metric, title) in enumerate(
            (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))
        )
    ]
