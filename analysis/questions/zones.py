"""Where is the LLM wrong? Zones of texts with more errors, and what a classifier makes of them.

Zones are found on one half of the texts and confirmed on the other. Structured errors are inherited
by a classifier, random ones average out: the second table shows which of the two happens here.

python -m analysis.questions.zones --run_id RUN
python -m analysis.questions.zones --run_id RUN --data corpus.parquet --columns source,year
    columns of a file with the same texts are zones, too
python -m analysis.questions.zones --run_id CURVE
    of a learning curve with the arms gold and llm: do more labels wash the errors out?

It prints tables and writes CSV, Markdown and a figure to outputs/reports/RUN.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.questions.zone_search import LabelledTexts, Zones, find_zones, read_labelled
from analysis.questions.zone_tables import (
    examples_table,
    inheritance_sentence,
    inheritance_table,
    zones_figure,
    zones_table,
)
from analysis.render.section import Section
from analysis.render.text import listed
from analysis.store.command import parser, run_command, show_section
from project.config.lists import split_list
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
    zones = find_zones(labelled, experiment.label_set, own)
    tables = [zones_table(zones)]
    figures = [zones_figure(zones.zones)] if zones.zones else []
    sentences = [_sentence(labelled, zones)]
    if zones.confirmed and {"gold", "llm"} <= set(experiment.arms):
        inherited = inheritance_table(experiment, labelled, zones.confirmed)
        tables.append(inherited)
        sentences.append(inheritance_sentence(inherited))
    if zones.confirmed:
        tables.append(examples_table(experiment, labelled, zones.confirmed))
    return Section("zones", QUESTION, " ".join(filter(None, sentences)), tables, figures=figures)


def _sentence(labelled: LabelledTexts, zones: Zones) -> str:
    """How many zones were tried, found and confirmed, and which they are."""
    share = 100 * labelled.wrong.mean()
    about = f"The LLM is wrong on {share:.1f} % of {len(labelled.gold)} texts."
    if not zones.zones:
        return f"{about} None of {zones.n_tried} zones that were tried holds more than chance."
    names = [f"{one.zone.name} ({100 * one.confirmed.share:.0f} %)" for one in zones.confirmed]
    found = f"Of {zones.n_tried} zones {len(zones.zones)} stood out in one half of the texts"
    if not names:
        return f"{about} {found}; none of them was confirmed in the other half."
    verb = "was" if len(names) == 1 else "were"
    return f"{about} {found}, and {len(names)} {verb} confirmed in the other: {listed(names)}."


def read_columns(experiment: Experiment, data: str, names: Sequence[str]) -> dict[str, pd.Series]:
    """Columns of a file, by ``example_id`` of the experiment's texts that stand in it.

    The file has the texts in the column ``text``, or in the one that the experiment's card names.
    """
    from project.data.raw_data import read_file

    table = read_file(Path(data))
    text_column = experiment.config["config"]["task"].get("text_column") or "text"
    for name in (text_column, *names):
        if name not in table:
            raise AssayError(
                f"columns must stand in {data}; it has no column {name!r}. It has "
                f"{listed([str(column) for column in table], 10)}."
            )
    by_text = table.assign(**{text_column: table[text_column].astype(str).str.strip()})
    by_text = by_text.drop_duplicates(text_column).set_index(text_column)
    texts = experiment.examples.set_index("example_id")["text"].str.strip()
    return {name: texts.map(by_text[name]) for name in names}


def _publish(options: argparse.Namespace) -> None:
    from analysis.store.experiment import read_experiment
    from project.tracking import KIND, read_run

    if options.run_id and read_run(options.run_id).tags.get(KIND) == "curve":
        from analysis.questions import zone_curve

        found = zone_curve.section(options.run_id)
        show_section(found, options.workspace, options.run_id, [read_run(options.run_id)])
        return
    experiment = read_experiment(options.run_id)
    names = split_list(options.columns)
    if bool(names) != bool(options.data):
        raise AssayError("data and columns must be given together, or neither of them.")
    columns = read_columns(experiment, options.data, names) if names else {}
    root = experiment.root
    show_section(section(experiment, columns), options.workspace, root.run_id, [root])


if __name__ == "__main__":
    _options = parser(__doc__ or "", "an experiment")
    _options.add_argument("--data", default="", help="file with the same texts [path]")
    _options.add_argument("--columns", default="", help="its columns that are zones [names]")
    run_command(_options, _publish)
