"""Rankings of an LLM's labels: the higher an example's number, the likelier its label is wrong.

Every ranking gives all examples a number. It is infinite for an example without a label, except in
:func:`vote_entropy` and :func:`is_wrong`. Ties are broken later, when the highest are selected.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.data.tables import class_columns, codes
from project.stats.agreement import label_counts
from project.stats.information import count_entropy_bits, entropy_bounds_bits
from project.stats.types import Codes, Floats
from project.support.errors import AssayError


def entropy(annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Conditional entropy of every answer in bits, ``(n,)``: Lu and Smith (2025), section 4.

    Where some classes are censored it is the upper bound of the entropy.
    """
    values = _log_probabilities("entropy", annotations, label_set)
    mass = annotations["label_mass"].to_numpy(dtype=np.float64)
    bound = annotations["log_bound"].to_numpy(dtype=np.float64)
    return _infinite_without_label(annotations, entropy_bounds_bits(values, mass, bound)[1])


def margin(annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """1 minus the difference of the two highest class probabilities, ``(n,)`` in [0, 1].

    A censored class counts with its upper bound.
    """
    values = _log_probabilities("margin", annotations, label_set)
    mass = annotations["label_mass"].to_numpy(dtype=np.float64)
    bound = annotations["log_bound"].to_numpy(dtype=np.float64)
    # Bounds are before normalising, the other probabilities after it.
    with np.errstate(divide="ignore", invalid="ignore"):
        filled = np.exp(np.where(np.isnan(values), (bound - np.log(mass))[:, None], values))
    in_order = np.sort(np.nan_to_num(filled), axis=1)
    first = in_order[:, -1]
    second = in_order[:, -2]
    return _infinite_without_label(annotations, 1.0 - (first - second))


def label_mass(annotations: pd.DataFrame) -> Floats:
    """1 minus the probability of the whole label set before normalising, ``(n,)`` in [0, 1]."""
    mass = annotations["label_mass"].to_numpy(dtype=np.float64)
    if np.isnan(mass[annotations["label"].notna().to_numpy()]).any():
        raise AssayError(
            "the ranking label_mass needs the LLM's label mass, which these labels come without. "
            "Leave label_mass out of arms."
        )
    return _infinite_without_label(annotations, 1.0 - mass)


def vote_entropy(draws: Sequence[pd.DataFrame], label_set: Sequence[str]) -> Floats:
    """Entropy in bits of the labels that the draws give to an example, ``(n,)``.

    A missing label counts as a label of its own.
    """
    labels = np.stack([codes(table["label"], label_set) for table in draws])
    labels = np.where(labels < 0, len(label_set), labels)
    return count_entropy_bits(label_counts(labels, len(label_set) + 1))


def inconsistency(annotations: pd.DataFrame) -> Floats:
    """1 minus the consistency score of Pangakis and Wolken (2024), section 3, ``(n,)`` in [0, 1].

    It is the share of an example's repeats that do not have the most frequent label.
    """
    if "consistency" not in annotations:
        raise AssayError(
            "the ranking consistency needs repeated answers. Set repeats, for instance to 9."
        )
    consistency = annotations["consistency"].to_numpy(dtype=np.float64)
    return _infinite_without_label(annotations, 1.0 - consistency)


def is_wrong(annotations: pd.DataFrame, gold: Sequence[str]) -> Floats:
    """1 where the label differs from the gold label, else 0, ``(n,)``: the ceiling of rankings."""
    return np.asarray(
        annotations["label"].to_numpy(dtype=object) != np.asarray(gold, dtype=object),
        dtype=np.float64,
    )


def majority(draws: Sequence[pd.DataFrame], label_set: Sequence[str]) -> Codes:
    """Class codes ``(n,)`` by vote over the draws, -1 where no draw has a label.

    Ties go to the tied class with the highest mean probability over the draws, where probabilities
    are known, then to the first in the label set.
    """
    counts = label_counts(
        np.stack([codes(table["label"], label_set) for table in draws]), len(label_set)
    )
    probabilities = np.nan_to_num(
        np.mean([np.nan_to_num(np.exp(class_columns(table, label_set))) for table in draws], axis=0)
    )
    tied = counts == counts.max(axis=1, keepdims=True)
    winners = np.where(tied, probabilities, -1.0).argmax(axis=1)
    return np.where(counts.any(axis=1), winners, -1)


def _log_probabilities(ranking: str, annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Natural log probabilities ``(n, n_classes)``; refuses labels without any."""
    values = class_columns(annotations, label_set)
    if np.isnan(values[annotations["label"].notna().to_numpy()]).all(axis=1).any():
        raise AssayError(
            f"the ranking {ranking} needs class probabilities, which these labels come without. "
            f"Use vote_entropy, which needs two draws or more, or leave {ranking} out of arms."
        )
    return values


def _infinite_without_label(annotations: pd.DataFrame, values: Floats) -> Floats:
    """``values``, infinite where an example has no label."""
    return np.where(annotations["label"].notna().to_numpy(), values, np.inf)
