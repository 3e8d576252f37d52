"""Predictions x gold -> scores, under the names that stand in the tracking store."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.config.metrics import score_metrics
from project.data.tables import codes
from project.stats.scores import score_answers
from project.support.errors import AssayError


def evaluate(
    answers: pd.DataFrame, gold: pd.DataFrame, label_set: Sequence[str]
) -> dict[str, float]:
    """Every registered score and ``recall.<label>`` in [0, 1] of ``answers`` (labels) against ``gold`` (an examples table).

    Both must hold the same examples; they are joined by ``example_id``. A null label, an answer that an annotator did not give,
    is wrong. Macro-F1 runs over the whole label set. Recall stands only for classes that have gold examples.
    """
    joined = gold[["example_id", "gold_label"]].merge(
        answers[["example_id", "label"]], on="example_id", how="inner", validate="one_to_one"
    )
    if not len(answers) == len(gold) == len(joined):
        raise AssayError(
            f"cannot evaluate: {len(answers)} answers do not cover exactly the {len(gold)} examples of the split."
        )
    right = codes(joined["gold_label"], label_set)
    answered = codes(joined["label"], label_set)
    scores = {
        metric.key: metric.compute(right, answered, len(label_set)) for metric in score_metrics()
    }
    class_recall = score_answers(right, answered, len(label_set)).recall
    present = np.bincount(right, minlength=len(label_set))
    recall = {
        f"recall.{name}": float(class_recall[k])
        for k, name in enumerate(metric_names(label_set))
        if present[k]
    }
    return {**scores, **recall}


def metric_names(label_set: Sequence[str]) -> list[str]:
    """A name for every label that a metric may bear in MLflow (ASCII letters, digits, ``_-. ``); made unique by its index."""
    plain = [
        "".join(
            char if char.isascii() and (char.isalnum() or char in "_-. ") else "_" for char in label
        )
        for label in label_set
    ]
    return (
        plain
        if len(set(plain)) == len(plain)
        else [f"{index}_{name}" for index, name in enumerate(plain)]
    )
