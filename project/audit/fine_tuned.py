"""The borrowed learning curve of a classifier that is costly to train, such as an encoder.

:mod:`project.audit.borrowed_curve` trains some hundred cheap classifiers. Of a costly one there
are a few trainings, and all of them are read on the audited texts, of which none trained on:

- M: trained on the LLM's labels of the pool without the audit, with several seeds;
- G(m): trained on the human labels of some folds of the audit, read on the other fold;
- R(m): trained on as many of the LLM's labels, read on the LLM's labels of the audit;
- R(N): M, read on the LLM's labels of the audit.

    1 - G(N) = (1 - G(m)) * clip((1 - R(N)) / (1 - R(m)), 0, 1.2)         loss = G(N) - M
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from project.audit.borrowed_curve import learned_gain
from project.audit.learner import folds
from project.audit.loss import Loss, Scores, intervals
from project.audit.quality import class_sums, mean_f1
from project.audit.sample import AuditSample
from project.stats.types import Codes, Floats

FOLDS = 3
REPEATS = 1
"""How often the audit is divided into folds, each time in another way."""
SMALL_TRAININGS = 2
ENCODER_ERROR = 0.45
"""Standard error of the borrowed loss of an encoder beside the bootstrap's, times the square root
of the audit's size."""


class Training(NamedTuple):
    """One training.

    Attributes
    ----------
    purpose
        Whose labels it trains on, in words.
    train, labels
        Positions in the pool of the texts to train on, and their class codes ``(n_train,)``.
    test
        Positions of the texts to predict ``(n_test,)``.
    seed
        Seed of the training.
    """

    purpose: str
    train: Codes
    labels: Codes
    test: Codes
    seed: int


TrainAll = Callable[[Sequence[Training]], list[Codes]]
"""Makes trainings; returns for each the class codes of its test texts."""


class Predictions(NamedTuple):
    """Class codes of the audited texts.

    Attributes
    ----------
    by_llm
        By classifiers trained on the LLM's labels of the unaudited texts ``(n_seeds, n)``.
    by_gold
        By classifiers trained on the human labels of other audited texts ``(REPEATS, n)``.
    by_few
        By classifiers trained on as few of the LLM's labels ``(SMALL_TRAININGS, n)``.
    """

    by_llm: Codes
    by_gold: Codes
    by_few: Codes


def n_trainings(n_seeds: int) -> int:
    """How many classifiers :func:`predictions` trains."""
    return n_seeds + FOLDS * REPEATS + SMALL_TRAININGS


def predictions(
    sample: AuditSample,
    llm: Codes,
    *,
    train_all: TrainAll,
    n_seeds: int,
    seed: int,
    documents: Codes | None = None,
) -> Predictions:
    """Train what the borrowed curve needs, and predict the audited texts.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``; texts with -1 are not trained on.
    train_all
        Makes the trainings.
    n_seeds
        Number of classifiers that are trained on the LLM's labels.
    seed
        Seed of folds and subsets.
    documents
        Code of the document of every text of the pool ``(n_pool,)``. Nothing is trained on a text
        whose document is predicted. None: every text is a document of its own.
    """
    random = np.random.default_rng(seed)
    audited = None if documents is None else documents[sample.indices]
    usable = sample.rest[llm[sample.rest] >= 0]
    if documents is not None and audited is not None:
        usable = usable[~np.isin(documents[usable], audited)]
    makes = [
        Training("the LLM's labels", usable, llm[usable], sample.indices, number)
        for number in range(n_seeds)
    ]
    fold_of = [folds(sample.n, FOLDS, random, audited) for _ in range(REPEATS)]
    for repeat, fold in enumerate(fold_of):
        for number in range(FOLDS):
            train = sample.indices[fold != number]
            test = sample.indices[fold == number]
            labels = sample.gold[fold != number]
            makes.append(Training("human labels", train, labels, test, repeat))
    size = min(sample.n * (FOLDS - 1) // FOLDS, len(usable))
    for number in range(SMALL_TRAININGS):
        few = np.sort(random.permutation(usable)[:size])
        makes.append(Training("few of the LLM's labels", few, llm[few], sample.indices, number))
    found = train_all(makes)
    by_gold = np.empty((REPEATS, sample.n), dtype=np.int64)
    for repeat, fold in enumerate(fold_of):
        for number in range(FOLDS):
            by_gold[repeat, fold == number] = found[n_seeds + repeat * FOLDS + number]
    return Predictions(np.stack(found[:n_seeds]), by_gold, np.stack(found[-SMALL_TRAININGS:]))


def true_predictions(
    gold: Codes,
    llm: Codes,
    *,
    train_all: TrainAll,
    seed: int,
    documents: Codes | None = None,
) -> tuple[Codes, Codes]:
    """Cross-fitted predictions of the pool by classifiers trained on the LLM's and human labels.

    Parameters
    ----------
    gold, llm
        Human labels and the LLM's labels of the pool ``(n_pool,)``; -1 is no label of the LLM.
    train_all
        Makes the trainings.
    seed
        Seed of the folds.
    documents
        See :func:`predictions`.
    """
    fold = folds(len(gold), FOLDS, np.random.default_rng(seed), documents)
    makes = []
    for purpose, labels in (("the LLM's labels", llm), ("human labels", gold)):
        for number in range(FOLDS):
            train = np.flatnonzero((fold != number) & (labels >= 0))
            makes.append(Training(purpose, train, labels[train], np.flatnonzero(fold == number), 0))
    predicted = np.empty((2, len(gold)), dtype=np.int64)
    for index, (make, codes) in enumerate(zip(makes, train_all(makes), strict=True)):
        predicted[index // FOLDS, make.test] = codes
    return predicted[0], predicted[1]


def estimate_loss(sample: AuditSample, llm: Codes, found: Predictions) -> Loss:
    """The loss of an encoder trained on the LLM's labels against one trained on human labels.

    Parameters
    ----------
    sample
        The audit.
    llm
        The LLM's labels of the pool ``(n_pool,)``; -1 for none.
    found
        From :func:`predictions`.
    """
    given = llm[sample.indices]
    own = _scores(sample, sample.gold, found.by_llm)
    small = _scores(sample, sample.gold, found.by_gold)
    few = _scores(sample, given, found.by_few)
    many = _scores(sample, given, found.by_llm)
    borrowed = []
    for metric in Scores._fields:
        # All four scores are those of the same texts, so that their errors partly cancel.
        gain = learned_gain(getattr(few, metric), getattr(many, metric))
        borrowed.append(1 - (1 - getattr(small, metric)) * gain)
    error = ENCODER_ERROR / np.sqrt(sample.n)
    return intervals(own, Scores(*borrowed), model_error=error, bias=0.0)


def _scores(sample: AuditSample, labels: Codes, predicted: Codes) -> Scores:
    """Mean scores of trainings ``(n_trainings, n)`` under every replicate of the audit.

    ``labels`` are the human labels ``(n,)``, or the LLM's; texts with -1 are left out.
    """
    labelled = labels >= 0
    weights = sample.replicates[:, labelled]
    weights = weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    accuracy: Floats = np.zeros(len(weights))
    macro_f1: Floats = np.zeros(len(weights))
    for row in predicted:
        sums = class_sums(labels[labelled], row[labelled], sample.n_classes, weights)
        hits, n_gold, n_given = sums
        accuracy = accuracy + hits.sum(axis=1) / len(predicted)
        macro_f1 = macro_f1 + mean_f1(hits, n_gold + n_given) / len(predicted)
    return Scores(accuracy, macro_f1)
