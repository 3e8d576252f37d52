"""Predictions x gold -> scores, under the names that stand in the tracking store."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from project.config.metrics import score_metrics
from project.data.tables import codes
from project.stats.scores import score_answers
from project.support.errors import AssayError


def evaluate(
    answers: pd.DataFrame, gold: pd.DataFrame, label_set: Sequence[str], *, ordered: bool = False
) -> dict[str, float]:
    """Every registered score and ``recall.<label>``.

    Macro-F1 and recall are of the classes with gold examples alone.

    Parameters
    ----------
    answers
        Labels by ``example_id``; a null label is wrong.
    gold
        An examples table of the same examples.
    label_set
        All labels, in the task's order.
    ordered
        Whether they are steps of a scale.

    Raises
    ------
    AssayError
        If the two tables are not of the same examples.
    """
    joined = gold[["example_id", "gold_label"]].merge(
        answers[["example_id", "label"]], on="example_id", how="inner", validate="one_to_one"
    )
    if not len(answers) == len(gold) == len(joined):
        raise AssayError(
            f"cannot evaluate: {len(answers)} answers do not cover exactly the {len(gold)} "
            "examples of the split."
        )
    right = codes(joined["gold_label"], label_set)
    answered = codes(joined["label"], label_set)
    scores = {
        metric.key: metric.compute(right, answered, len(label_set))
        for metric in score_metrics(ordered=ordered)
    }
    class_recall = score_answers(right, answered, len(label_set)).recall
    present = np.bincount(right, minlength=len(label_set))
    recall = {
        f"recall.{name}": float(class_recall[code])
        for code, name in enumerate(metric_names(label_set))
        if present[code]
    }
    return {**scores, **recall}


def metric_names(label_set: Sequence[str]) -> list[str]:
    """A name for every label that MLflow allows in a metric: ASCII letters, digits, ``_-. ``.

    Other characters become ``_``. If two names are then the same, all get their index in front.
    """
    names = [re.sub(r"[^A-Za-z0-9_\-. ]", "_", label) for label in label_set]
    if len(set(names)) < len(names):
        names = [f"{index}_{name}" for index, name in enumerate(names)]
    return names
