"""Training labels -> targets: what every example is to be answered with, and how much it counts.

Hard and soft labels, temperature, mix, smoothing and class weights all end in one distribution over the classes and one weight for
each example, so that training has one loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from project.config.finetune import FinetuneConfig
from project.data.tables import PROBABILITY, codes
from project.stats.types import Floats
from project.support.errors import AssayError


class Targets(NamedTuple):
    """``values`` ``(n, n_classes)``, rows summing to 1; ``weights`` ``(n,)``, 1 on average."""

    values: Floats
    weights: Floats


def targets(labels: pd.DataFrame, label_set: Sequence[str], config: FinetuneConfig) -> Targets:
    """The targets of a labels table, in its order.

    ``config.targets`` soft: the probabilities in the table, made flatter by ``target_temperature`` (p to the power of 1/T, normalised) and
    mixed with the hard label, of which 1 - ``target_mix`` is left; a row without probabilities, such as a human's, keeps its hard label.
    Then ``label_smoothing`` spreads its share evenly over the classes. ``class_weights`` balanced multiplies the weight of an example by
    n / (number of classes that have labels x number of examples with its label). Weights are scaled to a mean of 1.
    """
    given, n_classes = codes(labels["label"], label_set), len(label_set)
    values = np.eye(n_classes)[given]
    if config.targets == "soft":
        soft = _soft(labels, label_set, config.target_temperature)
        known = ~np.isnan(soft).any(axis=1)
        values[known] = config.target_mix * soft[known] + (1 - config.target_mix) * values[known]
    values = (1 - config.label_smoothing) * values + config.label_smoothing / n_classes
    weights = _weights(labels)
    counts = np.bincount(given, minlength=n_classes)
    if config.class_weights == "balanced":
        weights = weights * (len(given) / ((counts > 0).sum() * np.maximum(counts, 1)))[given]
    return Targets(values, weights / weights.mean())


def loss(logits: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Sum over the rows of weight x cross-entropy of the target, in nats and float32. Shapes ``(n, n_classes)`` twice and ``(n,)``."""
    return -(weights * (values * logits.float().log_softmax(-1)).sum(-1)).sum()


def _soft(labels: pd.DataFrame, label_set: Sequence[str], temperature: float) -> Floats:
    """The table's probabilities at ``temperature`` ``(n, n_classes)``; rows of nan where it has none, zero where single classes are unknown."""
    columns = [PROBABILITY + name for name in label_set]
    machine = (labels["source"] == "llm").to_numpy()
    absent = [column for column in columns if column not in labels.columns]
    found = (
        np.full((len(labels), len(columns)), np.nan)
        if absent
        else labels[columns].to_numpy(dtype=np.float64)
    )
    known = ~np.isnan(found).all(axis=1)
    if machine.any() and not known[machine].any():
        raise AssayError(
            f"targets=soft needs the annotator's probabilities, in columns {columns[0]!r} and so on; these labels come without. Use -P targets=hard."
        )
    values = np.where(known[:, None], np.nan_to_num(found), np.nan)
    sums = values.sum(axis=1)
    wrong = known & ((values < 0).any(axis=1) | (np.abs(sums - 1) > 1e-4))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AssayError(
            f"soft targets must be probabilities that sum to 1; those of example {labels['example_id'].iloc[row]!r} sum to {sums[row]:g}, "
            f"the least is {values[row].min():g}. Correct them, or use -P targets=hard."
        )
    flat = (values / values.max(axis=1, keepdims=True)) ** (1 / temperature)
    return np.asarray(flat / flat.sum(axis=1, keepdims=True))


def _weights(labels: pd.DataFrame) -> Floats:
    """The table's weights, checked."""
    weights = labels["weight"].to_numpy(dtype=np.float64)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AssayError(
            f"weights of examples must be numbers from 0 up; that of example {labels['example_id'].iloc[row]!r} is {weights[row]:g}. Correct it."
        )
    if not weights.any():
        raise AssayError(
            f"all {len(weights)} training examples have weight 0: nothing can be learned from them. Give at least one a weight above 0."
        )
    return weights
