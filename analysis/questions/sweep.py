"""Which label source, and how much of it? The trials of a study, and the chosen ones on test.

The report is rebuilt from the tracking store alone.

python -m analysis.questions.sweep --run_id RUN

It prints tables and writes CSV and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from analysis.questions.sweep_figure import pareto_figure, study_figures
from analysis.render.scores import (
    LIMIT_HEAD,
    interval_of,
    limit_cells,
    scaled_metrics,
    score_cells,
    score_head,
)
from analysis.render.section import Figure, Section, Table
from analysis.render.text import ORDER_NOTE, has_order, number, pair, ranged, title
from analysis.store.command import publish_command, publish_section
from project.config.arms import arm_facts
from project.config.finetune import LINEAR
from project.config.metrics import arm_metrics, score_metrics

if TYPE_CHECKING:
    from analysis.store.sweep_study import SweepStudy

QUESTION = "Which label source, and how much of it?"
_EPOCH_NOTE = "; these pick the epoch as well, which flatters all trials alike"
_NOTE = (
    "Scores and shares x 100. Trials are judged by the mean macro-F1 over sweep_seeds seeds on "
    f"gold validation labels{_EPOCH_NOTE}. human: "
    "labels by a human for each 100 training texts. LLM calls: requests for the draws behind the "
    "trial's labels, whichever trial paid for them. The highest of many validation scores is "
    "optimistic, since chance chose it too: the test scores are the result. The test split is read "
    "for the chosen trials alone, and once; mean ± sample standard deviation (ddof 1) over the "
    "seeds. limits: 95 % limits of macro-F1 over test examples and seeds; loss: macro-F1 of "
    "gold less its own; both hold for all tested trials at once."
)
_PARETO_NOTE = (
    " Chosen: the Pareto front of macro-F1, human share and LLM calls, which are the trials that "
    "no other trial beats in all three."
)
_STATE_NAMES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


def section(study: SweepStudy) -> Section:
    """The trials and, once there are any, the tested ones, with figures of the complete trials."""
    tables = [_trial_table(study)]
    if len(study.tested):
        tables.append(_tested_table(study))
    figures: list[Figure] = []
    if (study.trials["state"] == "COMPLETE").any():
        figures = study_figures(study.trials, has_several_objectives=study.has_several_objectives)
        figures.append(pareto_figure(study.trials, with_cost=study.has_prices))
    return Section("sweep", QUESTION, sentence(study), tables, figures=figures, notes=_notes(study))


def _trial_table(study: SweepStudy) -> Table:
    """The trials, the best by the single objective first."""
    names = ("validation.macro_f1", "validation.macro_f1_sd", "human_share")
    scaled = study.trials.assign(**{name: 100 * study.trials[name] for name in names})
    in_order = scaled.sort_values(["value", "number"], ascending=[False, True])
    cost = ["cost"] if study.has_prices else []
    head = [
        *("trial", "source", "share", "K", "shots", "calibration"),
        *("macro-F1", "human", "LLM calls", *cost, ""),
    ]
    rows = [_trial_cells(row, study.has_prices) for row in in_order.to_dict("records")]
    heading = f"{title(study.config)}: trials, on the validation split"
    return Table("trials", heading, head, rows, frame=study.trials)


def _trial_cells(row: Mapping[Any, Any], with_cost: bool) -> list[str]:
    """The cells of one trial; ``-`` for a setting that its source does not read."""
    facts = arm_facts(row["source"])
    outcome = "" if row["state"] == "COMPLETE" else row["state"].lower()
    if row["chosen"]:
        outcome = "chosen"
    return [
        str(row["number"]),
        row["source"],
        f"{row['replace_share']:g}" if facts.share else "-",
        str(row["ensemble_size"]) if facts.draws == "all" else "-",
        str(row["n_demonstrations"]),
        str(row["calibration"]),
        pair(row, "validation.macro_f1"),
        number(row["human_share"], 0),
        number(row["llm_calls"], 0),
        *([number(row["cost"], 4)] if with_cost else []),
        outcome,
    ]


def _tested_table(study: SweepStudy) -> Table:
    """The chosen trials, and gold, on the test split."""
    from analysis.store.arm_scores import without_lists

    ordered = has_order(study.config)
    cost = ["cost"] if study.has_prices else []
    rows = []
    scaled_rows = scaled_metrics(study.tested).to_dict("records")
    for row, scaled in zip(study.tested.to_dict("records"), scaled_rows, strict=True):
        rows.append(
            [
                str(row["trial"]) if row["trial"] >= 0 else "-",
                row["arm"],
                number(scaled["human_share"], 0),
                *(number(row[name], 4) for name in cost),
                *score_cells(scaled, ordered=ordered),
                *limit_cells(row),
            ]
        )
    head = ["trial", "labels", "human", *cost, *score_head("test ", ordered=ordered), *LIMIT_HEAD]
    frame = without_lists(study.tested)
    return Table("chosen", "chosen, on the test split", head, rows, frame=frame)


def sentence(study: SweepStudy) -> str:
    """How the trials ended, and what the best trial reaches on the test split."""
    counts = study.trials["state"].value_counts()
    states = [f"{counts[key]} {name}" for key, name in _STATE_NAMES.items() if key in counts]
    text = (
        f"{len(study.trials)} trials of the study {study.config['design']['name']}: "
        f"{', '.join(states)}."
    )
    if study.tested.empty:
        return f"{text} Nothing has been tested yet."
    trials = study.tested[study.tested["trial"] >= 0]
    if trials.empty:
        return text
    # The validation score decides, since the test split must have no part in choosing.
    in_study = study.trials.set_index("number")
    best = trials.loc[trials["trial"].map(in_study["value"]).idxmax()].to_dict()
    validation = float(in_study.loc[best["trial"], "validation.macro_f1"])
    n_complete = int((study.trials["state"] == "COMPLETE").sum())
    return f"{text} {chosen_sentence(best, validation, n_complete)}"


def chosen_sentence(best: Mapping[Any, Any], validation: float, n_trials: int) -> str:
    """What the chosen trial reaches on the test split.

    Parameters
    ----------
    best
        Its row of the tested trials.
    validation
        Its macro-F1 on the validation split, in [0, 1].
    n_trials
        Number of trials from which it was chosen.
    """
    test = interval_of(best, "macro_f1")
    loss = interval_of(best, "loss")
    against = ""
    if not math.isnan(loss.estimate):
        against = f", a loss of {ranged(loss, 100, 1)} points against gold,"
    optimistic = ""
    if n_trials > 1:
        optimistic = (
            f" Its macro-F1 on validation, {number(100 * validation)}, is optimistic: it was "
            f"chosen as the best of {n_trials} trials."
        )
    return (
        f"The best on validation, trial {best['trial']} ({best['arm']}), reaches on test a "
        f"macro-F1 of {ranged(test, 100, 1)}{against} with {best['human_labels']} human "
        f"labels.{optimistic}"
    )


def _notes(study: SweepStudy) -> list[str]:
    failed = study.trials[study.trials["state"] == "FAIL"].to_dict("records")
    reasons = "; ".join(f"{row['number']} ({row['reason']})" for row in failed)
    note = _NOTE
    if study.config["config"]["finetune"]["encoder"] == LINEAR:
        note = note.replace(_EPOCH_NOTE, "")
    return [
        note
        + (_PARETO_NOTE if study.has_several_objectives else "")
        + (ORDER_NOTE if has_order(study.config) else ""),
        f"Failed trials: {reasons}" if failed else "",
    ]


def _metrics(study: SweepStudy) -> dict[str, float]:
    """Test results by trial, for the root run."""
    ordered = has_order(study.config)
    computed = (*score_metrics(ordered=ordered), *arm_metrics(ordered=ordered))
    keys = [metric.key for metric in computed]
    metrics: dict[str, float] = {}
    for row in study.tested.to_dict("records"):
        name = "gold" if row["trial"] < 0 else f"trial_{row['trial']:03d}"
        metrics |= {f"{name}.{key}": row[key] for key in (*keys, "human_labels")}
    return metrics


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of a study, write it, log it to the root run and print it."""
    from analysis.store.root_summary import of_arms
    from analysis.store.sweep_study import read_study

    study = read_study(run_id)
    publish_section(
        section(study), study.root, workspace, {0: of_arms(study.root, _metrics(study))}, {}
    )


if __name__ == "__main__":
    publish_command(__doc__ or "", "a sweep", publish)
