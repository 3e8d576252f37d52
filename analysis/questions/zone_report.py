"""The report on zones: its sections, and further columns of the data that are zones, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from analysis.questions.zone_search import LabelledTexts, Zones, find_zones, read_labelled
from analysis.questions.zone_tables import (
    examples_table,
    inheritance_sentence,
    inheritance_table,
    notes_on_candidates,
    zones_figure,
    zones_table,
)
from analysis.render.section import Section
from analysis.render.text import listed
from project.stats.zones import MIN_TEXTS
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.experiment import Experiment

QUESTION = "Where is the LLM wrong?"


def section(experiment: Experiment, columns: Mapping[str, pd.Series] | None = None) -> Section:
    """The zones, what the classifiers make of them, and examples.

    ``columns``: further columns by name, indexed by ``example_id``.
    """
    labelled = read_labelled(experiment)
    own = {
        name: column.reindex(labelled.table["example_id"]).reset_index(drop=True)
        for name, column in (columns or {}).items()
    }
    notes = [
        f"{int(column.isna().sum())} of {len(column)} texts have no value of {name}; they count as "
        "elsewhere."
        for name, column in own.items()
        if column.isna().any()
    ]
    zones = find_zones(labelled, experiment.label_set, own)
    notes += notes_on_candidates(zones)
    tables = [zones_table(zones)]
    figures = [zones_figure(zones.zones)] if zones.zones else []
    sentences = [_sentence(labelled, zones)]
    if zones.confirmed and {"gold", "llm"} <= set(experiment.arms):
        inherited = inheritance_table(experiment, labelled, zones.confirmed)
        tables.append(inherited)
        sentences.append(inheritance_sentence(inherited))
    if zones.confirmed:
        tables.append(examples_table(experiment, labelled, zones.confirmed))
    answer = " ".join(filter(None, sentences))
    return Section("zones", QUESTION, answer, tables, figures=figures, notes=notes)


def _sentence(labelled: LabelledTexts, zones: Zones) -> str:
    """How many zones were tried, found and confirmed, and which they are."""
    share = 100 * labelled.wrong.mean()
    about = f"The LLM is wrong on {share:.1f} % of {len(labelled.gold)} texts."
    if labelled.n_unanswered:
        about += f" {labelled.n_unanswered} more without a label of it are left out."
    if not labelled.wrong.any():
        return f"{about} So there is no zone."
    if not zones.n_tried:
        return f"{about} That is too few to find zones, which take {MIN_TEXTS} texts in each half."
    if not zones.zones:
        return (
            f"{about} None of {zones.n_tried} zones has more wrong labels than chance puts there."
        )
    names = [f"{one.zone.name} ({100 * one.confirmed.share:.0f} %)" for one in zones.confirmed]
    found = f"Of {zones.n_tried} zones {len(zones.zones)} stood out in one half of the texts"
    if not names:
        return f"{about} {found}; none of them was confirmed in the other half."
    verb = "was" if len(names) == 1 else "were"
    return f"{about} {found}, and {len(names)} {verb} confirmed in the other: {listed(names)}."


def read_columns(experiment: Experiment, data: str, names: Sequence[str]) -> dict[str, pd.Series]:
    """Columns of a file, by ``example_id`` of the experiment's texts; nan for those not in it.

    The file has the texts in the column ``text``, or in the one that the parameter ``text_column``
    of the experiment names. Texts that stand in it several times have no value where it differs.

    Raises
    ------
    AssayError
        For columns that the file lacks, that hold gold labels, or whose values are no single
        ones; and if it has less than half of the texts.
    """
    from project.data.raw_data import read_file

    table = read_file(Path(data))
    text_column = experiment.config["config"]["task"].get("text_column") or "text"
    known = listed([str(column) for column in table], 10)
    if text_column not in table:
        raise AssayError(
            f"data must have the texts in the column {text_column!r}; {data} has {known}. Rename "
            "the column in a copy."
        )
    for name in names:
        if name not in table or name == text_column:
            raise AssayError(
                f"columns must name further columns of {data}; got {name!r}. It has {known}."
            )
    keys = table[text_column].astype(str).str.strip()
    texts = experiment.examples.set_index("example_id")["text"].str.strip()
    n_found = int(texts.isin(set(keys)).sum())
    if n_found < len(texts) / 2:
        raise AssayError(
            f"data must have the texts of the experiment; {n_found} of {len(texts)} stand in "
            f"{data}. Name the file that belongs to it."
        )
    return {name: _column(experiment, texts, table[name], keys, name) for name in names}


def _column(
    experiment: Experiment, texts: pd.Series, values: pd.Series, keys: pd.Series, name: str
) -> pd.Series:
    """One column by ``example_id``; nan where the file lacks the text or has several values."""
    if values.map(lambda value: isinstance(value, (list, dict, set, np.ndarray))).any():
        raise AssayError(f"columns must have single values; {name} has lists. Leave it out.")
    by_text = values.groupby(keys)
    found = texts.map(by_text.first().where(by_text.nunique(dropna=False) == 1))
    gold = experiment.examples.set_index("example_id")["gold_label"]
    both = found.notna() & gold.notna()
    if both.any() and (found[both].astype(str) == gold[both].astype(str)).all():
        raise AssayError(
            f"columns must not name the gold labels; {name} is equal to them on {both.sum()} "
            "texts. Leave it out: gold labels must not define a zone."
        )
    return found
