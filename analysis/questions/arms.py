"""What did each source of labels cost? Tables 1 and 2 of the paper, rebuilt from the store alone.

python -m analysis.questions.arms --run_id RUN      table in the terminal; CSV, Markdown, PNG files
python -m analysis.questions.arms --run_id RUN,RUN  several tasks or annotators in one table
python -m analysis.questions.arms --run_id all      all finished experiments, the newest first
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from analysis.questions.arms_caption import caption, too_few_note
from analysis.questions.arms_classes import recall_table
from analysis.questions.arms_figure import arms_figure
from analysis.questions.arms_table import (
    ScoredExperiment,
    result_cells,
    result_table,
    spending_cells,
    summary,
)
from analysis.questions.variance import variance_table
from analysis.render.section import Figure, Section, Table, files, terminal
from analysis.render.text import n_seeds, title
from analysis.store.command import parser, run_command
from project.config.metrics import columns_of, cost_metrics, main_scores, shown_agreement
from project.support.errors import AssayError, UnusableRun
from project.support.files import digest

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    import pandas as pd

_SPENDING_NOTE = (
    "For the training labels of an arm, whichever run paid for them: labels by a human, requests "
    "to the LLM, the tokens of all requests, seconds of annotation; seconds of one training, mean "
    "over the seeds; cost at the prices given, of the labels and one training."
)
_UNPRICED_NOTE = (
    " No cost is shown, since no price was given: price_label, price_input, price_output, "
    "price_hour."
)
_INTERVALS_NOTE = (
    "In brackets 95 % intervals over the test examples, with the replicates as they are: a "
    "bootstrap for alpha_K, Wilson's for unchanged. "
)
_FIGURE_CAPTION = (
    "Scores of every seed, and agreement of the seeds. The further the dots of an arm lie apart, "
    "the less one training can be trusted."
)
_MAX_SETTINGS = 8
"""Columns of settings that a table of several experiments shows; the CSV file has all."""


def sections(scored: ScoredExperiment) -> list[Section]:
    """The result table, the sources of the spread of crossed replicates, and the costs."""
    from analysis.store.arm_scores import priced

    table = result_table(scored)
    # The page has room for intervals; the terminal's table in ``brief`` has not.
    head, rows = result_cells(table, intervals=True, ordered=scored.ordered)
    how, mind = caption(scored, table)
    main = Table(
        name="arms",
        heading=title(scored.config),
        head=head,
        rows=rows,
        frame=table,
        notes=[_INTERVALS_NOTE + how],
        kinds=list(table["kind"]),
        units=_units(n_seeds(scored.config), ordered=scored.ordered),
    )
    seen = _seen(table, ordered=scored.ordered)
    figure = Figure(
        "arms", arms_figure(scored.arms, ordered=scored.ordered), _FIGURE_CAPTION, seen=seen
    )
    question = "What does each source of labels cost?"
    first = Section(
        "arms",
        question,
        summary(table),
        [main, recall_table(scored, table)],
        figures=[figure],
        notes=[mind] if mind else [],
    )
    spent = _spending(table, is_priced=priced(scored.config))
    spread = []
    if len(scored.variance):
        crossed = variance_table(scored.variance)
        spread = [Section("variance", "Where does the spread come from?", "", [crossed])]
    return [first, *spread, Section("spent", "What did it take?", "", [spent])]


def _units(n: int, *, ordered: bool) -> list[str]:
    """The second line of the headings: what stands behind the numbers."""
    spread = f"mean ± sd of {n} seeds" if n > 1 else ""
    scores = [spread for _ in main_scores(ordered=ordered)]
    agreement = ["[95 % limits]" for _ in shown_agreement(ordered=ordered)]
    return ["", "texts", "labels", *scores, *agreement]


def _seen(table: pd.DataFrame, *, ordered: bool) -> str:
    """The means of the figure, for readers who cannot see it."""
    rows = table[table["kind"] == "arm"].to_dict("records")
    metrics = (*main_scores(), *shown_agreement(ordered=ordered))
    parts = [
        f"{row['labels']}: "
        + ", ".join(f"{metric.title} {metric.text(row[metric.key])}" for metric in metrics)
        for row in rows
    ]
    return f"{'; '.join(parts)}."


def _spending(table: pd.DataFrame, *, is_priced: bool) -> Table:
    """What the labels and one training of every arm took; a cost where prices are known."""
    arms = table[table["kind"] == "arm"]
    head, rows = spending_cells(table, with_cost=is_priced)
    return Table(
        name="spent",
        heading="",
        head=head,
        rows=rows,
        frame=arms[["labels", "human_labels", *columns_of(cost_metrics())]],
        notes=[_SPENDING_NOTE if is_priced else _SPENDING_NOTE + _UNPRICED_NOTE],
        kinds=["arm"] * len(arms),
    )


def brief(scored: ScoredExperiment) -> Section:
    """The result table as the terminal and the run's description show it."""
    table = result_table(scored)
    head, rows = result_cells(table, ordered=scored.ordered)
    tables = [
        Table(
            name="arms",
            heading=title(scored.config),
            head=head,
            rows=rows,
            frame=table,
            kinds=list(table["kind"]),
        )
    ]
    if len(scored.variance):
        tables.append(variance_table(scored.variance))
    return Section("arms", "", summary(table), tables, notes=["".join(caption(scored, table))])


def several(experiments: Sequence[ScoredExperiment], notes: Sequence[str] = ()) -> Section:
    """The tables of several experiments as one.

    Its first columns are the run, its date and the settings in which the experiments differ.
    """
    import pandas as pd

    from analysis.questions.arms_settings import differing

    settings = differing(experiments)
    parts = []
    for index, scored in enumerate(experiments):
        part = result_table(scored)
        own = pd.concat([settings.iloc[[index]]] * len(part), ignore_index=True)
        # A setting may be called like a column of the results, such as n.
        own.columns = pd.Index([_column(name, part) for name in own])
        parts.append(pd.concat([own, part], axis=1))
    frame = pd.concat(parts, ignore_index=True)
    ordered = all(scored.ordered for scored in experiments)
    head, rows = result_cells(frame, ordered=ordered)
    shown = list(frame.columns[: len(settings.columns)])[: 2 + _MAX_SETTINGS]
    table = Table(
        name="tables",
        heading="Tasks, annotators and arms",
        head=[*shown, *head],
        rows=[
            [*(str(row[name]) for name in shown), *cells]
            for row, cells in zip(frame.to_dict("records"), rows, strict=True)
        ],
        frame=frame,
        kinds=list(frame["kind"]),
    )
    runs = "; ".join(
        f"{title(scored.config)}, run {scored.experiment.root.run_id}" for scored in experiments
    )
    hidden = list(settings.columns)[len(shown) :]
    more = f"They also differ in {', '.join(hidden)}: see tables.csv." if hidden else ""
    incomplete = [
        f"INCOMPLETE: {scored.experiment.root.run_id}: {', '.join(scored.experiment.incomplete)}."
        for scored in experiments
        if scored.experiment.incomplete
    ]
    below = [f"Runs: {runs}.", more, too_few_note(frame).strip(), *incomplete, *notes]
    return Section("tables", "", "", [table], notes=[note for note in below if note])


def _column(name: str, table: pd.DataFrame) -> str:
    return f"{name} (setting)" if name in table.columns else name


def all_experiments() -> tuple[list[ScoredExperiment], list[str]]:
    """All finished experiments, the newest first, and notes.

    Exact repeats are shown once, and a note counts them. Unreadable experiments are left out, with
    a note on each.
    """
    from analysis.questions.arms_settings import folded
    from analysis.store.experiment import read_experiment
    from project.tracking import newest_runs

    run_ids = [root.run_id for page in newest_runs("experiment", page_size=200) for root in page]
    if not run_ids:
        raise AssayError(
            "the tracking store holds no finished experiment. Run one, or set MLFLOW_TRACKING_URI."
        )
    experiments = []
    notes = []
    for run_id in run_ids:
        try:
            experiments.append(ScoredExperiment(read_experiment(run_id)))
        except UnusableRun as error:
            notes.append(f"Left out: {error}")
    if not experiments:
        raise AssayError(" ".join(notes))
    folds = folded(experiments)
    notes += [
        f"{fold.newest.experiment.root.run_id} stands for {fold.n_repeats + 1} runs with the same "
        "settings, data and results."
        for fold in folds
        if fold.n_repeats
    ]
    return [fold.newest for fold in folds], notes


def publish(arguments: argparse.Namespace) -> None:
    """Print the table of the experiments in ``arguments.run_id`` and write its files."""
    from analysis.store.experiment import read_experiment
    from analysis.store.publish import write

    notes: list[str] = []
    if arguments.run_id == "all":
        experiments, notes = all_experiments()
    else:
        run_ids = [run_id.strip() for run_id in arguments.run_id.split(",")]
        experiments = [ScoredExperiment(read_experiment(run_id)) for run_id in run_ids]
    names = [scored.experiment.root.run_id for scored in experiments]
    if len(experiments) == 1 and arguments.run_id != "all":
        shown = brief(experiments[0])
        parts = sections(experiments[0])
        folder = names[0]
    else:
        shown = several(experiments, notes)
        parts = [shown]
        folder = f"arms-{digest(names)}"
    print(terminal(shown))
    written = {name: data for part in parts for name, data in files(part).items()}
    roots = [scored.experiment.root for scored in experiments]
    print(write(Path(arguments.workspace) / "reports" / folder, written, roots))


if __name__ == "__main__":
    run_command(parser(__doc__ or "", "an experiment; several, comma-separated; or all"), publish)
