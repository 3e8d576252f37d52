"""What did each source of labels cost? Tables 1 and 2 of the paper for one experiment, rebuilt from the tracking store alone.

python -m analysis.arms --run_id RUN        terminal table, and CSV, PNG and HTML in outputs/reports/RUN
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from analysis.paper import paper_row
from analysis.render import describe, html_page, png_figure, terminal_table
from project.errors import AssayError
from project.stats.agreement import krippendorff_alpha, label_counts, unchanged
from project.stats.scores import Scores, confusion, score_answers, scores, spread
from project.tables import check, codes, write_atomically
from project.tracking import Record, Tracker, children, latest_root, read_json, read_run, read_table


@dataclass(frozen=True)
class Experiment:
    """One experiment as the store holds it. ``arms``: one row an arm; ``annotator``: one row an annotated split (first draw)."""

    root: Record
    config: dict[str, Any]
    label_set: tuple[str, ...]
    arms: pd.DataFrame
    annotator: pd.DataFrame
    incomplete: tuple[str, ...]


def load_experiment(run_id: str = "") -> Experiment:
    """Read a finished or running experiment (empty: the newest finished one) and score it from its predictions."""
    root = read_run(run_id) if run_id else latest_root()
    stored = read_json(root.run_id, "config.json")
    task, config = stored["task"], stored["config"]
    label_set = tuple(task["label_set"])
    examples = check("examples", read_table(root.run_id, "examples.parquet"), label_set)
    test = examples[examples["split"] == "test"].reset_index(drop=True)
    by_arm: dict[str, list[Record]] = {arm: [] for arm in stored["arms"]}
    for run in children(root, "seed"):
        by_arm[run.params["arm"]].append(run)
    if not any(by_arm.values()):
        raise AssayError(
            f"run {root.run_id} holds no finished seed. It is no experiment, or it was stopped early; run the same command again to go on."
        )
    wanted = int(config["finetune"]["seeds"])
    incomplete = []
    rows = []
    for arm, runs in by_arm.items():
        unique = {int(run.params["seed"]): run for run in runs}
        if len(unique) < wanted:
            incomplete.append(f"{arm} ({len(unique)} of {wanted} seeds)")
        if unique:
            rows.append(_arm_row(arm, [unique[seed] for seed in sorted(unique)], test, label_set))
    return Experiment(
        root, stored, label_set, pd.DataFrame(rows), _annotator_rows(children(root, "annotation"), examples, label_set), tuple(incomplete)
    )


def _arm_row(arm: str, runs: Sequence[Record], test: pd.DataFrame, label_set: Sequence[str]) -> dict[str, Any]:
    """Scores of one arm in [0, 1]: mean and sample standard deviation (ddof 1) over seeds, agreement of the seeds."""
    gold, n_classes = codes(test["gold_label"], label_set), len(label_set)
    predicted = np.stack([_predicted(run, test, label_set) for run in runs])
    each: list[Scores] = [scores(confusion(gold, one, n_classes)) for one in predicted]
    accuracy, macro_f1 = spread([one.accuracy for one in each]), spread([one.macro_f1 for one in each])
    recall = np.where(np.bincount(gold, minlength=n_classes) > 0, np.mean([one.recall for one in each], axis=0), np.nan)
    first = runs[0]
    return {
        "arm": arm, "arm_kind": first.params["arm_kind"], "n_seeds": len(runs), "n_train": int(first.params["n_train"]),
        "human_labels": int(first.metrics["human_labels"]), "human_share": first.metrics["human_share"],
        "accuracy": accuracy.mean, "accuracy_sd": accuracy.sd, "macro_f1": macro_f1.mean, "macro_f1_sd": macro_f1.sd,
        "krippendorff_alpha": krippendorff_alpha(label_counts(predicted, n_classes)), "unchanged": unchanged(predicted),
        **{f"recall.{label}": float(value) for label, value in zip(label_set, recall, strict=True)},
        "accuracy_by_seed": [one.accuracy for one in each], "macro_f1_by_seed": [one.macro_f1 for one in each],
    }  # fmt: skip


def _predicted(run: Record, test: pd.DataFrame, label_set: Sequence[str]) -> np.ndarray:
    table = check("predictions", read_table(run.run_id, "predictions.parquet"), label_set).set_index("example_id")
    if set(table.index) != set(test["example_id"]):
        raise AssayError(f"seed run {run.run_id} ({run.name}) predicts other examples than the experiment's test split; it cannot be compared.")
    return codes(table.loc[test["example_id"], "label"], label_set)


def _annotator_rows(runs: Sequence[Record], examples: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """The annotator itself, few-shot, under its first draw: one row for each split it annotated."""
    rows = []
    for run in (run for run in runs if run.params["draw"] == "0"):
        table = check("annotations", read_table(run.run_id, "annotations.parquet"), label_set).set_index("example_id")
        if table["label"].isna().all():
            continue  # recorded labels need not cover every split
        gold = examples[examples["split"] == run.params["split"]]
        right = codes(gold["gold_label"], label_set)
        score = score_answers(right, codes(table.loc[gold["example_id"], "label"], label_set), len(label_set))
        recall = np.where(np.bincount(right, minlength=len(label_set)) > 0, score.recall, np.nan)
        rows.append({"split": run.params["split"], "n": len(gold), "accuracy": score.accuracy, "macro_f1": score.macro_f1,
                     **{f"recall.{label}": float(value) for label, value in zip(label_set, recall, strict=True)}})  # fmt: skip
    return pd.DataFrame(rows)


def table(experiment: Experiment) -> pd.DataFrame:
    """The result table as shown: numbers scaled by 100 as in the paper, the paper's own rows beside ours where the task matches."""
    task, annotator = experiment.config["task"]["name"], experiment.config["config"]["annotate"]["annotator_model"]
    scaled = ["human_share", "accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd", "krippendorff_alpha", "unchanged"]
    scaled += [f"recall.{label}" for label in experiment.label_set]
    rows: list[dict[str, Any]] = []
    for row in experiment.annotator.to_dict("records"):
        shown = {f"{key}": 100 * value if key in scaled else value for key, value in row.items()}
        rows.append({"labels": f"the LLM itself, {row['split']}", "kind": "annotator", "n": row["n"], **shown})
    for row in experiment.arms.to_dict("records"):
        ours = {key: 100 * value if key in scaled else value for key, value in row.items()}
        rows.append({"labels": row["arm"], "kind": "arm", "n": row["n_train"], **ours})
        paper = paper_row(task, str(row["arm_kind"]), annotator)
        if paper:
            who = f", {paper.annotator}" if paper.annotator else ""
            rows.append({"labels": f"  paper{who}", "kind": "paper", **paper._asdict()})
    columns = ["labels", "kind", "n", "n_seeds", "human_labels", *scaled]
    return pd.DataFrame(rows).reindex(columns=columns)


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of an experiment from the store, write it, log it to the root run, print the table and what to open."""
    experiment = load_experiment(run_id)
    shown, folder = table(experiment), Path(workspace) / "reports" / experiment.root.run_id
    figure = png_figure(experiment.arms)
    files = {
        "report/arms.csv": shown.to_csv(index=False, float_format="%.6g").encode(), "report/arms.png": figure,
        "report/report.html": html_page(experiment.root, experiment.config, shown, figure, experiment.incomplete).encode(),
    }  # fmt: skip
    for path, data in files.items():
        write_atomically(folder / Path(path).name, data)
    tracker = Tracker(experiment.root.run_id)
    tracker.log_files({path: folder / Path(path).name for path in files})
    tracker.describe(describe(experiment.config, shown, experiment.incomplete))
    for row in experiment.arms.to_dict("records"):
        names = ("accuracy", "macro_f1", "krippendorff_alpha", "unchanged", "human_share")
        tracker.log_metrics({f"{row['arm']}.{name}": row[name] for name in names})
    print(terminal_table(experiment.config, shown, experiment.incomplete))
    print(f"\nreport   {(folder / 'report.html').resolve()}\nMLflow   {tracker.open_command()}\nrun      {experiment.root.run_id}")


def main() -> None:
    """The command line of this analysis."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--run_id", default="", help="root run of an experiment [text; default: the newest finished one]")
    parser.add_argument("--workspace", default="outputs", help="folder to write below [text; default: outputs]")
    arguments = parser.parse_args()
    try:
        publish(arguments.run_id, arguments.workspace)
    except AssayError as error:
        parser.exit(2, f"error: {error}\n")


if __name__ == "__main__":
    main()
