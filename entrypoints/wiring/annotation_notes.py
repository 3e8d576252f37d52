"""What a reader should know of annotations: in the terminal, and in a run's description."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from entrypoints.wiring.terminal import print_line
from project.annotation.annotate import Annotations
from project.annotation.engines.base import Annotator
from project.data.answer_notes import low_mass_note, reasons_sentence
from project.data.tables import is_asked
from project.support.escape import escape_markdown

_NO_LABEL = "have no label; they are no training labels and count as wrong"


def print_summary(
    split: str, draws: Sequence[Annotations], annotator_name: str, *, private: bool
) -> None:
    """Print how many answers were reused, truncated, missing or censored, and a low label mass."""
    n_fetched = sum(draw.n_fetched for draw in draws)
    if n_fetched:
        sources = [source for draw in draws for source in draw.sources]
        runs = ", ".join(dict.fromkeys(f"{run.run_id} of {run.user}" for run in sources))
        print_line(
            f"annotate {split}: {n_fetched} answers come from finished runs in the tracking store "
            f"({runs}) and cost nothing."
        )
    tables = pd.concat([draw.table for draw in draws])
    has_answer = is_asked(tables)
    counts = {
        "are not in the recorded file: they are not scored and are no training labels": int(
            (~has_answer).sum()
        ),
        f"were too long for {annotator_name}; their texts were cut at the end": int(
            tables["truncated"].sum()
        ),
        _NO_LABEL: int(tables.loc[has_answer, "label"].isna().sum()),
        "lack the probability of some class; an upper bound of it is kept instead": int(
            tables["log_bound"].notna().sum()
        ),
    }
    for text, n_answers in counts.items():
        if n_answers:
            why = f" {reasons_sentence(tables, quotes=not private)}" if text == _NO_LABEL else ""
            print_line(f"annotate {split}: {n_answers} of {len(tables)} answers {text}.{why}")
    if note := low_mass_note(annotator_name, tables["label_mass"]):
        print_line(f"annotate {split}: note: {note}")


def notes_on(table: pd.DataFrame, annotator_name: str, *, private: bool) -> str:
    """Sentences on answers without a label and on a low label mass, for a run's description."""
    n_missing = int(table.loc[is_asked(table), "label"].isna().sum())
    reasons = reasons_sentence(table, quotes=not private)
    notes = [
        f"{n_missing} of {len(table)} answers have no label. {reasons}" if reasons else "",
        low_mass_note(annotator_name, table["label_mass"]),
    ]
    return "".join(f" {escape_markdown(note)}" for note in notes if note)


def stored_notes(annotator: Annotator, *, private: bool) -> Sequence[str]:
    """The notes of an engine to be stored; in a private experiment, none that may quote texts."""
    notes: Sequence[str] = getattr(annotator, "notes", ())
    return getattr(annotator, "notes_without_texts", notes) if private else notes
