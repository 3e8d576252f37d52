"""Predictions x gold -> scores, under the names that stand in the tracking store."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from project.errors import AssayError
from project.stats.scores import confusion, scores
from project.tables import codes


def evaluate(answers: pd.DataFrame, gold: pd.DataFrame, label_set: Sequence[str]) -> dict[str, float]:
    """``accuracy``, ``macro_f1`` and ``recall.<label>`` in [0, 1] of ``answers`` (labels) against ``gold`` (an examples table).

    Both must hold the same examples; they are joined by ``example_id``. Macro-F1 runs over the whole label set. Recall stands
    only for classes that have gold examples.
    """
    joined = gold[["example_id", "gold_label"]].merge(answers[["example_id", "label"]], on="example_id", how="left", validate="one_to_one")
    if len(answers) != len(gold) or joined["label"].isna().any():
        raise AssayError(f"cannot evaluate: {len(answers)} answers do not cover exactly the {len(gold)} examples of the split.")
    counts = confusion(codes(joined["gold_label"], label_set), codes(joined["label"], label_set), len(label_set))
    score = scores(counts)
    recall = {f"recall.{name}": float(score.recall[k]) for k, name in enumerate(metric_names(label_set)) if counts[k].sum()}
    return {"accuracy": score.accuracy, "macro_f1": score.macro_f1, **recall}


def metric_names(label_set: Sequence[str]) -> list[str]:
    """A name for every label that a metric may bear in MLflow (ASCII letters, digits, ``_-. ``); made unique by its index."""
    plain = ["".join(char if char.isascii() and (char.isalnum() or char in "_-. ") else "_" for char in label) for label in label_set]
    return plain if len(set(plain)) == len(plain) else [f"{index}_{name}" for index, name in enumerate(plain)]
