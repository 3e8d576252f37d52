"""Models of which labels are wrong, learned from an audit or from the labels themselves.

An audit is a random sample of labels that a human has checked. Lu and Smith (2025), section 5, name
a model of which labels are wrong as future work; this is one. Its features need only the
annotations and sentence embeddings of the texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.data.tables import class_columns, codes
from project.stats.agreement import label_counts
from project.stats.information import conditional_entropy_bits, count_entropy_bits
from project.stats.types import Codes, Floats, Mask

MIN_AUDIT = 20
"""Labels of the smallest audit that an error model is fitted to."""
MIN_OF_KIND = 2
"""Wrong and right labels, each, that an audit must hold for a model to learn from it."""
N_NEIGHBOURS = 10
MAX_COMPARED = 20_000
"""Texts among which the nearest ones are sought; of more, that many drawn at random."""
N_FOLDS = 5
CLASSIFIER_SCALE = 3.0
"""Scale of the classifier's log odds among the features; the ridge shrinks larger ones less."""
_RIDGE_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # inverse strengths, as in scikit-learn


def features(
    draws: Sequence[pd.DataFrame], label_set: Sequence[str], embeddings: Floats, seed: int
) -> Floats:
    """Standardised features of every label of the first draw, ``(n, n_features)``.

    They are: the class; the log probability of every class and their entropy; the label mass; how
    much the draws disagree; the share of the nearest texts with another label; and the log odds
    of :func:`classifier_error_probability`. The embeddings themselves are no features: a small
    audit is not enough to weigh so many (EXPERIMENTS.md).

    Parameters
    ----------
    draws
        Annotations tables of the same examples in the same order.
    label_set
        All labels, in the task's order.
    embeddings
        Sentence embeddings ``(n, size)`` of length 1.
    seed
        Seed of the folds of :func:`classifier_error_probability`, and of the texts that are
        compared where there are more than ``MAX_COMPARED``.
    """
    first = draws[0]
    labels = codes(first["label"], label_set)
    votes = label_counts(
        np.stack([codes(table["label"], label_set) for table in draws]), len(label_set)
    )
    # Labels without probabilities get the same value, 0, for all classes; very small and censored
    # probabilities count as exp(-10), so that no single one dominates.
    logs = class_columns(first, label_set)
    unknown = np.isnan(logs).all(axis=1, keepdims=True)
    logs = np.where(unknown, 0.0, np.maximum(np.nan_to_num(logs, nan=-10.0), -10.0))
    # Clipped, so that the log odds stay finite.
    error = np.clip(
        classifier_error_probability(labels, embeddings, len(label_set), seed), 1e-3, 1 - 1e-3
    )
    single = [
        conditional_entropy_bits(logs),
        np.nan_to_num(first["label_mass"]),
        count_entropy_bits(votes),
        neighbour_disagreement(labels, embeddings, seed),
        np.log(error / (1 - error)),
    ]
    one_hot = np.eye(len(label_set) + 1)[labels][:, :-1]  # no label: zeros
    values = np.concatenate([one_hot, logs, np.stack(single, axis=1)], axis=1)
    spread = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    standard[:, -1] *= CLASSIFIER_SCALE
    return np.asarray(standard)


def neighbour_disagreement(labels: Codes, embeddings: Floats, seed: int) -> Floats:
    """Share of the nearest texts, by cosine, that have another label, ``(n,)``.

    The time is linear in the texts beyond ``MAX_COMPARED``: they are then sought among a random
    sample of that size, for all texts the same one.
    """
    from sklearn.neighbors import NearestNeighbors

    compared = np.arange(len(labels))
    if len(labels) > MAX_COMPARED:
        compared = np.random.default_rng(seed).choice(len(labels), MAX_COMPARED, replace=False)
    n_neighbours = min(N_NEIGHBOURS, len(compared) - 1)
    nearest = compared[
        NearestNeighbors(n_neighbors=n_neighbours + 1, metric="cosine", algorithm="brute")
        .fit(embeddings[compared])
        .kneighbors(embeddings, return_distance=False)
    ]
    # Of duplicate texts any may come first, so a text is not always its own nearest neighbour.
    others = np.array(
        [[index for index in row if index != own][:n_neighbours] for own, row in enumerate(nearest)]
    )
    return np.asarray((labels[others] != labels[:, None]).mean(axis=1))


def error_probabilities(values: Floats, audited: Mask, is_wrong: Mask, seed: int) -> Floats | None:
    """Probability that each label is wrong, ``(n,)``: a ridge logistic regression on the audit.

    The probability of an audited label comes from a model that was not fitted to it. The strength
    of the ridge penalty is the one with the lowest log loss on held-out labels.

    Parameters
    ----------
    values
        Features ``(n, n_features)``.
    audited
        Mask of the labels that a human has checked.
    is_wrong
        Whether a label is wrong, ``(n,)``; read where ``audited``.
    seed
        Seed of the folds.

    Returns
    -------
    Floats or None
        None where the audit holds fewer than ``MIN_OF_KIND`` wrong or right labels: nothing can be
        learned from it.
    """
    from sklearn.model_selection import StratifiedKFold

    known = values[audited]
    truth = is_wrong[audited].astype(np.int64)
    # Stratified folds need as many labels of the rarer kind, wrong or right, as there are folds.
    n_rarest = int(np.bincount(truth, minlength=2).min())
    if n_rarest < MIN_OF_KIND:
        return None
    folds = list(
        StratifiedKFold(min(N_FOLDS, n_rarest), shuffle=True, random_state=seed).split(known, truth)
    )
    by_strength = []
    for strength in _RIDGE_STRENGTHS:
        held_out = np.empty(len(truth))
        for fit, held in folds:
            held_out[held] = _fitted(known[fit], truth[fit], known[held], strength)
        by_strength.append(held_out)
    # The probabilities of audited labels are replaced by the held-out ones: a model is too sure of
    # the labels that it was fitted to.
    best = int(np.argmin([_log_loss(truth, held_out) for held_out in by_strength]))
    result = _fitted(known, truth, values, _RIDGE_STRENGTHS[best])
    result[audited] = by_strength[best]
    return result


def _fitted(known: Floats, truth: Codes, values: Floats, strength: float) -> Floats:
    """Probabilities of class 1 of ``values``, by a ridge logistic regression on ``known``."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=strength, max_iter=2000).fit(known, truth)
    return np.asarray(model.predict_proba(values)[:, 1])


def _log_loss(truth: Codes, probabilities: Floats) -> float:
    """Mean log loss of the probabilities of class 1."""
    of_truth = np.where(truth == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.clip(of_truth, 1e-12, 1)).mean())


def classifier_error_probability(
    labels: Codes, embeddings: Floats, n_classes: int, seed: int
) -> Floats:
    """The probability that a cross-validated classifier gives to the other classes, ``(n,)``.

    This is 1 minus the label quality (self-confidence) of cleanlab: Northcutt, Jiang and Chuang
    (2021), arXiv 1911.00068. The classifier is a logistic regression on the embeddings.

    Parameters
    ----------
    labels
        Class codes ``(n,)``, -1 where there is no label.
    embeddings
        Sentence embeddings ``(n, size)`` of length 1.
    n_classes
        Number of classes.
    seed
        Seed of the folds.

    Returns
    -------
    Floats
        In [0, 1]; infinite if a label is missing.
    """
    from cleanlab.rank import get_label_quality_scores

    answered = np.flatnonzero(labels >= 0)
    known = labels[answered]
    probabilities = held_out_probabilities(known, embeddings[answered], n_classes, seed)
    result = np.full(len(labels), np.inf)
    result[answered] = 1.0 - get_label_quality_scores(
        known, probabilities, method="self_confidence", adjust_pred_probs=False
    )
    return result


def estimated_noise(labels: Codes, embeddings: Floats, n_classes: int, seed: int) -> float:
    """The share of wrong labels in [0, 1], without any audit: confident learning.

    The calibrated confident joint of Northcutt, Jiang and Chuang (2021), by cleanlab, of the
    classifier of :func:`classifier_error_probability`. Where that classifier is poor, texts that
    it does not recognise count as wrong labels, and the share is too high.

    Parameters
    ----------
    labels, embeddings, n_classes, seed
        See :func:`classifier_error_probability`.
    """
    from cleanlab.count import compute_confident_joint

    answered = np.flatnonzero(labels >= 0)
    classes, known = np.unique(labels[answered], return_inverse=True)
    if len(classes) == 1:
        return 0.0
    # The classes that the labels have: the joint of another one is undefined.
    probabilities = held_out_probabilities(known, embeddings[answered], len(classes), seed)
    joint = compute_confident_joint(known, probabilities, calibrate=True)
    return float(1 - np.trace(joint) / joint.sum())


def held_out_probabilities(known: Codes, embeddings: Floats, n_classes: int, seed: int) -> Floats:
    """Class probabilities ``(n, n_classes)`` by classifiers that have not seen the text's label.

    A logistic regression on the embeddings for each fold; 0 for a class that none of its labels
    has.

    Parameters
    ----------
    known
        Class codes ``(n,)``, none missing; two at least.
    embeddings, n_classes, seed
        See :func:`classifier_error_probability`.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    # Scaled to a mean square of 1 for each coordinate, which the strength C below is chosen for.
    points = embeddings * np.sqrt(embeddings.shape[1])
    probabilities = np.zeros((len(known), n_classes))
    folds = KFold(min(N_FOLDS, len(known)), shuffle=True, random_state=seed)
    for fit, held in folds.split(points):
        classes = np.unique(known[fit])
        if len(classes) == 1:  # a logistic regression needs two
            probabilities[held, classes[0]] = 1.0
        else:
            probabilities[np.ix_(held, classes)] = (
                LogisticRegression(C=0.01, max_iter=2000)
                .fit(points[fit], known[fit])
                .predict_proba(points[held])
            )
    return probabilities
