"""The labels table of an arm, made from arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.data.tables import LIKELIHOOD, PROBABILITY, check, with_class_columns
from project.labels.inputs import LabelInputs
from project.stats.types import Floats, Mask


class Labelled(NamedTuple):
    """The columns of a labels table, ``(n,)`` each.

    ``probabilities`` and ``likelihood``, P(label given | class), are ``(n, n_classes)``. Examples
    with a null label are left out of the table.
    """

    labels: npt.NDArray[np.object_]
    by_human: Mask
    reasons: npt.NDArray[np.object_]
    inclusion_probability: Floats
    probabilities: Floats | None = None
    weights: Floats | None = None
    likelihood: Floats | None = None


def labels_table(inputs: LabelInputs, labelled: Labelled) -> pd.DataFrame:
    """The labels table; rows that a human labelled have no soft label and no likelihood."""
    soft = np.full((len(labelled.labels), len(inputs.label_set)), np.nan)
    if labelled.probabilities is not None:
        soft = np.where(labelled.by_human[:, None], np.nan, labelled.probabilities)
    human_source = "gold" if inputs.human is None else "human"
    table = pd.DataFrame(
        {
            "example_id": list(inputs.examples["example_id"]),
            "label": labelled.labels,
            "weight": 1.0 if labelled.weights is None else labelled.weights,
            "source": np.where(labelled.by_human, human_source, "llm"),
            "reason": labelled.reasons,
            "inclusion_probability": labelled.inclusion_probability,
        }
    )
    table = with_class_columns(table, soft, inputs.label_set, PROBABILITY)
    if labelled.likelihood is not None:
        likelihood = np.where(labelled.by_human[:, None], np.nan, labelled.likelihood)
        table = with_class_columns(table, likelihood, inputs.label_set, LIKELIHOOD)
    known = table.dropna(subset=["label"]).reset_index(drop=True)
    return check("labels", known, inputs.label_set)
