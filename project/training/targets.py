"""Training labels -> targets: a distribution over the classes and a weight for each example.

Hard and soft labels, temperature, mix, smoothing and class weights are all expressed by these two,
so that training has one loss. Labels of which P(label | class) is known have that in the place of
the distribution, and a loss that sums over the classes (:func:`latent_loss`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from project.config.finetune import FinetuneConfig
from project.config.recipe import latent_conflict
from project.data.tables import LIKELIHOOD, PROBABILITY, class_columns, codes
from project.stats.ordinal import steps
from project.stats.types import Floats, Mask
from project.support.errors import AssayError


class Targets(NamedTuple):
    """``values`` ``(n, n_classes)``, rows summing to 1; ``weights`` ``(n,)``, 1 on average.

    With labels that have a likelihood (:func:`has_likelihood`), ``values`` are P(label | class).
    """

    values: Floats
    weights: Floats


def targets(labels: pd.DataFrame, label_set: Sequence[str], config: FinetuneConfig) -> Targets:
    """The targets of a labels table, in its order.

    A hard label is its class alone or, with ``config.ordinal_targets``, a distribution that falls
    with the distance in steps (:func:`ordinal_shares`), for tasks whose labels have an order.

    With ``config.targets`` soft, probabilities are flattened by ``target_temperature`` (p to the
    power of 1/T, normalised) and mixed with the hard label, whose share is 1 - ``target_mix``. A
    row without probabilities, such as a human's, keeps its hard label. Then ``label_smoothing``
    spreads its share evenly over the classes. ``class_weights`` balanced multiplies an example's
    weight by n / (number of classes with labels x number of examples with its label).

    Parameters
    ----------
    labels
        A labels table.
    label_set
        All labels, in the task's order.
    config
        The hyper-parameters.

    Raises
    ------
    AssayError
        If probabilities are missing or invalid, or weights are.
    """
    n_classes = len(label_set)
    label_codes = codes(labels["label"], label_set)
    one_hot = np.eye(n_classes)[label_codes]
    if has_likelihood(labels):
        check_latent(config)
    values = _hard_targets(n_classes, config)[label_codes]
    if config.targets == "soft":
        soft = _soft(labels, label_set, config.target_temperature)
        known = ~np.isnan(soft).any(axis=1)
        values[known] = config.target_mix * soft[known] + (1 - config.target_mix) * one_hot[known]
    values = (1 - config.label_smoothing) * values + config.label_smoothing / n_classes
    if has_likelihood(labels):
        values = _likelihood(labels, label_set, one_hot)
    weights = _weights(labels)
    counts = np.bincount(label_codes, minlength=n_classes)
    if config.class_weights == "balanced":
        by_class = len(label_codes) / ((counts > 0).sum() * np.maximum(counts, 1))
        weights = weights * by_class[label_codes]
    return Targets(values, weights / weights.mean())


def _hard_targets(n_classes: int, config: FinetuneConfig) -> Floats:
    """The target of every hard label, ``(n_classes, n_classes)``: a row for each label."""
    if config.ordinal_targets == "none":
        return np.eye(n_classes)
    power = 2 if config.ordinal_targets == "squared" else 1
    return ordinal_shares(n_classes, power, config.ordinal_sharpness)


def ordinal_shares(n_classes: int, power: int, sharpness: float) -> Floats:
    """Soft labels for ordered classes, ``(n_classes, n_classes)``; each row sums to 1.

    SORD (Diaz and Marathe 2019, Soft Labels for Ordinal Regression, CVPR, equation 1): class k has
    the share exp(-phi(y, k)) / sum_j exp(-phi(y, j)) in the target of label y. Here phi is
    ``sharpness`` times the distance in steps to the ``power`` of 1 or 2.
    """
    shares = np.exp(-sharpness * steps(n_classes) ** power)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def loss(logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum over the rows of weight x cross-entropy with the target, in nats and float32.

    For several labels, it is the mean over the labels of this sum for each label's yes and no.

    Parameters
    ----------
    logits
        ``(n, n_classes)``; the log odds of each label where there are several.
    values
        Target distributions ``(n, n_classes)``, or probabilities of yes ``(n, n_labels)``.
    weights
        ``(n,)``, or ``(n, n_labels)`` for several labels.
    """
    if weights.ndim == 2:
        of_answers = torch.nn.functional.binary_cross_entropy_with_logits(
            logits.float(), values, weights, reduction="sum"
        )
        return of_answers / weights.shape[1]
    return (weights * text_losses(logits, values)).sum()


def text_losses(logits: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of every row ``(n,)``, in nats and float32; see :func:`loss`."""
    return -(values * logits.float().log_softmax(-1)).sum(-1)


def latent_loss(
    logits: torch.Tensor, likelihood: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Sum over the rows of weight x -log P(label), in nats and float32.

    P(label) is the sum over the classes k of P(k | text) P(label | k): the forward correction of
    Patrini et al. (2017), Making Deep Neural Networks Robust to Label Noise, CVPR, section 4.2. For
    a label that one class alone can have got, this is the cross-entropy, to the bit.

    Parameters
    ----------
    logits
        ``(n, n_classes)``.
    likelihood
        P(label | class), ``(n, n_classes)``; rows need not sum to 1.
    weights
        ``(n,)``.
    """
    return -(weights * (logits.float().log_softmax(-1) + likelihood.log()).logsumexp(-1)).sum()


def has_likelihood(labels: pd.DataFrame) -> bool:
    """Whether a labels table has likelihoods, so that the classes of its texts are latent."""
    return any(name.startswith(LIKELIHOOD) for name in labels.columns)


def check_latent(config: FinetuneConfig) -> None:
    """Raise AssayError for targets that cannot stand beside labels with a likelihood."""
    if conflict := latent_conflict(config):
        name, value = conflict
        raise AssayError(
            f"{name} must be {value} with the arms forward and evidence, whose loss sums over the "
            f"classes that a label may stand for; got {getattr(config, name)}. Leave {name} out, "
            "or these two out of arms."
        )


def _likelihood(labels: pd.DataFrame, label_set: Sequence[str], one_hot: Floats) -> Floats:
    """``likelihood.*`` of each label ``(n, n_classes)``; 1 for its own class where it has none."""
    stored = class_columns(labels, label_set, LIKELIHOOD)
    known: Mask = np.asarray(~np.isnan(stored).all(axis=1))
    values = np.where(known[:, None], stored, one_hot)
    inside = ((values >= 0) & (values <= 1)).all(axis=1)
    wrong: Mask = ~inside | (values.max(axis=1) <= 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AssayError(
            "likelihoods must be numbers in [0, 1] with one above 0; those of example "
            f"{labels['example_id'].iloc[row]!r} are from {values[row].min():g} to "
            f"{values[row].max():g}. Correct the columns {LIKELIHOOD}*, or remove them."
        )
    return np.asarray(values)


def _soft(labels: pd.DataFrame, label_set: Sequence[str], temperature: float) -> Floats:
    """The table's probabilities at ``temperature``, ``(n, n_classes)``.

    Rows without any are nan; single unknown classes are zero.
    """
    columns = [PROBABILITY + name for name in label_set]
    if set(columns) <= set(labels.columns):
        stored = labels[columns].to_numpy(dtype=np.float64)
    else:
        stored = np.full((len(labels), len(columns)), np.nan)
    by_llm = (labels["source"] == "llm").to_numpy()
    known = ~np.isnan(stored).all(axis=1)
    if by_llm.any() and not known[by_llm].any():
        raise AssayError(
            f"targets=soft needs the annotator's probabilities, in columns {columns[0]!r} and so "
            "on; these labels come without. Set targets to hard."
        )
    values = np.where(known[:, None], np.nan_to_num(stored), np.nan)
    sums = values.sum(axis=1)
    wrong = known & ((values < 0).any(axis=1) | (np.abs(sums - 1) > 1e-4))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AssayError(
            "soft targets must be probabilities that sum to 1; those of example "
            f"{labels['example_id'].iloc[row]!r} sum to {sums[row]:g}, the least is "
            f"{values[row].min():g}. Correct them, or set targets to hard."
        )
    # Divided by the largest first, so that a low temperature does not underflow all of them.
    flat = (values / values.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(flat / flat.sum(axis=1, keepdims=True))


def _weights(labels: pd.DataFrame) -> Floats:
    """The table's weights, checked."""
    weights = labels["weight"].to_numpy(dtype=np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AssayError(
            "weights of examples must be numbers from 0 up; that of example "
            f"{labels['example_id'].iloc[row]!r} is {weights[row]:g}. Correct it."
        )
    if not weights.any():
        raise AssayError(
            f"all {len(weights)} training examples have weight 0: nothing can be learned from "
            "them. Give at least one a weight above 0."
        )
    return weights
