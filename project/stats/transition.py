"""P(true label | label given) and the reverse, learned from a random audit of the labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from project.stats.information import log_normalise
from project.stats.types import Codes, Floats

STRENGTH = 2.0
"""Audited labels that the prior of a row counts for."""
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3)
_FOLDS = 5
_DIGITS = 6


class Posterior(NamedTuple):
    """P(true label) of every text ``(n, n_classes)``; ``refined``: whether its features count."""

    values: Floats
    refined: bool


def smoothed_transition(rows: Codes, columns: Codes, n_classes: int) -> Floats:
    """P(column | row) of two labels of the same texts, ``(n_classes, n_classes)``.

    P(true label | label given) with the codes given as ``rows`` and the true ones as ``columns``,
    ``(n,)`` each; the reverse with the two exchanged. Every row sums to 1.

    The mean of a Dirichlet posterior. Its prior counts for :data:`STRENGTH` labels: the share of
    right labels over all classes, smoothed, and the rest by the other columns' shares.
    """
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (rows, columns), 1.0)
    right = (np.trace(counts) + 1) / (len(rows) + 2)
    share = counts.sum(axis=0) + 1.0
    others = np.where(np.eye(n_classes, dtype=bool), 0.0, share)
    prior = (1 - right) * others / others.sum(axis=1, keepdims=True) + right * np.eye(n_classes)
    counts += STRENGTH * prior
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def audited_posterior(
    given: Codes, audited: Codes, gold: Codes, features: Floats, n_classes: int, seed: int
) -> Posterior:
    """P(true label | label given, features) of all texts.

    A multinomial regression moves the logarithms of the transition by a linear function of the
    features, with a ridge penalty. The penalty, or the transition alone, is that of the lowest
    log loss on held-out audited texts.

    Parameters
    ----------
    given
        Codes of the labels given ``(n,)``, none missing.
    audited
        Indices of the audited texts ``(n_audited,)``.
    gold
        Their true codes ``(n_audited,)``.
    features
        ``(n, n_features)``, standardised.
    n_classes, seed
        Number of classes, and the seed of the folds.
    """
    n = len(audited)
    fold = np.random.default_rng(seed).permutation(n) % _FOLDS
    losses = np.zeros(1 + len(PENALTIES))
    for held_fold in range(min(_FOLDS, n)):
        fit = fold != held_fold
        held = audited[~fit]
        offset = np.log(smoothed_transition(given[audited[fit]], gold[fit], n_classes))
        tried = [offset[given[held]]]
        for penalty in PENALTIES:
            weights = _fitted(
                offset[given[audited[fit]]], features[audited[fit]], gold[fit], penalty
            )
            tried.append(log_normalise(offset[given[held]] + _with_one(features[held]) @ weights))
        truth = gold[~fit]
        losses += [-logs[np.arange(len(held)), truth].sum() for logs in tried]
    logs = np.log(smoothed_transition(given[audited], gold, n_classes))[given]
    best = int(np.argmin(losses))
    if best:
        weights = _fitted(logs[audited], features[audited], gold, PENALTIES[best - 1])
        logs = log_normalise(logs + _with_one(features) @ weights)
    # Rounded: another machine's last digit would make them other labels, which are trained again.
    values = np.round(np.exp(logs), _DIGITS)
    return Posterior(values / values.sum(axis=1, keepdims=True), best > 0)


def _with_one(features: Floats) -> Floats:
    return np.concatenate([np.ones((len(features), 1)), features], axis=1)


def _fitted(offset: Floats, features: Floats, gold: Codes, penalty: float) -> Floats:
    """Weights ``(1 + n_features, n_classes)`` of least log loss plus penalty x their squares."""
    from scipy.optimize import minimize

    values = _with_one(features)
    truth = np.eye(offset.shape[1])[gold]
    shape = (values.shape[1], offset.shape[1])

    def objective(flat: Floats) -> tuple[float, Floats]:
        weights = flat.reshape(shape)
        logs = log_normalise(offset + values @ weights)
        slope = values.T @ (np.exp(logs) - truth) / len(gold) + 2 * penalty * weights
        loss = -(truth * logs).sum() / len(gold) + penalty * (weights**2).sum()
        return float(loss), slope.ravel()

    start = np.zeros(shape[0] * shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": 200})
    return np.asarray(found.x.reshape(shape))
