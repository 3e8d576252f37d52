"""Which hyper-parameters? A grid search as the tracking store holds it: the choice by validation macro-F1, and the chosen ones' test scores.

python -m analysis.questions.grid --run_id RUN        terminal tables, and CSV in outputs/reports/RUN
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis.render.scores import scaled_metrics, score_cells, score_head
from analysis.render.text import markdown, pair, plain, title
from analysis.store.arm_scores import absent_note, arm_row, without_lists
from analysis.store.artifacts import broken, needs
from analysis.store.command import publish_command
from analysis.store.publish import log_report
from analysis.store.replicates import complete_replicates
from analysis.store.stored_run import StoredRun, read_root
from project.config.metrics import score_metrics
from project.stats.scores import spread
from project.support.errors import AssayError
from project.support.escape import escape_markdown
from project.tracking import Record, StoreUnavailable

SEARCHED = ("learning_rate", "train_batch_size", "epochs")
_NOTE = (
    "Chosen for each arm by the mean validation macro-F1 of the best epoch over grid_seeds seeds (ties: the earlier configuration), with the "
    "validation labels that the arm trains with; the test split is read for the chosen configurations alone. All numbers x 100; mean ± sample "
    "standard deviation (ddof 1) over the seeds, macro-F1 over the whole label set."
)


@dataclass(frozen=True)
class Search:
    """A grid search. ``tried``: one row an arm and configuration; ``tested``: one row an arm, its chosen configuration on the test split."""

    root: Record
    config: dict[str, Any]
    tried: pd.DataFrame
    tested: pd.DataFrame
    incomplete: tuple[str, ...]


def tried(stored: StoredRun) -> tuple[pd.DataFrame, list[str]]:
    """One row for every arm and configuration in the order of the grid, and the configurations that lack seeds.

    ``validation_macro_f1`` in [0, 1], mean over the seeds; ``chosen``: the arm's first with the highest, False for all while any lacks seeds.
    """
    design, runs = stored.config["design"], stored.validation_seeds()
    for run in runs:
        needs(run, {"arm": str, "seed": int, "configuration": int}, ("best_validation_macro_f1",))
    if not all(set(values) == set(SEARCHED) for values in design["grid"]):
        raise broken(
            stored.root,
            "config.json",
            f"must have {', '.join(SEARCHED)} in every configuration of design.grid",
        )
    rows, incomplete = [], []
    for arm in stored.config["arms"]:
        for place, values in enumerate(design["grid"]):
            mine = {
                run.params["seed"]: run
                for run in runs
                if run.params["arm"] == arm and int(run.params["configuration"]) == place
            }
            score = spread([run.metrics["best_validation_macro_f1"] for run in mine.values()])
            rows.append(
                {
                    "arm": arm,
                    "configuration": place,
                    **values,
                    "n_seeds": score.n,
                    "validation_macro_f1": score.mean,
                    "validation_macro_f1_sd": score.sd,
                }
            )
            if score.n < design["grid_seeds"]:
                incomplete.append(f"{_named(rows[-1])} ({score.n} of {design['grid_seeds']} seeds)")
    table = pd.DataFrame(rows)
    best = (
        table.groupby("arm")["validation_macro_f1"].transform("idxmax")
        if not incomplete
        else pd.Series(-1, index=table.index)
    )
    return table.assign(chosen=best == table.index), incomplete


def _named(row: dict[str, Any]) -> str:
    return f"{row['arm']} " + ", ".join(f"{name}={row[name]:g}" for name in SEARCHED)


def load_search(run_id: str = "") -> Search:
    """Read a finished or running grid search (empty: the newest finished one)."""
    stored = read_root(run_id, "grid")
    table, incomplete = tried(stored)
    wanted = dict.fromkeys(stored.config["arms"], int(stored.config["config"]["finetune"]["seeds"]))
    try:
        tested, lacking = complete_replicates(stored, wanted, lambda run: run.params["arm"])
    except StoreUnavailable:
        raise
    except AssayError:  # the search was stopped before anything was chosen
        tested, lacking = {}, tuple(stored.config["arms"])
    rows = []
    for arm, found in tested.items():
        needs(found.runs[0], dict.fromkeys(SEARCHED, float))
        settings = {name: float(found.runs[0].params[name]) for name in SEARCHED}
        rows.append({**arm_row(arm, found, stored.test, stored.label_set), **settings})
    return Search(
        stored.root,
        stored.config,
        table,
        pd.DataFrame(rows),
        (*incomplete, *(f"{note} on test" for note in lacking)),
    )


def tables(search: Search) -> list[tuple[list[str], list[list[str]]]]:
    """Head and rows of the search, and of the chosen configurations on the test split."""
    scaled = search.tried.assign(
        **{
            name: 100 * search.tried[name]
            for name in ("validation_macro_f1", "validation_macro_f1_sd")
        }
    )
    rows = [
        [*_settings(row), pair(row, "validation_macro_f1"), "chosen" if row["chosen"] else ""]
        for row in scaled.to_dict("records")
    ]
    made = [(["labels", "learning rate", "batch", "epochs", "validation macro-F1", ""], rows)]
    if len(search.tested):
        head = ["labels", "learning rate", "batch", "epochs", *score_head("test ")]
        best = scaled_metrics(search.tested).to_dict("records")
        made.append((head, [[*_settings(row), *score_cells(row)] for row in best]))
    return made


def _settings(row: dict[str, Any]) -> list[str]:
    return [str(row["arm"]), *(f"{row[name]:g}" for name in SEARCHED)]


def _notes(search: Search) -> list[str]:
    absent = {str(row["arm"]): str(row["absent"]) for row in search.tested.to_dict("records")}
    note = _NOTE + absent_note(search.config, absent)
    return [note + (f" INCOMPLETE: {', '.join(search.incomplete)}." if search.incomplete else "")]


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of a grid search from the store, write it, log it to the root run, print the tables and what to open."""
    search, head = load_search(run_id), ("search", "chosen, on the test split")
    files = {"search.csv": search.tried.to_csv(index=False, float_format="%.6g").encode()}
    metrics: dict[str, float] = {}
    if len(search.tested):
        shown = without_lists(search.tested)
        files["chosen.csv"] = shown.to_csv(index=False, float_format="%.6g").encode()
        metrics = {
            f"{row['arm']}.{name}": row[name]
            for row in shown.to_dict("records")
            for name in (*(metric.key for metric in score_metrics()), *SEARCHED)
        }
    made, notes = tables(search), _notes(search)
    description = "\n\n".join(
        [
            f"**{escape_markdown(title(search.config))}**",
            *(markdown(*one) for one in made),
            *map(escape_markdown, notes),
        ]
    )
    where = log_report(search.root.run_id, workspace, files, description, {0: metrics})
    print("\n\n".join(_texts(title(search.config), head, made, notes)))
    print(where)


def _texts(
    heading: str,
    parts: Sequence[str],
    made: Sequence[tuple[list[str], list[list[str]]]],
    notes: Sequence[str],
) -> list[str]:
    return [
        plain(f"{heading}: {part}", *one, notes if place == len(made) - 1 else [])
        for place, (part, one) in enumerate(zip(parts, made, strict=False))
    ]


if __name__ == "__main__":
    publish_command(__doc__ or "", "a grid", publish)
