"""Where does a human label help most? Label sources at equal human budgets, rebuilt from the tracking store alone.

python -m analysis.questions.budget --run_id RUN        terminal table, and CSV, Markdown and PNG in outputs/reports/RUN
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np
import pandas as pd

from analysis.render.figures import draw_line, measures, png, tidy
from analysis.render.scores import scaled_metrics, with_spread
from analysis.render.section import Figure, Section, Table, columns
from analysis.render.text import number, ranged, title
from analysis.store.arm_scores import absent_note, arm_row, priced, without_lists
from analysis.store.artifacts import needs, number_or_none
from analysis.store.command import section_command
from analysis.store.experiment import Experiment, ScoredPoints
from analysis.store.stored_run import checked_table
from analysis.store.fetch import table
from project.config.arms import GOLD, LLM, RANDOM, ArmFacts, arm_facts
from project.config.metrics import arm_metrics, score_metrics
from project.stats.bootstrap import Interval, gap_closed, interval
from project.tracking import Record

_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; macro-F1 over the whole label set. human: per cent "
    "of the training texts that a human labels (drop_...: that are left out). closed: share of the way from llm to gold, in macro-F1, where there "
    "is one. repaired: wrong LLM labels replaced for each human label. against random: difference in macro-F1 at the same budget. In brackets the "
    "middle 95 % of a paired bootstrap over test examples and seeds; the intervals are of single comparisons. The annotator is asked nothing anew: "
    "all sources share its answers."
)
_COST = " cost: of the human labels, the LLM's answers whoever paid for them, and one training, at the prices given; what each took is in budget.csv."


def scored(experiment: Experiment) -> ScoredPoints:
    """One point for each arm; ``share``: human labels, or texts left out, in per cent of the training texts."""
    rows = pd.DataFrame([_point(arm, experiment) for arm in experiment.arms])
    return ScoredPoints(experiment.root, experiment.config, rows, experiment.incomplete)


def _point(arm: str, experiment: Experiment) -> dict[str, Any]:
    found, scores = experiment.arms[arm], experiment.resampled
    row, first = arm_row(arm, found, experiment.test, experiment.label_set), found.runs[0]
    needs(first, {"replace_share": number_or_none})
    given = first.params["replace_share"]
    n, share = int(first.params["n_examples"]), None if given == "None" else float(given)
    dropped = arm_facts(row["arm_kind"]).drops
    used = (
        1 - row["n_train"] / n if dropped else row["human_labels"] / n
    )  # where that is an outcome
    row |= {
        "share": 100 * used if share is None else share,
        "repaired": _repaired(first, experiment),
    }
    if {"gold", "llm"} <= set(scores) and arm not in ("gold", "llm"):
        row |= columns(
            "closed",
            gap_closed(scores[arm].macro_f1, scores["llm"].macro_f1, scores["gold"].macro_f1),
        )
    rival = "random" if share is None else f"random_{share:g}"
    if rival in scores and rival != arm and row["arm_kind"] not in (GOLD, LLM):
        row |= columns("over_random", interval(scores[arm].macro_f1 - scores[rival].macro_f1))
    return row


def _interval(row: dict[str, Any], name: str) -> Interval:
    return Interval(*(row.get(f"{name}{end}", np.nan) for end in ("", "_low", "_high")))


def _repaired(run: Record, experiment: Experiment) -> float:
    """Wrong LLM labels that a human replaced, for each label that a human gave; nan where no human gave any."""
    llm, label_set = experiment.arms.get("llm"), experiment.label_set
    labels = checked_table(run, "labels", table(run, "labels.parquet"), label_set)
    human = labels[labels["source"].isin(["gold", "human"])]
    if llm is None or not len(human):
        return float("nan")
    said = checked_table(
        llm.runs[0], "labels", table(llm.runs[0], "labels.parquet"), label_set
    ).set_index("example_id")["label"]
    return float((said.reindex(human["example_id"]).to_numpy() != human["label"].to_numpy()).mean())


def cells(budget: ScoredPoints) -> tuple[list[str], list[list[str]]]:
    """The table's head and rows, x 100."""
    money = priced(budget.config)
    head = [
        "labels",
        "human",
        *(["cost"] if money else []),
        *(metric.title for metric in score_metrics()),
        "closed",
        *(metric.title for metric in arm_metrics()),
        "repaired",
        "against random",
    ]
    scaled = scaled_metrics(budget.points).to_dict("records")
    rows = []
    for row, shown in zip(budget.points.to_dict("records"), scaled, strict=True):
        rows.append(
            [
                row["arm"],
                f"{row['share']:g} %",
                *([f"{row['cost']:.4g}"] if money else []),
                *(with_spread(metric, shown) for metric in score_metrics()),
                ranged(_interval(row, "closed"), 100, 0),
                *(metric.text(shown[metric.key]) for metric in arm_metrics()),
                number(100 * row["repaired"], 0),
                ranged(_interval(row, "over_random"), 100, 1, sign=True),
            ]
        )
    return head, rows


def cheapest(budget: ScoredPoints) -> str:
    """The sentence that names the cheapest source."""
    points = budget.points
    gold = points.loc[points["arm"] == "gold", "macro_f1"]
    if gold.empty:
        return ""
    reach = float(budget.config["design"].get("reach", 95.0))  # runs of earlier versions do not say
    goal = reach / 100 * float(gold.iloc[0])
    real = points[_kinds_that(points, lambda facts: facts.remedy)]
    by = "cost" if priced(budget.config) else "human_share"
    reached = real[real["macro_f1"] >= goal].sort_values([by, "macro_f1"], ascending=[True, False])
    aim = f"{reach:g} % of gold's macro-F1 ({100 * goal:.1f})"
    if reached.empty:
        return f"No source reaches {aim} at these budgets."
    best, random = reached.iloc[0], reached[reached["arm_kind"] == RANDOM]
    if best["human_share"] == 0:
        return f"{aim} is reached without any human label, by {best['arm']}."
    beside = (
        f"random needs {_price(random.iloc[0], by)}"
        if len(random)
        else "random does not reach it at these budgets"
    )
    rival = (
        ""
        if best["arm_kind"] == RANDOM or not (points["arm_kind"] == RANDOM).any()
        else f"; {beside}"
    )
    return f"{aim} is reached cheapest by {best['arm']}, with {_price(best, by)}{rival}. Means over seeds, without regard to their spread."


def _kinds_that(points: pd.DataFrame, hold: Callable[[ArmFacts], bool]) -> pd.Series:
    """Boolean mask of the points for whose kind of arm ``hold`` is true."""
    return points["arm_kind"].map(lambda kind: hold(arm_facts(kind))).astype(bool)


def _price(row: pd.Series, by: str) -> str:
    return f"{100 * row['human_share']:.3g} % human labels" + (
        f" at a cost of {row['cost']:.4g}" if by == "cost" else ""
    )


def png_figure(points: pd.DataFrame, across: str = "share") -> bytes:
    """Both measures against the human share or the ``cost``, a line for each source in a band of one standard deviation; readable without colour."""
    figure = matplotlib.figure.Figure(figsize=(4.5 * len(measures()), 4.6), layout="constrained")
    lined = points[
        _kinds_that(points, lambda facts: facts.competes) & ~points["arm_kind"].isin([GOLD, LLM])
    ]
    counts = lined["share"].value_counts()
    for axes, (measure, words) in zip(
        figure.subplots(1, len(measures()), squeeze=False)[0], measures(), strict=True
    ):
        for place, (kind, rows) in enumerate(lined.groupby("arm_kind", sort=False)):
            draw_line(axes, place, str(kind), rows.sort_values(across), across=across, measure=measure)
        for arm, style in (("gold", (0, (6, 2))), ("llm", (0, (1, 2)))):
            for value in 100 * points.loc[points["arm"] == arm, measure]:
                axes.axhline(value, color="black", linewidth=0.9, linestyle=style, label=arm)
        _frame(axes, points, measure)
        if across == "cost":
            tidy(axes, [], "cost of labels and one training, in the unit of the prices", words)
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(6))
            continue
        axes.set_xscale("symlog", linthresh=1)
        # budgets that were asked for are shared by sources; what the ensemble used is a point of its own
        tidy(
            axes,
            sorted(counts.index[counts > 1]) or sorted(counts.index),
            "human labels, per cent of the training texts",
            words,
        )
    return png(figure)


def _frame(axes: Any, points: pd.DataFrame, measure: str) -> None:
    """Show what lies about the LLM's labels and gold; a source far below, as few human labels alone are, would press all others into one line."""
    names = [measure, f"{measure}_sd"]
    near = 100 * points.loc[_kinds_that(points, lambda facts: not facts.human_labels_alone), names]
    low, high = (
        (near[measure] - near[f"{measure}_sd"].fillna(0)).min(),
        (near[measure] + near[f"{measure}_sd"].fillna(0)).max(),
    )
    room = 0.06 * max(high - low, 1.0)
    axes.set_ylim(low - room, max(high, 100 * points[measure].max()) + room)
    if (100 * points[measure] < low - room).any():
        axes.annotate(
            "\N{DOWNWARDS ARROW} human_only lies below",
            (0.02, 0.02),
            xycoords="axes fraction",
            fontsize=8,
        )


def notes(budget: ScoredPoints) -> list[str]:
    """What stands below the table."""
    absent = {row["arm"]: row["absent"] for row in budget.points.to_dict("records")}
    lines = [
        cheapest(budget),
        _NOTE + (_COST if priced(budget.config) else ""),
        absent_note(budget.config, absent).strip(),
    ]
    return [
        lines[0],
        *(
            line
            for line in [
                *lines[1:],
                f"INCOMPLETE: {', '.join(budget.incomplete)}." if budget.incomplete else "",
            ]
            if line
        ),
    ]


def section(experiment: Experiment) -> Section:
    """The table and the curves."""
    budget = scored(experiment)
    frame = without_lists(budget.points)
    says = "Accuracy and macro-F1 against what a human labels, for each source of labels; broken lines: gold and the LLM's labels alone."
    figures = [Figure("budget", png_figure(budget.points), says)]
    if priced(budget.config):
        figures.append(
            Figure(
                "budget_cost",
                png_figure(budget.points, "cost"),
                says.replace("what a human labels", "what labels and one training cost"),
            )
        )
    lines = notes(budget)
    return Section(
        "budget",
        "Where does a human label help most?",
        lines[0],
        [Table("budget", title(budget.config), *cells(budget), frame)],
        figures,
        lines[1:],
    )


if __name__ == "__main__":
    section_command(__doc__ or "", section, "budget")
