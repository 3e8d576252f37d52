"""What Lu and Smith (2025) report for RoBERTa-base, to stand beside our own numbers."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

CITATION = "Lu and Smith (2025), Feeding LLM Annotations to BERT Classifiers at Your Own Risk, Tables 1 and 2"


class PaperRow(NamedTuple):
    """One cell block of Table 1 or 2; every number is scaled by 100, as printed there. ``ddof`` of the spread is not stated."""

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
    """The paper's numbers for a task and arm kind: with the same annotator where the paper has it, else with its 7B one."""
    with Path(__file__).with_name("paper.csv").open(encoding="utf-8", newline="") as file:
        rows = [
            PaperRow(row[0], row[1], row[2], *map(float, row[3:]))
            for row in list(csv.reader(file))[1:]
        ]
    found = [row for row in rows if (row.task, row.arm_kind) == (task, arm_kind)]
    same = [row for row in found if row.annotator and annotator_model.endswith(row.annotator)]
    return next(iter(same or found[-1:]), None)
