"""Rankings that are learned: from an audit, a random sample of labels that a human has checked, or from the labels themselves.

The paper names a model of which labels are wrong as what is missing (Lu and Smith 2025, section 5); this is one. Its features need
nothing but the annotations and sentence embeddings of the texts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.data.tables import class_columns, codes
from project.stats.agreement import label_counts
from project.stats.information import conditional_entropy_bits, count_entropy_bits
from project.stats.types import Codes, Floats, Mask

LEAST = 20  # labels of an audit: from fewer nothing is learned
NEIGHBOURS, FOLDS = 10, 5
TRUST = 3.0  # by how much larger the classifier's odds stand among the features, so that a ridge holds them back less than the others
_STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # inverse strengths of the ridge that are tried


def features(
    draws: Sequence[pd.DataFrame], label_set: Sequence[str], embeddings: Floats, seed: int
) -> Floats:
    """What is known of every label of the first draw, standardised, ``(n, n_features)``.

    The class it is, the log probability of every class, their entropy, the label mass, how much the draws disagree, and what the ``embeddings``
    ``(n, size)``, of length 1, say through all other labels: the share of the nearest texts with another label, and the log odds that
    :func:`unconfident` gives against the label. The embeddings themselves are no features: a small audit cannot weigh them (EXPERIMENTS.md).
    """
    first, given = draws[0], codes(draws[0]["label"], label_set)
    votes = label_counts(
        np.stack([codes(table["label"], label_set) for table in draws]), len(label_set)
    )
    logs = class_columns(first, label_set)
    logs = np.where(
        np.isnan(logs).all(axis=1, keepdims=True),
        0.0,
        np.maximum(np.nan_to_num(logs, nan=-10.0), -10.0),
    )
    against = np.clip(unconfident(given, embeddings, len(label_set), seed), 1e-3, 1 - 1e-3)
    single = [
        conditional_entropy_bits(logs),
        np.nan_to_num(first["label_mass"]),
        count_entropy_bits(votes),
        other_neighbours(given, embeddings),
    ]
    values = np.concatenate(
        [
            np.eye(len(label_set) + 1)[given][:, :-1],
            logs,
            np.stack([*single, np.log(against / (1 - against))], axis=1),
        ],
        axis=1,
    )
    spread = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    standard[:, -1] *= TRUST
    return np.asarray(standard)


def other_neighbours(given: Codes, embeddings: Floats) -> Floats:
    """Share of the nearest texts, by cosine, that have another label, ``(n,)``."""
    from sklearn.neighbors import NearestNeighbors

    n = min(NEIGHBOURS, len(given) - 1)
    near = (
        NearestNeighbors(n_neighbors=n + 1, metric="cosine", algorithm="brute")
        .fit(embeddings)
        .kneighbors(embeddings, return_distance=False)
    )
    others = np.array(
        [[place for place in row if place != own][:n] for own, row in enumerate(near)]
    )
    return np.asarray((given[others] != given[:, None]).mean(axis=1))


def error_probabilities(values: Floats, audited: Mask, is_wrong: Mask, seed: int) -> Floats | None:
    """Probability that each label is wrong, ``(n,)``: logistic regression with a ridge on the audited labels.

    ``values`` ``(n, n_features)``; ``is_wrong`` ``(n,)`` is looked at where ``audited``. An audited label's probability comes from a model
    that has not seen it, and the ridge is the one of least log loss on labels not seen. None where the audit holds fewer than two wrong labels
    or fewer than two right ones: there is nothing to tell apart.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    known, truth = values[audited], is_wrong[audited].astype(np.int64)
    rarest = int(np.bincount(truth, minlength=2).min())
    if rarest < 2:
        return None
    folds = list(
        StratifiedKFold(min(FOLDS, rarest), shuffle=True, random_state=seed).split(known, truth)
    )

    def held_out(strength: float) -> Floats:
        found = np.empty(len(truth))
        for fit, held in folds:
            found[held] = (
                LogisticRegression(C=strength, max_iter=2000)
                .fit(known[fit], truth[fit])
                .predict_proba(known[held])[:, 1]
            )
        return found

    tried = [held_out(strength) for strength in _STRENGTHS]
    losses = [
        -np.log(np.clip(np.where(truth == 1, one, 1 - one), 1e-12, 1)).mean() for one in tried
    ]
    best = int(np.argmin(losses))
    result = (
        LogisticRegression(C=_STRENGTHS[best], max_iter=2000)
        .fit(known, truth)
        .predict_proba(values)[:, 1]
    )
    result[audited] = tried[best]
    return np.asarray(result)


def unconfident(given: Codes, embeddings: Floats, n_classes: int, seed: int) -> Floats:
    """1 minus cleanlab's label quality (self-confidence), ``(n,)``: what a classifier that has not seen a label gives to the other classes.

    The classifier is a logistic regression on the ``embeddings`` ``(n, size)``, cross-validated on the labels ``given``. Infinite where a label is
    missing (-1). Northcutt, Jiang and Chuang (2021), arXiv 1911.00068.
    """
    from cleanlab.rank import get_label_quality_scores
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import KFold

    answered = np.flatnonzero(given >= 0)
    labels, points = given[answered], embeddings[answered] * np.sqrt(embeddings.shape[1])
    probabilities = np.zeros((len(labels), n_classes))
    for fit, held in KFold(min(FOLDS, len(labels)), shuffle=True, random_state=seed).split(points):
        seen = np.unique(labels[fit])
        if len(seen) == 1:
            probabilities[held, seen[0]] = 1.0
        else:
            probabilities[np.ix_(held, seen)] = (
                LogisticRegression(C=0.01, max_iter=2000)
                .fit(points[fit], labels[fit])
                .predict_proba(points[held])
            )
    result = np.full(len(given), np.inf)
    result[answered] = 1.0 - get_label_quality_scores(
        labels, probabilities, method="self_confidence", adjust_pred_probs=False
    )
    return result
