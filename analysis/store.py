"""What the analyses share: a root run and its seeds read from the store and scored, a report written back to it, one command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.errors import AssayError
from project.stats.agreement import alpha_interval, krippendorff_alpha, label_counts, unchanged_interval
from project.stats.scores import Scores, confusion, score_answers, scores, spread
from project.tables import check, codes, write_atomically
from project.tracking import ABSENT, KIND, Record, Tracker, children, latest_root, read_json, read_run, read_table

SPENT = ("llm_calls", "prompt_tokens", "generated_tokens", "annotation_seconds", "train_seconds", "cost")
"""Metrics of a seed beside ``human_labels``: what its labels and its training have taken."""


AGREEMENT = tuple(f"{name}{part}" for name in ("krippendorff_alpha", "unchanged") for part in ("", "_low", "_high"))
"""Agreement of the replicates, each with its 95 % interval over the test examples."""


@dataclass(frozen=True)
class Stored:
    """A root run, its configuration (``config.json``), and the examples that it logged."""

    root: Record
    config: dict[str, Any]
    label_set: tuple[str, ...]
    examples: pd.DataFrame

    @property
    def test(self) -> pd.DataFrame:
        """The test split, index 0..n-1."""
        return self.examples[self.examples["split"] == "test"].reset_index(drop=True)

    def seeds(self, evaluated: str = "test") -> list[Record]:
        """Its finished seed runs that predict the split ``evaluated``."""
        found = [run for run in children(self.root, "seed") if run.params.get("evaluated", "test") == evaluated]
        if not found:
            raise AssayError(
                f"run {self.root.run_id} holds no finished seed. It is no experiment, or it was stopped early; run the same command again to go on."
            )
        return found


@dataclass(frozen=True)
class Points:
    """A root run with what was scored below it: ``points``, one row each, scores in [0, 1]; ``incomplete``: what lacks seeds, by name."""

    root: Record
    config: dict[str, Any]
    points: pd.DataFrame
    incomplete: tuple[str, ...]


def read_root(run_id: str, kind: str) -> Stored:
    """A finished or running root run of ``kind`` (empty ``run_id``: the newest finished one)."""
    root = read_run(run_id) if run_id else latest_root(kind)
    found = root.tags.get(KIND, "no root run")
    if found != kind:
        raise AssayError(f"run {root.run_id} must be of the kind {kind}; it is: {found}. Name another run_id, or use the report of its kind.")
    config = read_json(root.run_id, "config.json")
    label_set = tuple(config["task"]["label_set"])
    return Stored(root, config, label_set, check("examples", read_table(root.run_id, "examples.parquet"), label_set))


@dataclass(frozen=True)
class Replicates:
    """Seed runs of one arm that differ in nothing but their replicate, and their test predictions ``(n_runs, n_examples)`` as class codes."""

    runs: Sequence[Record]
    predicted: npt.NDArray[np.int64]


def replicates(runs: Sequence[Record], test: pd.DataFrame, label_set: Sequence[str]) -> Replicates:
    """``runs``, one for each replicate and in their order, with their predictions."""
    unique = {int(run.params.get("replicate", run.params["seed"])): run for run in runs}
    kept = [unique[number] for number in sorted(unique)]
    return Replicates(kept, np.stack([_predicted(run, test, label_set) for run in kept]))


def _predicted(run: Record, test: pd.DataFrame, label_set: Sequence[str]) -> npt.NDArray[np.int64]:
    table = check("predictions", read_table(run.run_id, "predictions.parquet"), label_set).set_index("example_id")
    if set(table.index) != set(test["example_id"]):
        raise AssayError(f"seed run {run.run_id} ({run.name}) predicts other examples than the experiment's test split; it cannot be compared.")
    return codes(table.loc[test["example_id"], "label"], label_set)


def arm_row(arm: str, found: Replicates, test: pd.DataFrame, label_set: Sequence[str]) -> dict[str, Any]:
    """Scores of one arm in [0, 1]: mean and sample standard deviation (ddof 1) over its replicates, and their agreement."""
    gold, n_classes = codes(test["gold_label"], label_set), len(label_set)
    each: list[Scores] = [scores(confusion(gold, one, n_classes)) for one in found.predicted]
    accuracy, macro_f1 = spread([one.accuracy for one in each]), spread([one.macro_f1 for one in each])
    recall = np.where(np.bincount(gold, minlength=n_classes) > 0, np.mean([one.recall for one in each], axis=0), np.nan)
    first, counts = found.runs[0], label_counts(found.predicted, n_classes)
    alpha, same = alpha_interval(counts), unchanged_interval(found.predicted)
    return {
        "arm": arm, "arm_kind": first.params["arm_kind"], "n_seeds": len(found.runs), "n_train": int(first.params["n_train"]),
        "human_labels": int(first.metrics["human_labels"]), "human_share": first.metrics["human_share"],
        "accuracy": accuracy.mean, "accuracy_sd": accuracy.sd, "macro_f1": macro_f1.mean, "macro_f1_sd": macro_f1.sd,
        "krippendorff_alpha": krippendorff_alpha(counts), "krippendorff_alpha_low": alpha.low, "krippendorff_alpha_high": alpha.high,
        "unchanged": same.estimate, "unchanged_low": same.low, "unchanged_high": same.high,
        **{f"recall.{label}": float(value) for label, value in zip(label_set, recall, strict=True)}, **spending(found.runs),
        "accuracy_by_seed": [one.accuracy for one in each], "macro_f1_by_seed": [one.macro_f1 for one in each],
        "absent": first.tags.get(ABSENT, ""),
    }  # fmt: skip


def spending(runs: Sequence[Record]) -> dict[str, float]:
    """What an arm has taken (``SPENT``): its labels, and the mean over its runs of a training's seconds and the cost of both; nan where unknown."""
    return {name: float(np.mean([run.metrics.get(name, np.nan) for run in runs])) for name in SPENT}


def priced(config: Mapping[str, Any]) -> bool:
    """Whether the experiment was given any price."""
    return any(value for name, value in config["config"]["spend"].items() if name.startswith("price_"))


def annotator_rows(stored: Stored) -> pd.DataFrame:
    """The annotator itself, few-shot, under its first draw: one row for each split it annotated, scores in [0, 1]."""
    rows, label_set = [], stored.label_set
    for run in (run for run in children(stored.root, "annotation") if run.params["draw"] == "0"):
        table = check("annotations", read_table(run.run_id, "annotations.parquet"), label_set).set_index("example_id")
        if table["label"].isna().all():
            continue  # recorded labels need not cover every split
        gold = stored.examples[(stored.examples["split"] == run.params["split"]) & stored.examples["gold_label"].notna()]
        if gold.empty:
            continue
        right = codes(gold["gold_label"], label_set)
        score = score_answers(right, codes(table.loc[gold["example_id"], "label"], label_set), len(label_set))
        recall = np.where(np.bincount(right, minlength=len(label_set)) > 0, score.recall, np.nan)
        rows.append({"split": run.params["split"], "n": len(gold), "accuracy": score.accuracy, "macro_f1": score.macro_f1,
                     **{f"recall.{label}": float(value) for label, value in zip(label_set, recall, strict=True)}})  # fmt: skip
    return pd.DataFrame(rows)


def log_report(run_id: str, workspace: str, files: Mapping[str, bytes], description: str, metrics: Mapping[int, Mapping[str, float]]) -> str:
    """Write a report's files below the workspace and log them, its text and its numbers (by step) to the root run; returns what to open."""
    folder = Path(workspace) / "reports" / run_id
    for name, data in files.items():
        write_atomically(folder / name, data)
    tracker = Tracker(run_id)
    tracker.log_files({f"report/{name}": folder / name for name in files})
    tracker.describe(description)
    for step, values in metrics.items():
        tracker.log_metrics(values, step)
    return f"\nreport   {(folder / list(files)[-1]).resolve()}\nMLflow   {tracker.open_command()}\nrun      {run_id}"


def absent_note(config: Mapping[str, Any], absent: Mapping[str, str]) -> str:
    """What a reader must know of classes without examples or training labels; ``absent``: the classes of every row that lacks some."""
    parts = [str(note).rstrip(".") for note in config["task"].get("notes", [])]
    found = "; ".join(f"{name}: {classes}" for name, classes in absent.items() if classes)
    if found:
        parts.append(f"classes without any training label ({found}), which macro-F1 counts all the same")
    return f" Mind: {'. '.join(parts)}." if parts else ""


def main(description: str, kind: str, publish: Callable[[str, str], None]) -> None:
    """The command line of an analysis."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--run_id", default="", help=f"root run, {kind} [text; default: the newest finished one]")
    parser.add_argument("--workspace", default="outputs", help="folder to write below [text; default: outputs]")
    arguments = parser.parse_args()
    try:
        publish(arguments.run_id, arguments.workspace)
    except AssayError as error:
        parser.exit(2, f"error: {error}\n")
