"""Simulated audits of real data: which data, and what one audit estimates beside the truth."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from project.audit.borrowed_curve import estimate_loss, learn_curves
from project.audit.learner import cross_fitted
from project.audit.loss import Loss
from project.audit.quality import quality
from project.audit.sample import AuditSample
from project.audit.shares import class_shares
from project.audit.verdict import CANNOT_TELL, MIN_OF_CLASS, verdict
from project.stats.bootstrap import Interval, weighted_scores
from project.stats.types import Codes, Floats
from project.training.embeddings import embed
from project.training.linear import LinearClassifier, principal_components

MAX_POOL = 3000
MIN_TEST = 150
MIN_ACCURACY = 0.4
"""Share of right labels below which an LLM is no candidate."""
_POOL_SHARE = 0.7
_TRUTH_RESAMPLES = 300


class LabelSet(NamedTuple):
    """One data set with the labels of one LLM; only texts that have both labels.

    ``texts`` ``(n,)``; ``vectors`` ``(n, size)``; ``gold`` and ``llm`` ``(n,)``, -1 where the LLM
    gave no label; ``documents`` ``(n,)``, the same code for copies of a text.
    """

    data: str
    llm_name: str
    texts: list[str]
    vectors: np.ndarray
    gold: Codes
    llm: Codes
    documents: Codes
    n_classes: int


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


def label_sets(
    folder: Path,
    workspace: Path,
    most: int,
    *,
    names: Collection[str] = (),
    same_texts: bool = False,
) -> Iterator[LabelSet]:
    """Every data set of the folder with every LLM, at most ``most`` LLMs for each data set.

    Parameters
    ----------
    folder
        Parquet files with ``text``, ``label`` (gold) and columns ``llm_label__NAME``.
    workspace
        Where embeddings are kept.
    most
        Most LLMs of a data set; these are drawn with a fixed seed.
    names
        Names of the data sets; empty: all.
    same_texts
        Keep only texts that all of these LLMs labelled, so that trainings on human labels serve
        all of them.
    """
    for path in sorted(folder.glob("*.parquet")):
        if names and path.stem not in names:
            continue
        table = pd.read_parquet(path)
        columns = [name for name in table.columns if name.startswith("llm_label__")]
        if not columns:
            continue
        labels = sorted(table["label"].unique())
        table = table[table[columns].notna().any(axis=1)].reset_index(drop=True)
        vectors = embed(list(table["text"]), workspace, progress=lambda n: None)
        gold = pd.Categorical(table["label"], labels).codes.astype(np.int64)
        chosen = np.random.default_rng(0).permutation(len(columns))[:most]
        for name in (columns[index] for index in chosen):
            labelled = table[[columns[index] for index in chosen] if same_texts else [name]]
            rows = np.flatnonzero(labelled.notna().all(axis=1))
            llm = pd.Categorical(table[name], labels).codes.astype(np.int64)
            if (llm[rows] == gold[rows]).mean() >= MIN_ACCURACY:
                yield LabelSet(
                    data=path.stem,
                    llm_name=name.removeprefix("llm_label__"),
                    texts=list(table["text"].iloc[rows]),
                    vectors=vectors[rows],
                    gold=gold[rows],
                    llm=llm[rows],
                    documents=pd.factorize(table["text"].iloc[rows])[0],
                    n_classes=len(labels),
                )


def audits(labelled: LabelSet, sizes: list[int], tolerances: list[float], seed: int) -> list[Cell]:
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
        indices = np.sort(random.permutation(n_pool)[:size])
        sample = AuditSample(
            indices=indices,
            gold=labelled.gold[pool][indices],
            inclusion_probability=np.full(size, size / n_pool),
            n_pool=n_pool,
            n_classes=labelled.n_classes,
        )
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
