"""The spot check of a batch: texts drawn for people to label, and the accuracy that labels show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from entrypoints.wiring.audit_design import answered_probability
from entrypoints.wiring.monitor_texts import Predicted, Source
from entrypoints.wiring.question_sheet import QuestionSheet, write_sheet
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.text_task import task_of_texts
from project.audit.design import draw_audit
from project.audit.judgements import audit_labels, combine
from project.labels.clients.formats import notes_on_reasons
from project.labels.human import answer_rows, questions
from project.stats.bootstrap import Interval
from project.stats.survey import Design, share_interval
from project.support.errors import AssayError


class SpotCheck(NamedTuple):
    """Drawn texts, and the files of their questions by artifact path."""

    folder: Path
    files: dict[str, Path]
    n: int


class Accuracy(NamedTuple):
    """Accuracy in a batch, from the answers to its spot check.

    Attributes
    ----------
    interval
        The accuracy in [0, 1] with its 95 % interval.
    n_labelled, n_drawn
        Texts with a label, and drawn texts.
    """

    interval: Interval
    n_labelled: int
    n_drawn: int

    @property
    def sentence(self) -> str:
        """What it is, and what is missing."""
        estimate, low, high = (100 * value for value in self.interval)
        missing = self.n_drawn - self.n_labelled
        note = (
            f" {missing} drawn texts have no label; they are taken to be missing at random."
            if missing
            else ""
        )
        return (
            f"{estimate:.1f} [{low:.1f}, {high:.1f}], from "
            f"{self.n_labelled} labelled texts of its spot check (95 % interval).{note}"
        )


def draw_spot_check(
    source: Source,
    texts: Predicted,
    n: int,
    label_set: Sequence[str],
    *,
    title: str,
    folder: Path,
    codebook: str,
    seed: int,
) -> SpotCheck:
    """Draw a simple random sample of the batch, and write its questions into ``folder``.

    Parameters
    ----------
    source, texts
        The batch and its predictions, which nobody who labels is shown.
    n
        Texts to draw; all of a smaller batch.
    label_set
        All classes.
    title, codebook
        Heading of the page, and rules for the person.
    folder
        Where the files go.
    seed
        Seed of the draw and of the order of the questions.
    """
    drawn = draw_audit(min(n, source.n), source.n, seed=seed)
    indices = np.flatnonzero(drawn.selected)
    examples = pd.DataFrame(
        {
            "example_id": source.example_ids().to_numpy()[indices],
            "text": source.some(indices),
        }
    )
    sampling = pd.DataFrame(
        {
            "example_id": examples["example_id"],
            "asked": True,
            "reason": "spot check, drawn at random",
            "inclusion_probability": drawn.inclusion_probability[indices],
            "predicted": [label_set[code] for code in texts.codes[indices]],
        }
    )
    sheet = QuestionSheet(
        task=task_of_texts(examples, label_set, title),
        annotator="",
        asked=[questions(examples, None, seed)],
        sampling=sampling,
        title=title,
        next_step="",
    )
    names = write_sheet(folder, sheet, pd.DataFrame(), codebook=codebook, blind=True)
    files = {f"spot_check/{name}": folder / name for name in names}
    return SpotCheck(folder, files, len(indices))


def accuracy_of(
    sampling: pd.DataFrame, source: Source, files: Sequence[str], label_set: Sequence[str]
) -> Accuracy:
    """The accuracy in a batch from the answers to its spot check.

    Parameters
    ----------
    sampling
        The drawn texts of the batch, as :func:`draw_spot_check` wrote them.
    source
        The batch.
    files
        Files with labels; several people decide by majority.
    label_set
        All classes.

    Raises
    ------
    AssayError
        If a file cannot be used, or labels no drawn text.
    """
    ids = source.example_ids()
    indices = np.flatnonzero(ids.isin(sampling["example_id"]))
    examples = pd.DataFrame({"example_id": ids.to_numpy()[indices], "text": source.some(indices)})
    task = task_of_texts(examples, label_set, source.name)
    tables = {name: answer_rows(Path(name).expanduser(), task) for name in files}
    for name, table in tables.items():
        for note in notes_on_reasons(table, name):
            print_line(f"judgements: {note}")
    judgements = combine(tables, task)
    for note in judgements.notes():
        print_line(note)
    settled = audit_labels(judgements, label_set).table.dropna(subset=["label"])
    labels = settled.set_index("example_id")["label"]
    labelled = sampling[sampling["example_id"].isin(labels.index)]
    if labelled.empty:
        raise AssayError(
            f"human must label texts of the spot check of {source.name}; no row of "
            f"{', '.join(files)} does. Name the answers to this batch, or its data."
        )
    right = labels.reindex(labelled["example_id"]).to_numpy() == labelled["predicted"].to_numpy()
    probability = answered_probability(
        labelled["inclusion_probability"].to_numpy(dtype=np.float64),
        sampling["inclusion_probability"].to_numpy(dtype=np.float64),
    )
    design = Design(1 / probability, None, len(labelled) / source.n)
    interval = share_interval(right.astype(np.float64), design)
    return Accuracy(interval, len(labelled), len(sampling))
