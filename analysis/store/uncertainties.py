"""Uncertainties of the annotator that stored annotations hold, as arrays.

A larger number is less certain. An example has nan where its annotation has no such number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from project.stats.types import Floats, Mask
from project.stats.uncertainty import entropy_uncertainty, margin_uncertainty, vote_entropy_bits

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from analysis.store.stored_run import StoredRun


class _Distributions(NamedTuple):
    """Class distributions of annotations: the arguments of the uncertainties, in their order."""

    log_probabilities: Floats
    label_mass: Floats
    log_bound: Floats


def entropy_bits(annotations: pd.DataFrame, label_set: Sequence[str]) -> Floats:
    """Entropy in bits of every annotation, ``(n,)``; all nan if a label has no probabilities."""
    distributions = _distributions(annotations, label_set)
    if distributions is None:
        return np.full(len(annotations), np.nan)
    return _where_answered(annotations, entropy_uncertainty(*distributions))


def training_uncertainties(stored: StoredRun) -> dict[str, Floats]:
    """Uncertainties of the training split by their names, ``(n,)`` each, under the first draw.

    Vote entropy is that of all draws. Left out are uncertainties for which the annotations lack a
    number, and those that are the same for all examples.
    """
    draws = stored.annotations["train"]
    first = draws[0]
    uncertainties: dict[str, Floats] = {}
    distributions = _distributions(first, stored.label_set)
    if distributions is not None:
        uncertainties["entropy"] = _where_answered(first, entropy_uncertainty(*distributions))
        uncertainties["margin"] = _where_answered(first, margin_uncertainty(*distributions))
    label_mass = _numbers(first, "label_mass")
    if not np.isnan(label_mass[_answered(first)]).any():
        uncertainties["label mass"] = _where_answered(first, 1.0 - label_mass)
    if "consistency" in first:
        inconsistency = 1.0 - _numbers(first, "consistency")
        uncertainties["consistency of repeats"] = _where_answered(first, inconsistency)
    if len(draws) > 1:
        votes = _vote_entropy(draws, stored.label_set)
        uncertainties[f"vote entropy of {len(draws)} draws"] = votes
    return {name: values for name, values in uncertainties.items() if _varies(values)}


def _vote_entropy(draws: Sequence[pd.DataFrame], label_set: Sequence[str]) -> Floats:
    from project.data.tables import codes

    drawn = np.stack([codes(annotations["label"], label_set) for annotations in draws])
    return vote_entropy_bits(drawn, len(label_set))


def _varies(values: Floats) -> bool:
    return len(np.unique(values[~np.isnan(values)])) > 1


def _distributions(annotations: pd.DataFrame, label_set: Sequence[str]) -> _Distributions | None:
    """The class distributions; None if some label came without probabilities."""
    from project.data.tables import class_columns

    log_probabilities = class_columns(annotations, label_set)
    if np.isnan(log_probabilities[_answered(annotations)]).all(axis=1).any():
        return None
    return _Distributions(
        log_probabilities,
        _numbers(annotations, "label_mass"),
        _numbers(annotations, "log_bound"),
    )


def _answered(annotations: pd.DataFrame) -> Mask:
    return np.asarray(annotations["label"].notna(), dtype=bool)


def _numbers(annotations: pd.DataFrame, column: str) -> Floats:
    return np.asarray(annotations[column].to_numpy(dtype=np.float64))


def _where_answered(annotations: pd.DataFrame, values: Floats) -> Floats:
    """``values``, nan for an example without a label or without a finite number."""
    return np.where(_answered(annotations) & np.isfinite(values), values, np.nan)
