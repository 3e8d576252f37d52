"""Which of an annotator's labels to doubt: one number for each example, the higher the likelier its label is wrong. Pure.

Every ranking gives all examples a number; an example without an answer stands first in all of them but ``random``. Ties are broken by
whoever takes the highest.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.data.tables import class_columns, codes
from project.stats.agreement import label_counts
from project.stats.types import Codes, Floats
from project.stats.uncertainty import (
    entropy_uncertainty,
    margin_uncertainty,
    vote_entropy_bits,
)
from project.support.errors import AssayError


def entropy(annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Conditional entropy in bits of every answer, ``(n,)``: Lu and Smith (2025), section 4.

    Where some classes are censored it is the most that the entropy can be. Labels without probabilities have none.
    """
    values = _probabilities("entropy", annotations, label_set)
    return _without_answers(annotations, entropy_uncertainty(values, *_bounds(annotations)))


def margin(annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """1 minus the lead of the most probable class over the next, ``(n,)`` in [0, 1]; a censored class counts with its bound."""
    values = _probabilities("margin", annotations, label_set)
    return _without_answers(annotations, margin_uncertainty(values, *_bounds(annotations)))


def label_mass(annotations: pd.DataFrame) -> Floats:
    """1 minus the probability that the annotator gave to the label set as a whole, ``(n,)`` in [0, 1]."""
    mass = annotations["label_mass"].to_numpy(dtype=np.float64)
    if np.isnan(mass[annotations["label"].notna().to_numpy()]).any():
        raise AssayError(
            "the ranking label_mass needs the annotator's label mass, which these labels come without. Leave label_mass out of arms."
        )
    return _without_answers(annotations, 1.0 - mass)


def vote_entropy(draws: Sequence[pd.DataFrame], label_set: Sequence[str]) -> Floats:
    """Entropy in bits of the labels that the draws give to an example, ``(n,)``; no answer counts as a label of its own."""
    drawn = np.stack([codes(table["label"], label_set) for table in draws])
    return vote_entropy_bits(drawn, len(label_set))


def inconsistency(annotations: pd.DataFrame) -> Floats:
    """1 minus the consistency score of Pangakis and Wolken (2024), section 3, ``(n,)`` in [0, 1].

    It is the share of an example's repeats that give another label than most of them do.
    """
    if "consistency" not in annotations:
        raise AssayError(
            "the ranking consistency needs repeats. Say how many with -P repeats=..., for instance 9."
        )
    return _without_answers(
        annotations, 1.0 - annotations["consistency"].to_numpy(dtype=np.float64)
    )


def wrong(annotations: pd.DataFrame, gold: Sequence[str]) -> Floats:
    """1 where the label is not the gold one, else 0, ``(n,)``: what no ranking can know, the ceiling of all."""
    return np.asarray(
        annotations["label"].to_numpy(dtype=object) != np.asarray(gold, dtype=object),
        dtype=np.float64,
    )


def majority(draws: Sequence[pd.DataFrame], label_set: Sequence[str]) -> Codes:
    """Class codes ``(n,)`` by vote over the draws, -1 where no draw has an answer.

    Ties go to the tied class with the highest mean probability over the draws, where probabilities are known, then to the first.
    """
    counts = label_counts(
        np.stack([codes(table["label"], label_set) for table in draws]), len(label_set)
    )
    probabilities = np.nan_to_num(
        np.mean([np.nan_to_num(np.exp(class_columns(table, label_set))) for table in draws], axis=0)
    )
    tied = counts == counts.max(axis=1, keepdims=True)
    return np.where(counts.any(axis=1), np.where(tied, probabilities, -1.0).argmax(axis=1), -1)


def _probabilities(ranking: str, annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Natural log probabilities ``(n, n_classes)``, of every example with an answer for one class at least."""
    values = class_columns(annotations, label_set)
    if np.isnan(values[annotations["label"].notna().to_numpy()]).all(axis=1).any():
        raise AssayError(
            f"the ranking {ranking} needs class probabilities; these labels come without. Leave {ranking} out of arms, or use the arm ensemble."
        )
    return values


def _bounds(annotations: pd.DataFrame) -> tuple[Floats, Floats]:
    """Label mass and log bound of every example, ``(n,)`` each."""
    mass = annotations["label_mass"].to_numpy(dtype=np.float64)
    return mass, annotations["log_bound"].to_numpy(dtype=np.float64)


def _without_answers(annotations: pd.DataFrame, values: Floats) -> Floats:
    return np.where(annotations["label"].notna().to_numpy(), values, np.inf)
