"""What did each source of labels cost? Tables 1 and 2 of the paper for one experiment, rebuilt from the tracking store alone.

python -m analysis.arms --run_id RUN        terminal table, and CSV, PNG and HTML in outputs/reports/RUN
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.paper import paper_row
from analysis.render import describe, html_page, png_figure, terminal_table
from analysis.store import AGREEMENT, SPENT, annotator_rows, arm_row, log_report, main, read_root, replicates
from analysis.variance import PARTS, variance_rows, variance_text
from project.tracking import Record


@dataclass(frozen=True)
class Experiment:
    """One experiment as the store holds it. ``arms``: one row an arm; ``annotator``: one row an annotated split (first draw).

    ``variance``: one row a measure, where the draws and seeds of an arm are crossed.
    """

    root: Record
    config: dict[str, Any]
    label_set: tuple[str, ...]
    arms: pd.DataFrame
    annotator: pd.DataFrame
    variance: pd.DataFrame
    incomplete: tuple[str, ...]


def load_experiment(run_id: str = "") -> Experiment:
    """Read a finished or running experiment (empty: the newest finished one) and score it from its predictions."""
    stored = read_root(run_id, "experiment")
    test, config = stored.test, stored.config
    by_arm: dict[str, list[Record]] = {arm: [] for arm in config["arms"]}
    for run in stored.seeds():
        by_arm[run.params["arm"]].append(run)
    wanted = {arm: int(config["config"]["finetune"]["seeds"]) for arm in by_arm} | config.get("design", {}).get("replicates", {})
    incomplete, rows, variance = [], [], []
    for arm, runs in by_arm.items():
        found = replicates(runs, test, stored.label_set) if runs else None
        n_found = len(found.runs) if found else 0
        if n_found < wanted[arm]:
            incomplete.append(f"{arm} ({n_found} of {wanted[arm]} seeds)")
        if found:
            rows.append(arm_row(arm, found, test, stored.label_set))
            variance += variance_rows(arm, found, test, stored.label_set)
    return Experiment(stored.root, config, stored.label_set, pd.DataFrame(rows), annotator_rows(stored), pd.DataFrame(variance), tuple(incomplete))


def table(experiment: Experiment) -> pd.DataFrame:
    """The result table as shown: numbers scaled by 100 as in the paper, the paper's own rows beside ours where the task matches."""
    task, annotator = experiment.config["task"]["name"], experiment.config["config"]["annotate"]["annotator_model"]
    scaled = ["human_share", "accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd", *AGREEMENT]
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
    columns = ["labels", "kind", "n", "n_seeds", "human_labels", *SPENT, *scaled, "absent"]
    return pd.DataFrame(rows).reindex(columns=columns)


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of an experiment from the store, write it, log it to the root run, print the table and what to open."""
    experiment = load_experiment(run_id)
    config, shown, variance = experiment.config, table(experiment), variance_text(experiment.variance)
    figure = png_figure(experiment.arms)
    files = {"arms.csv": shown.to_csv(index=False, float_format="%.6g").encode(), "arms.png": figure}
    if variance:
        files["variance.csv"] = experiment.variance.to_csv(index=False, float_format="%.6g").encode()
    files["report.html"] = html_page(experiment.root, config, shown, figure, experiment.incomplete, variance).encode()
    names = ("accuracy", "macro_f1", *AGREEMENT, "human_share", "human_labels", *SPENT)
    metrics = {f"{row['arm']}.{name}": row[name] for row in experiment.arms.to_dict("records") for name in names}
    for row in experiment.variance.to_dict("records"):
        metrics |= {f"{row['arm']}.{row['measure']}.variance_{part}": row[part] for part in PARTS}
    where = log_report(experiment.root.run_id, workspace, files, describe(config, shown, experiment.incomplete, variance), {0: metrics})
    print("\n".join([terminal_table(config, shown, experiment.incomplete), *([f"\n{variance}"] if variance else []), where]))


if __name__ == "__main__":
    main(__doc__ or "", "an experiment", publish)
