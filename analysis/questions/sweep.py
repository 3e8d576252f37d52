"""Which label source, how much of it? A study of Optuna as the tracking store holds it: its trials, and the chosen ones on the test split.

python -m analysis.questions.sweep --run_id RUN        terminal tables, and CSV and PNG in outputs/reports/RUN
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib.figure
import pandas as pd

from analysis.render.figures import look, png
from analysis.render.scores import scaled_metrics, score_cells, score_head
from analysis.render.study_figures import figures
from analysis.render.text import markdown, number, pair, plain, title
from analysis.store.arm_scores import arm_row, priced, without_lists
from analysis.store.artifacts import needs
from analysis.store.command import publish_command
from analysis.store.publish import log_report
from analysis.store.replicates import check_seed, read_replicates
from analysis.store.stored_run import read_root
from project.config.arms import arm_facts
from project.config.metrics import arm_metrics, score_metrics
from project.support.escape import escape_markdown
from project.tracking import CHOSEN, TRIAL_STATE, Record, children, study_runs

PARTS = ("source", "replace_share", "ensemble_size", "n_demonstrations", "calibration")
_NUMBERS = (
    "validation.macro_f1",
    "validation.macro_f1_sd",
    "human_share",
    "human_labels",
    "llm_calls",
    "cost",
)
_NOTE = (
    "Scores and shares x 100. Trials are judged by the mean macro-F1 over sweep_seeds seeds on gold validation labels, which pick the epoch as well, "
    "which flatters all alike. human: labels by a human for each 100 training texts. LLM calls: requests for the draws behind the trial's labels, "
    "whoever paid. The test split is read for the chosen trials alone, and once; mean ± sample standard deviation (ddof 1) over the seeds."
)
_PARETO = " Chosen: all trials that no other one beats in macro-F1, human share and LLM calls together (the Pareto front)."


@dataclass(frozen=True)
class Study:
    """A study's trials, of all its workers, and its chosen ones as tested: one row each, scores in [0, 1].

    ``value`` of a trial: what a single objective maximises, in points (x 100); ``chosen``: it was tested.
    """

    root: Record
    config: dict[str, Any]
    trials: pd.DataFrame
    tested: pd.DataFrame

    @property
    def many(self) -> bool:
        """Whether it has several objectives."""
        return bool(self.config["design"]["sweep"]["objective"] == "pareto")


def load_study(run_id: str = "") -> Study:
    """Read the study that a worker's root run belongs to, finished or running (empty: of the newest finished one)."""
    stored = read_root(run_id, "sweep")
    study_id = stored.config["design"]["study"]
    told = [
        run for run in study_runs(study_id, "trial") if "source" in run.params
    ]  # another worker may be writing one now
    trials = pd.DataFrame(
        [_trial(run) for run in told],
        columns=["number", "state", *PARTS, *_NUMBERS, "value", "reason"],
    )
    trials = (
        trials.sort_values("number").drop_duplicates("number", keep="last").reset_index(drop=True)
    )
    by_name: dict[tuple[int, str], list[Record]] = {}
    last = [root for root in study_runs(study_id, "sweep") if CHOSEN in root.tags][
        -1:
    ]  # a study that was given more trials chooses anew
    for root in last:
        for run in (run for run in children(root, "seed") if run.params.get("evaluated") == "test"):
            check_seed(run)
            by_name.setdefault((int(run.params.get("trial", -1)), run.params["arm"]), []).append(
                run
            )
    unique = {
        key: list(
            {run.params.get("replicate", run.params["seed"]): run for run in by_name[key]}.values()
        )
        for key in sorted(by_name)
    }
    found = read_replicates(unique, stored.test, stored.label_set)
    rows = [
        {"trial": trial, **arm_row(arm, one, stored.test, stored.label_set)}
        for (trial, arm), one in found.items()
    ]
    return Study(
        stored.root,
        stored.config,
        trials.assign(chosen=trials["number"].isin({row["trial"] for row in rows})),
        pd.DataFrame(rows),
    )


def _trial(run: Record) -> dict[str, Any]:
    needs(
        run,
        {
            **dict.fromkeys(PARTS, str),
            "replace_share": float,
            "ensemble_size": int,
            "n_demonstrations": int,
            "trial": int,
        },
    )
    parts: dict[str, Any] = {name: run.params[name] for name in PARTS}
    parts |= {
        "replace_share": float(parts["replace_share"]),
        **{name: int(parts[name]) for name in ("ensemble_size", "n_demonstrations")},
    }
    numbers = {name: run.metrics.get(name, float("nan")) for name in _NUMBERS} | {
        "value": run.metrics.get("objective", float("nan"))
    }
    state, reason = run.tags.get(TRIAL_STATE, ""), run.tags.get("assay.reason", "")
    state = state if state in ("COMPLETE", "PRUNED") else "FAIL"
    return {
        "number": int(run.params["trial"]),
        "state": state,
        **parts,
        **numbers,
        "reason": reason,
    }


def trial_cells(study: Study) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the trials, the best first."""
    money = priced(study.config)
    head = [
        "trial",
        "source",
        "share",
        "K",
        "shots",
        "calibration",
        "macro-F1",
        "human",
        "LLM calls",
        *(["cost"] if money else []),
        "",
    ]
    scaled = study.trials.assign(
        **{
            name: 100 * study.trials[name]
            for name in ("validation.macro_f1", "validation.macro_f1_sd", "human_share")
        }
    )
    rows = []
    for row in scaled.sort_values(["value", "number"], ascending=[False, True]).to_dict("records"):
        end = (
            "chosen"
            if row["chosen"]
            else ""
            if row["state"] == "COMPLETE"
            else row["state"].lower()
        )
        kind = row["source"]  # what its source does not look at stands there for nothing
        share, size = (
            f"{row['replace_share']:g}" if arm_facts(kind).share else "-",
            str(row["ensemble_size"]) if arm_facts(kind).draws == "all" else "-",
        )
        setting = [share, size, *(str(row[name]) for name in PARTS[3:])]
        money_cells = [number(row["cost"], 4)] if money else []
        rows.append(
            [
                str(row["number"]),
                row["source"],
                *setting,
                pair(row, "validation.macro_f1"),
                number(row["human_share"], 0),
                number(row["llm_calls"], 0),
                *money_cells,
                end,
            ]
        )
    return head, rows


def tested_cells(study: Study) -> tuple[list[str], list[list[str]]]:
    """Head and rows of the chosen trials, and gold, on the test split."""
    money = priced(study.config)
    head = [
        "trial",
        "labels",
        "human",
        *(["cost"] if money else []),
        *score_head("test "),
    ]
    if study.tested.empty:
        return head, []
    scaled = scaled_metrics(study.tested)
    rows = [
        [
            "-" if row["trial"] < 0 else str(row["trial"]),
            row["arm"],
            number(row["human_share"], 0),
            *([number(row["cost"], 4)] if money else []),
            *score_cells(row),
        ]
        for row in scaled.to_dict("records")
    ]
    return head, rows


def sentence(study: Study) -> str:
    """What was found, in words."""
    states = study.trials["state"].value_counts()
    counted = ", ".join(
        f"{states[state]} {words}"
        for state, words in (("COMPLETE", "complete"), ("PRUNED", "pruned"), ("FAIL", "failed"))
        if state in states
    )
    text = f"{len(study.trials)} trials of the study {study.config['design']['name']}: {counted}."
    if study.tested.empty:
        return f"{text} Nothing has been tested yet."
    gold, trials = study.tested[study.tested["trial"] < 0], study.tested[study.tested["trial"] >= 0]
    if gold.empty or trials.empty:
        return text
    values = study.trials.set_index("number")["value"]
    best = trials.loc[
        trials["trial"].map(values).idxmax()
    ]  # the test split has no part in choosing
    reached = 100 * best["macro_f1"] / float(gold["macro_f1"].iloc[0])
    found = f"{reached:.0f} % of gold's macro-F1, {best['human_labels']} human labels"
    return f"{text} The best on validation, trial {best['trial']} ({best['arm']}), reaches on test {found}."


def pareto_figure(study: Study) -> matplotlib.figure.Figure:
    """Validation macro-F1 against what a trial takes: human labels, LLM calls and, where prices are given, money; chosen trials are filled."""
    panels = [
        ("human_share", 100.0, "human labels for 100 training texts"),
        ("llm_calls", 1.0, "LLM calls"),
    ]
    panels += [("cost", 1.0, "cost, in the unit of the prices")] if priced(study.config) else []
    figure = matplotlib.figure.Figure(figsize=(4.6 * len(panels), 4.4), layout="constrained")
    complete = study.trials[study.trials["state"] == "COMPLETE"]
    for axes, (name, scale, words) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        for place, (source, rows) in enumerate(complete.groupby("source", sort=False)):
            mark, _, colour = look(place)
            for row in rows.to_dict("records"):
                at, value, sd = (
                    scale * row[name],
                    100 * row["validation.macro_f1"],
                    100 * row["validation.macro_f1_sd"],
                )
                axes.errorbar(
                    at, value, yerr=None if sd != sd else sd, color=colour, alpha=0.35, linewidth=1
                )
                axes.plot(
                    at,
                    value,
                    mark,
                    color=colour,
                    markerfacecolor=colour if row["chosen"] else "none",
                    markersize=7,
                )
                if row["chosen"]:
                    axes.annotate(
                        str(row["number"]),
                        (at, value),
                        xytext=(6, 4),
                        textcoords="offset points",
                        fontsize=8,
                    )
            axes.plot([], [], mark, color=colour, label=str(source))
        axes.set_xlabel(words)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("validation macro-F1 x 100, mean ± sd over seeds")
    return figure


def notes(study: Study) -> list[str]:
    """What stands below the tables."""
    lost = [
        f"{row['number']} ({row['reason']})"
        for row in study.trials.to_dict("records")
        if row["state"] == "FAIL"
    ]
    return [
        sentence(study),
        _NOTE + (_PARETO if study.many else ""),
        f"Failed trials: {'; '.join(lost)}" if lost else "",
    ]


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of a study from the store, write it, log it to the root run, print the tables and what to open."""
    study = load_study(run_id)
    parts, made, lines = (
        ("trials, on the validation split", "chosen, on the test split"),
        (trial_cells(study), tested_cells(study)),
        notes(study),
    )
    files = {"trials.csv": study.trials.to_csv(index=False, float_format="%.6g").encode()}
    metrics: dict[str, float] = {}
    if len(study.tested):
        shown = without_lists(study.tested)
        files["chosen.csv"] = shown.to_csv(index=False, float_format="%.6g").encode()
        for row in shown.to_dict("records"):
            name = "gold" if row["trial"] < 0 else f"trial_{row['trial']:03d}"
            metrics |= {
                f"{name}.{measure}": row[measure]
                for measure in (
                    *(metric.key for metric in (*score_metrics(), *arm_metrics())),
                    "human_labels",
                )
            }
    if (study.trials["state"] == "COMPLETE").any():
        files |= {
            name: png(figure, legend=False)
            for name, figure in figures(study.trials, PARTS, many=study.many).items()
        }
        files["pareto.png"] = png(pareto_figure(study))
    description = "\n\n".join(
        [
            f"**{escape_markdown(title(study.config))}**",
            *(markdown(*one) for one in made if one[1]),
            *map(escape_markdown, lines),
        ]
    )
    where = log_report(study.root.run_id, workspace, files, description, {0: metrics})
    heading = title(study.config)
    tables = [(part, one) for part, one in zip(parts, made, strict=True) if one[1]]
    print(
        "\n\n".join(
            plain(f"{heading}: {part}", *one, lines if part == tables[-1][0] else [])
            for part, one in tables
        )
    )
    print(where)


if __name__ == "__main__":
    publish_command(__doc__ or "", "a sweep", publish)
