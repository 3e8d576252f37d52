"""Sentences on the LLM's answers: how many have no label and why, and a low label mass."""

from __future__ import annotations

import pandas as pd

from analysis.store.stored_run import StoredRun
from project.data.answer_notes import low_mass_note, reasons_sentence
from project.data.tables import SPLITS


def answers_note(stored: StoredRun) -> str:
    """Sentences on the answers of the first draw to all splits; empty if nothing is amiss.

    No reply is quoted, since the report of a private experiment shows it too.
    """
    first = [tables[0] for split in SPLITS if (tables := stored.annotations[split])]
    if not first:
        return ""
    table = pd.concat(first)
    n_missing = int(table["label"].isna().sum())
    sentences = [low_mass_note(stored.config["models"]["annotator"], table["label_mass"])]
    if n_missing:
        reasons = reasons_sentence(table, quotes=False)
        sentences.insert(
            0, f"{n_missing} of {len(table)} answers of the LLM have no label. {reasons}"
        )
    return "".join(f" {sentence}" for sentence in sentences if sentence)
