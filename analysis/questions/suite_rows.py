"""What each task of a suite says: scores of every source of labels, and features of the task."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.questions.arms_table import MIN_SCORED, ScoredExperiment
from analysis.questions.side_by_side import Judged
from project.config.arms import GOLD
from project.data.tables import codes, is_asked
from project.stats.agreement import label_counts, nominal_alpha
from project.stats.scores import score_answers
from project.stats.types import Codes, Floats

if TYPE_CHECKING:
    import pandas as pd

ITSELF = "the LLM itself"
_MIN_SHARED = 0.1  # of the texts of the smaller task, above which two tasks are about the same data
SCORES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "precision": "precision",
    "recall": "recall",
    "rare_precision": "precision of the rarest",
    "rare_recall": "recall of the rarest",
}
"""Scores of a source of labels by column, in [0, 1]. Precision and recall are means over the
classes with gold examples; the rarest is the class with the fewest of these."""
FEATURES = {
    "llm_accuracy": "share of right LLM labels",
    "n_classes": "number of classes",
    "largest_class": "share of the largest class",
    "words": "median words of a text",
    "draws_alpha": "alpha of the draws",
}
"""Features of a task by column."""


class SuiteEntry(NamedTuple):
    """A finished task: its verdict, its group, and the name of its data.

    Tasks with the same name of data are about the same texts.
    """

    judged: Judged
    group: str
    data: str

    @property
    def head(self) -> dict[str, str]:
        """The columns that every row of the task begins with."""
        return {"task": self.judged.name, "data": self.data, "group": self.group}


def data_names(texts: Sequence[set[str]], names: Sequence[str]) -> list[str]:
    """A name of the data of each task; tasks that share a tenth of their texts have the same.

    Parameters
    ----------
    texts
        The texts of each task.
    names
        What the card of each calls the data.
    """
    found: list[str] = []
    for index, own in enumerate(texts):
        for earlier in range(index):
            shared = len(own & texts[earlier])
            if shared >= _MIN_SHARED * max(1, min(len(own), len(texts[earlier]))):
                found.append(found[earlier])
                break
        else:
            name = names[index]
            found.append(name if name not in found else f"{name} ({index + 1})")
    return found


def score_rows(entry: SuiteEntry) -> list[dict[str, Any]]:
    """One row for the LLM itself and for every complete arm of a task.

    Columns: ``task``, ``data``, ``group``, ``source``, those of :data:`SCORES`, ``alpha`` of the
    seeds, and ``loss``, the macro-F1 of the arm gold less that of the row, nan where the verdict
    refuses to name one. Scores are means over the seeds; those of the LLM itself are over the test
    texts that it was asked about. A task with few test texts has no rows. If all test texts of a
    task have the same label, all scores but accuracy are nan: a classifier that always gives this
    label would score 100.
    """
    judged = entry.judged
    experiment = judged.scored.experiment
    gold = experiment.gold
    if len(gold) < MIN_SCORED:
        return []
    label_set = experiment.label_set
    sources: dict[str, tuple[Codes, Codes]] = {}
    if (labels := experiment.llm_test) is not None and labels["label"].notna().any():
        asked = is_asked(labels)
        sources[ITSELF] = (gold[asked], codes(labels["label"], label_set)[None, asked])
    sources |= {arm: (gold, runs.predicted) for arm, runs in experiment.arms.items()}
    rows: list[dict[str, Any]] = []
    for source, (known, predicted) in sources.items():
        scores = np.mean([_scores(known, one, len(label_set)) for one in predicted], axis=0)
        rows.append(
            {
                **entry.head,
                "source": source,
                "n_seeds": len(predicted) if source != ITSELF else 0,
                **dict(zip(SCORES, map(float, scores), strict=True)),
                "alpha": _alpha(predicted, len(label_set)) if source != ITSELF else math.nan,
            }
        )
    best = {row["source"]: row["macro_f1"] for row in rows}.get(GOLD, math.nan)
    if judged.llm is None:
        best = math.nan
    return [{**row, "loss": best - row["macro_f1"]} for row in rows]


def _scores(gold: Codes, given: Codes, n_classes: int) -> Floats:
    """The scores of :data:`SCORES`; a missing answer counts as wrong."""
    found = score_answers(gold, given, n_classes)
    counts = np.bincount(gold, minlength=n_classes)
    known = counts > 0
    if known.sum() < 2:
        return np.array([found.accuracy, *[math.nan] * (len(SCORES) - 1)])
    rarest = int(np.where(known, counts, counts.max() + 1).argmin())
    return np.array(
        [
            found.accuracy,
            found.macro_f1,
            found.precision[known].mean(),
            found.recall[known].mean(),
            found.precision[rarest],
            found.recall[rarest],
        ]
    )


def _alpha(answers: Codes, n_classes: int) -> float:
    """Nominal alpha of several answers ``(n_answers, n_texts)``; nan for a single one."""
    if len(answers) < 2:
        return math.nan
    return nominal_alpha(label_counts(answers, n_classes))


def feature_row(entry: SuiteEntry, loss: float) -> dict[str, Any]:
    """The features of a task, nan where one is not known, and ``loss``, that of the arm ``llm``.

    Columns: ``task``, ``data``, ``group``, ``loss`` and those of :data:`FEATURES`; then
    ``consistent``, the share of training texts that all draws label alike, and how many of these
    and of the others are right.
    """
    experiment = entry.judged.scored.experiment
    label_set = experiment.label_set
    test = experiment.gold
    train = experiment.split("train")
    is_private = experiment.config["config"].get("store", {}).get("private", False)
    draws = [codes(table["label"], label_set) for table in experiment.annotations["train"]]
    answers = np.array(draws) if draws else np.zeros((0, len(train)), dtype=int)
    return {
        **entry.head,
        "loss": loss,
        "llm_accuracy": _llm_accuracy(entry.judged.scored),
        "n_classes": float(len(label_set)),
        "largest_class": float(np.bincount(test).max() / len(test)) if len(test) else math.nan,
        "words": math.nan if is_private else float(train["text"].str.split().str.len().median()),
        "draws_alpha": _alpha(answers, len(label_set)),
        **_consistency(answers, train, label_set),
    }


def _llm_accuracy(scored: ScoredExperiment) -> float:
    """Accuracy of the LLM's own labels of the test texts, else of the training texts."""
    table = scored.annotator
    if table.empty:
        return math.nan
    by_split = table.set_index("split")["accuracy"]
    return float(by_split.get("test", by_split.get("train", math.nan)))


def _consistency(answers: Codes, train: pd.DataFrame, label_set: Sequence[str]) -> dict[str, float]:
    """How many texts all draws label alike, and how many of these and of the others are right.

    The label of a text is that of the first draw (Pangakis and Wolken 2024, consistency score).
    """
    nothing = {"consistent": math.nan, "right_consistent": math.nan, "right_others": math.nan}
    known = train["gold_label"].notna().to_numpy()
    if len(answers) < 2 or not known.any():
        return nothing
    gold = codes(train.loc[known, "gold_label"], label_set)
    answers = answers[:, known]
    right = answers[0] == gold
    alike = (answers == answers[0]).all(axis=0)
    return {
        "consistent": float(alike.mean()),
        "right_consistent": float(right[alike].mean()) if alike.any() else math.nan,
        "right_others": float(right[~alike].mean()) if not alike.all() else math.nan,
    }


def by_data(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """``rows`` with one row for each data set within ``keys``: the mean of its tasks.

    Tasks on the same data are no independent draws of tasks, so that they count once.
    """
    numbers = list(rows.select_dtypes("number").columns)
    return rows.groupby([*keys, "data"], sort=False)[numbers].mean().reset_index()
