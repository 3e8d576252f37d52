"""The LLM's labels and probabilities as an arm reads them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.config.arms import Arm
from project.data.tables import LOG_PROBABILITY, class_columns, codes
from project.labels import uncertainty
from project.labels.inputs import LabelInputs
from project.labels.shares import random_share
from project.stats.calibration import fit_temperature, with_temperature
from project.stats.types import Floats


def llm_labels(arm: Arm, inputs: LabelInputs) -> npt.NDArray[np.object_]:
    """The LLM's label of every example as the arm reads it, ``(n,)``."""
    if not arm.facts.reads_llm:
        return np.full(len(inputs.examples), None, dtype=object)
    if arm.facts.majority:
        names = np.array([*inputs.label_set, None], dtype=object)  # code -1 is the last one
        return names[uncertainty.majority(inputs.draws[: arm.draws], inputs.label_set)]
    return inputs.draws[0]["label"].to_numpy(dtype=object)


def llm_distribution(arm: Arm, inputs: LabelInputs) -> Floats | None:
    """The LLM's distribution ``(n, n_classes)``: of the first draw, or the mean over the draws.

    Arms that read several draws for other purposes keep the first draw's.
    """
    facts = arm.facts
    if not facts.reads_llm:
        return None
    if facts.majority or (facts.soft and arm.ensemble_size):
        by_draw = np.stack(
            [
                np.exp(class_columns(table, inputs.label_set, LOG_PROBABILITY))
                for table in inputs.draws[: arm.draws]
            ]
        )
        known = ~np.isnan(by_draw).any(axis=(0, 2))
        return np.where(known[:, None], by_draw.mean(axis=0), np.nan)
    values = class_columns(inputs.draws[0], inputs.label_set, LOG_PROBABILITY)
    if facts.soft and arm.replace_share is not None:
        values = _calibrated(values, inputs, arm.replace_share)
    return np.exp(values)


def _calibrated(values: Floats, inputs: LabelInputs, share: float) -> Floats:
    """Log probabilities under the temperature that suits a random share of human labels best."""
    audited = (
        random_share(inputs, share) & ~np.isnan(values).any(axis=1) & ~pd.isna(inputs.human_labels)
    )
    gold = codes(pd.Series(inputs.human_labels[audited]), inputs.label_set)
    return with_temperature(values, fit_temperature(values[audited], gold))
