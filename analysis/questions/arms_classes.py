"""Scores of single classes, for every source of labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.render.classes import FEW, absent_classes, class_groups
from analysis.render.section import Table
from analysis.render.text import number
from project.config.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from analysis.questions.arms_table import ScoredExperiment
    from analysis.render.classes import ClassGroup

_NOTE = (
    "Recall x 100. weighted F1: mean F1 over the classes, weighted by their examples; macro-F1 "
    "weighs every class alike. n: test examples; the row of the LLM's training labels has others."
)


def recall_table(scored: ScoredExperiment, table: pd.DataFrame) -> Table:
    """Recall of each class for our own rows of the result table, and weighted F1.

    With many classes these are the rows, and the rare ones share one; the CSV file has them all.
    """
    ours = table[table["kind"] != "paper"]
    experiment = scored.experiment
    label_set = experiment.label_set
    sizes = np.bincount(experiment.gold, minlength=len(label_set))
    groups = class_groups(label_set, sizes, "test examples")
    records = ours.to_dict("records")
    names = [f"{group.name} (n {group.n})" for group in groups]
    cells = [[_recall(row, group, label_set, sizes) for group in groups] for row in records]
    totals = [METRICS["weighted_f1"].text(row["weighted_f1"]) for row in records]
    sources = [str(row["labels"]) for row in records]
    columns = [f"recall.{label}" for label in label_set]
    absent = absent_classes(label_set, sizes, "test examples")
    shared: dict[str, Any] = {
        "name": "recall",
        "heading": "Recall of each class",
        "frame": ours[["labels", *columns, "weighted_f1"]],
        "notes": [f"{_NOTE} {absent}".strip()],
        "folded": True,
    }
    if len(label_set) <= FEW:
        rows = [
            [source, *row, total] for source, row, total in zip(sources, cells, totals, strict=True)
        ]
        head = ["labels", *names, "weighted F1"]
        return Table(**shared, head=head, rows=rows, kinds=list(ours["kind"]))
    rows = [
        [group.name, str(group.n), *(row[index] for row in cells)]
        for index, group in enumerate(groups)
    ]
    rows.append(["weighted F1 of all", str(int(sizes.sum())), *totals])
    return Table(**shared, head=["class", "n test", *sources], rows=rows)


def _recall(row: Mapping[Any, Any], group: ClassGroup, label_set: Sequence[str], sizes: Any) -> str:
    """Recall of a group: the share of its examples that get their own class.

    Classes without a recall in the row, such as those absent from its split, are left out.
    """
    recalls = np.array([row[f"recall.{label_set[code]}"] for code in group.codes], dtype=float)
    weights = sizes[list(group.codes)] * ~np.isnan(recalls)
    if not weights.sum():
        return number(None)
    return number(float(np.average(np.nan_to_num(recalls), weights=weights)))
