"""Results of Lu and Smith (2025) for RoBERTa-base, shown beside our own."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

CITATION = (
    "Lu and Smith (2025), Feeding LLM Annotations to BERT Classifiers at Your Own Risk, "
    "Tables 1 and 2"
)


class PaperRow(NamedTuple):
    """One block of cells of Table 1 or 2, x 100 as printed; the ddof of a spread is not stated."""

    task: str
    arm_kind: str
    annotator: str
    accuracy: float
    accuracy_sd: float
    macro_f1: float
    macro_f1_sd: float
    krippendorff_alpha: float
    unchanged: float


def paper_row(task: str, arm_kind: str, annotator_model: str) -> PaperRow | None:
    """The paper's numbers for a task and a kind of arm, None if it has none.

    Parameters
    ----------
    task, arm_kind
        Name of the task and kind of the arm.
    annotator_model
        The paper's numbers of the same annotator are chosen if it has them, else those of its 7B
        annotator, which stand last.
    """
    with Path(__file__).with_name("paper.csv").open(encoding="utf-8", newline="") as file:
        _, *lines = csv.reader(file)
    rows = [PaperRow(line[0], line[1], line[2], *map(float, line[3:])) for line in lines]
    matching = [row for row in rows if (row.task, row.arm_kind) == (task, arm_kind)]
    same_annotator = [
        row for row in matching if row.annotator and annotator_model.endswith(row.annotator)
    ]
    return next(iter(same_annotator or matching[-1:]), None)
