"""What did each source of labels cost? Tables 1 and 2 of the paper for one experiment or several, rebuilt from the tracking store alone.

python -m analysis.questions.arms --run_id RUN          terminal table, and CSV, Markdown and PNG in outputs/reports/RUN
python -m analysis.questions.arms --run_id RUN,RUN      several tasks or annotators in one table
python -m analysis.questions.arms --run_id all          the newest experiment of every task and annotator in the store
"""

from __future__ import annotations

import argparse
import functools
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.figure
import pandas as pd

from analysis.questions.paper import CITATION, paper_row
from analysis.questions.variance import variance_rows, variance_table
from analysis.render.section import Figure, Section, Table, files, terminal
from analysis.render.text import number, pair, replicate_of, title
from analysis.store.experiment import (
    AGREEMENT,
    SPENT,
    Experiment,
    absent_note,
    annotator_rows,
    arm_row,
    read_experiment,
)
from analysis.store.publish import parser, run, write
from project.support.errors import AssayError
from project.support.files import digest
from project.tracking import StoreUnavailable, newest_first

SPENDING_NOTE = (
    "Of the training labels of an arm, whoever paid for them and when: labels by a human, requests to the LLM, the tokens of all requests, seconds "
    "of annotation; seconds of one training, mean over the seeds; cost at the prices given, of the labels and one training."
)
_REPLICATES = {
    "training": ("seeds", "seed", ""),
    "pipeline": (
        "replicates",
        "replicate",
        " Replicate r of llm and entropy has demonstrations and labels of its own, draw r, and seed r; the other arms have one label file, "
        "and their replicates differ in the seed alone.",
    ),
    "crossed": (
        "replicates",
        "replicate",
        " The replicates of llm are all draws with all seeds; those of the other arms differ in the seed alone.",
    ),
}
_INTERVALS = "In brackets 95 % intervals over the test examples, the replicates taken as they are: a bootstrap for alpha_K, Wilson's for unchanged. "
_ONE_EACH = ("task", "data", "annotator", "annotator_model", "recorded_columns")
_UNDEFINED = " undefined: all replicates give all examples one class, where alpha has no value."


@dataclass(frozen=True)
class Arms:
    """An experiment scored. ``arms``: one row an arm; ``annotator``: one row an annotated split (first draw).

    ``variance``: one row a measure, where the draws and seeds of an arm are crossed.
    """

    experiment: Experiment

    @property
    def config(self) -> dict[str, Any]:
        """The experiment's."""
        return self.experiment.config

    @functools.cached_property
    def arms(self) -> pd.DataFrame:
        """Scores in [0, 1]."""
        return pd.DataFrame(
            [
                arm_row(arm, found, self.experiment.test, self.experiment.label_set)
                for arm, found in self.experiment.arms.items()
            ]
        )

    @functools.cached_property
    def annotator(self) -> pd.DataFrame:
        """Scores in [0, 1]."""
        return annotator_rows(self.experiment)

    @functools.cached_property
    def variance(self) -> pd.DataFrame:
        """Components as computed."""
        found = self.experiment
        return pd.DataFrame(
            [
                row
                for arm, one in found.arms.items()
                for row in variance_rows(arm, one, found.test, found.label_set)
            ]
        )


def table(scored: Arms) -> pd.DataFrame:
    """The result table as shown: numbers scaled by 100 as in the paper, the paper's own rows beside ours where the task matches."""
    task, annotator = (
        scored.config["task"]["name"],
        scored.config["config"]["annotate"]["annotator_model"],
    )
    scaled = ["human_share", "accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd", *AGREEMENT]
    scaled += [f"recall.{label}" for label in scored.experiment.label_set]
    rows: list[dict[str, Any]] = []
    for row in scored.annotator.to_dict("records"):
        shown = {f"{key}": 100 * value if key in scaled else value for key, value in row.items()}
        rows.append(
            {
                "labels": f"the LLM itself, {row['split']}",
                "kind": "annotator",
                "n": row["n"],
                **shown,
            }
        )
    for row in scored.arms.to_dict("records"):
        ours = {key: 100 * value if key in scaled else value for key, value in row.items()}
        rows.append({"labels": row["arm"], "kind": "arm", "n": row["n_train"], **ours})
        paper = paper_row(task, str(row["arm_kind"]), annotator)
        if paper:
            who = f", {paper.annotator}" if paper.annotator else ""
            rows.append({"labels": f"  paper{who}", "kind": "paper", **paper._asdict()})
    columns = ["labels", "kind", "n", "n_seeds", "human_labels", *SPENT, *scaled, "absent"]
    return pd.DataFrame(rows).reindex(columns=columns)


def _caption(config: Mapping[str, Any]) -> str:
    many, one, more = _REPLICATES[replicate_of(config)]
    return (
        f"Test split; all numbers x 100. Mean and, behind it, sample standard deviation (ddof 1) over the {many}; macro-F1 over the whole label set. "
        f"alpha_K: Krippendorff's alpha (nominal) with the {many} as raters. unchanged: examples that every {one} labels alike. "
        f"human: training labels a human gave.{more} "
    )


def _human(row: Mapping[str, Any]) -> str:
    return (
        "-"
        if math.isnan(row["human_labels"])
        else f"{int(row['human_labels'])} ({number(row['human_share'], 0)} %)"
    )


def _agreement(row: Mapping[str, Any], name: str, *, intervals: bool) -> str:
    if row["kind"] == "arm" and row["n_seeds"] > 1 and math.isnan(row[name]):
        return "undefined"
    low, high = number(row.get(f"{name}_low")), number(row.get(f"{name}_high"))
    return (
        number(row[name]) if not intervals or low == "-" else f"{number(row[name])} [{low}, {high}]"
    )


def spending_cells(shown: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Head and rows of what every arm has taken."""
    head = [
        "labels",
        "human labels",
        "LLM calls",
        "prompt tokens",
        "generated",
        "s to annotate",
        "s to train",
        "cost",
    ]
    digits = (0, 0, 0, 0, 0, 1, 4)
    return head, [
        [
            str(row["labels"]),
            *(
                number(row[name], n)
                for name, n in zip(("human_labels", *SPENT), digits, strict=True)
            ),
        ]
        for row in shown[shown["kind"] == "arm"].to_dict("records")
    ]


def cells(shown: pd.DataFrame, *, intervals: bool = False) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the result table; ``intervals``: with those of the agreement."""
    head = ["labels", "n", "human", "accuracy", "macro-F1", "alpha_K", "unchanged"]
    rows = [
        [
            str(row["labels"]),
            number(row["n"], 0),
            _human(row),
            pair(row, "accuracy"),
            pair(row, "macro_f1"),
            *(
                _agreement(row, name, intervals=intervals)
                for name in ("krippendorff_alpha", "unchanged")
            ),
        ]
        for row in shown.to_dict("records")
    ]
    return head, rows


def summary(shown: pd.DataFrame) -> str:
    """One sentence on what the LLM's labels cost, from the table's own numbers; empty where an arm is missing."""
    ours = shown[shown["kind"] == "arm"].set_index("labels")
    if not {"gold", "llm"} <= set(ours.index):
        return ""
    gold, llm = ours.loc["gold"], ours.loc["llm"]
    parts = [
        f"{_change(gold[name], llm[name])} {words}"
        for name, words in (("accuracy", "accuracy"), ("macro_f1", "macro-F1"))
    ]
    sentence = f"Against gold labels, training on the LLM's labels changes the mean by {' and '.join(parts)} points"
    if math.isnan(llm["unchanged"]):
        return f"{sentence}."
    return f"{sentence}, and the share of test examples that all seeds label alike from {number(gold['unchanged'])} to {number(llm['unchanged'])} %."


def _change(before: float, after: float) -> str:
    return f"{after - before:+.1f}".replace("-", "\N{MINUS SIGN}")


def _footnote(config: Mapping[str, Any], shown: pd.DataFrame, incomplete: Sequence[str]) -> str:
    stages, counts = config["config"], config["task"]["counts"]
    shots, draws = stages["prompt"]["n_demonstrations"], stages["prompt"]["ensemble_size"]
    also = []
    recorded = stages["annotate"].get("annotator") == "recorded"
    if config["models"]["annotator"] and shots and not recorded:
        also.append(f"{shots} demonstrations in every draw (1 draw; {draws} for the ensemble)")
    if stages["finetune"]["validation_labels"] == "gold":
        also.append(
            f"the {counts.get('validation', 0)} validation labels that pick the best epoch of every arm"
        )
    else:
        also.append("the gold labels that repair an arm's validation labels")
    note = f"Human-labelled and not counted there: {', and '.join(also)}."
    if recorded:
        note += " Whatever human labels the recorded ones were made with is not known here."
    if (shown["kind"] == "paper").any() and shown["labels"].str.startswith("entropy").any():
        note += " The paper's numbers for entropy stand under every share, since it does not say which share they are for."
    absent = shown[shown["kind"] == "arm"].set_index("labels")["absent"]
    note += absent_note(config, {str(name): str(classes) for name, classes in absent.items()})
    return note + (f" INCOMPLETE: {', '.join(incomplete)}." if incomplete else "")


def caption(scored: Arms, shown: pd.DataFrame) -> str:
    """What to know of the table."""
    ours = shown[shown["kind"] == "arm"]
    undefined = (
        _UNDEFINED if (ours["krippendorff_alpha"].isna() & (ours["n_seeds"] > 1)).any() else ""
    )
    paper = (
        f" Rows in italics: {CITATION}; RoBERTa-base." if (shown["kind"] == "paper").any() else ""
    )
    return (
        _caption(scored.config)
        + _footnote(scored.config, shown, scored.experiment.incomplete)
        + undefined
        + paper
    )


def sections(scored: Arms) -> list[Section]:
    """The result table with its figure, the recall of each class, where the spread comes from, what it took."""
    shown = table(scored)
    ours, arms = shown[shown["kind"] != "paper"], shown[shown["kind"] == "arm"]
    main = Table(
        "arms",
        title(scored.config),
        *cells(shown, intervals=True),
        shown,
        [_INTERVALS + caption(scored, shown)],
        list(shown["kind"]),
    )
    says = "Scores of every seed, and agreement of the seeds. The further the dots of an arm lie apart, the less one training can be trusted."
    recalls = [column for column in shown.columns if column.startswith("recall.")]
    recall_rows = [
        [str(row["labels"]), *(number(row[column]) for column in recalls)]
        for row in ours.to_dict("records")
    ]
    recall = Table(
        "recall",
        "Recall of each class",
        ["labels", *(name.removeprefix("recall.") for name in recalls)],
        recall_rows,
        ours[["labels", *recalls]],
        kinds=list(ours["kind"]),
    )
    spent = Table(
        "spent",
        "",
        *spending_cells(shown),
        arms[["labels", "human_labels", *SPENT]],
        [SPENDING_NOTE],
        kinds=["arm"] * len(arms),
    )
    first = Section(
        "arms",
        "What does each source of labels cost?",
        summary(shown),
        [main, recall],
        [Figure("arms", png_figure(scored.arms), says)],
    )
    crossed = [variance_table(scored.variance)] if len(scored.variance) else []
    more = [Section("variance", "Where does the spread come from?", "", crossed)] if crossed else []
    return [first, *more, Section("spent", "What did it take?", "", [spent])]


def brief(scored: Arms) -> Section:
    """The result table as the terminal and the run's description show it."""
    shown = table(scored)
    tables = [Table("arms", title(scored.config), *cells(shown), shown, kinds=list(shown["kind"]))]
    if len(scored.variance):
        tables.append(variance_table(scored.variance))
    return Section("arms", "", summary(shown), tables, notes=[caption(scored, shown)])


def several(found: Sequence[Arms], notes: Sequence[str] = ()) -> Section:
    """The tables of several experiments as one, each row with its task and annotator."""
    parts = []
    for one in found:
        shown = table(one)
        who = one.config["models"]["annotator"] or "-"
        shown.insert(0, "annotator", who)
        shown.insert(0, "task", one.config["task"]["name"])
        parts.append(shown)
    whole = pd.concat(parts, ignore_index=True)
    head, rows = cells(whole)
    made = [
        [str(row["task"]), str(row["annotator"]), *line]
        for row, line in zip(whole.to_dict("records"), rows, strict=True)
    ]
    table_ = Table(
        "tables",
        "Tasks, annotators and arms",
        ["task", "annotator", *head],
        made,
        whole,
        kinds=list(whole["kind"]),
    )
    incomplete = [
        f"{one.experiment.root.run_id}: {', '.join(one.experiment.incomplete)}"
        for one in found
        if one.experiment.incomplete
    ]
    runs = ", ".join(f"{one.config['task']['name']} {one.experiment.root.run_id}" for one in found)
    return Section(
        "tables",
        "",
        "",
        [table_],
        notes=[f"Runs: {runs}.", *(f"INCOMPLETE: {note}." for note in incomplete), *notes],
    )


def png_figure(arms: pd.DataFrame) -> bytes:
    """Every seed's accuracy and macro-F1 for each arm, and the seeds' agreement; readable without colour."""
    figure = matplotlib.figure.Figure(figsize=(8.6, 0.9 + 0.55 * len(arms)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(arms))
    for name, mark, shift, colour in (
        ("accuracy", "o", -0.13, "#1f5a99"),
        ("macro_f1", "D", 0.13, "#b5530f"),
    ):
        for place, row in zip(places, arms.to_dict("records"), strict=True):
            values = [100 * value for value in row[f"{name}_by_seed"]]
            left.plot(
                values,
                [place + shift] * len(values),
                mark,
                color=colour,
                alpha=0.45,
                markersize=4,
                linestyle="none",
            )
            left.plot(
                [100 * row[name]] * 2,
                [place + shift - 0.11, place + shift + 0.11],
                color=colour,
                linewidth=2.5,
            )
        left.plot([], [], mark, color=colour, label=name.replace("macro_f1", "macro-F1"))
    for name, mark, colour in (
        ("krippendorff_alpha", "s", "#333333"),
        ("unchanged", "^", "#7a3b8f"),
    ):
        right.plot(
            100 * arms[name],
            places,
            mark,
            color=colour,
            markersize=7,
            label=name.replace("krippendorff_alpha", "Krippendorff's alpha"),
        )
    labels = [f"{row['arm']}\n{row['human_labels']} human" for row in arms.to_dict("records")]
    left.set_yticks(list(places), labels)
    left.invert_yaxis()
    left.set_xlabel("score x 100 (dots: seeds, bar: mean)")
    right.set_xlabel("agreement of the seeds x 100")
    for axes in (left, right):
        axes.grid(axis="x", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 1.0 + 0.9 / (1 + len(arms))),
            ncols=2,
            frameon=False,
        )
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def newest() -> tuple[list[Arms], list[str]]:
    """The newest finished experiment of every task and annotator in the store, and why some cannot be read."""
    found: dict[tuple[str, ...], str] = {}
    for page in newest_first("experiment", page=200):
        for root in page:
            found.setdefault(
                tuple(
                    root.params.get(name, "")
                    for name in ("task", "data", "annotator", "annotator_model", "recorded_columns")
                ),
                root.run_id,
            )
    if not found:
        raise AssayError(
            "the tracking store holds no finished experiment. Run one, or set MLFLOW_TRACKING_URI."
        )
    read, notes = [], []
    for name in sorted(found.values()):
        try:
            read.append(Arms(read_experiment(name)))
        except StoreUnavailable:
            raise
        except AssayError as error:
            notes.append(f"Left out: {error}")
    if not read:
        raise AssayError(" ".join(notes))
    return read, notes


def tell(given: argparse.Namespace) -> None:
    """Print the table or tables, and write them."""
    notes: list[str] = []
    if given.run_id == "all":
        found, notes = newest()
    else:
        found = [Arms(read_experiment(name.strip())) for name in given.run_id.split(",")]
    names = [one.experiment.root.run_id for one in found]
    alone = len(found) == 1 and given.run_id != "all"
    shown = brief(found[0]) if alone else several(found, notes)
    parts = sections(found[0]) if alone else [shown]
    print(terminal(shown))
    folder = Path(given.workspace) / "reports" / (names[0] if alone else f"arms-{digest(names)}")
    print(
        write(
            folder,
            {name: data for part in parts for name, data in files(part).items()},
            [one.experiment.root for one in found],
        )
    )


if __name__ == "__main__":
    run(parser(__doc__ or "", "an experiment; several, comma-separated; or all"), tell)
