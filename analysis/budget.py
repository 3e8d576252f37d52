"""Where does a human label help most? Label sources at equal human budgets, rebuilt from the tracking store alone.

python -m analysis.budget --run_id RUN        terminal table, and CSV and PNG in outputs/reports/RUN
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.figure
import matplotlib.ticker
import numpy as np
import pandas as pd

from analysis.lines import MEASURES, draw_line, png, tidy
from analysis.render import markdown, number, pair, plain, title
from analysis.store import SPENT, Points, Replicates, Stored, absent_note, arm_row, log_report, main, priced, read_root, replicates
from project.stats.bootstrap import macro_f1_difference
from project.tables import codes
from project.tracking import Record, read_table

_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; macro-F1 over the whole label set. human: per cent "
    "of the training texts that a human labels (drop_...: that are left out). closed: share of the way from llm to gold, in macro-F1. repaired: "
    "wrong LLM labels replaced for each human label. against random: difference in macro-F1 at the same budget, with the middle 95 % of a paired "
    "bootstrap over test examples and seeds; the intervals are of single comparisons. The annotator is asked nothing anew: all sources share its "
    "answers."
)
_COST = " cost: of the human labels, the LLM's answers whoever paid for them, and one training, at the prices given; what each took is in budget.csv."


def load_budget(run_id: str = "") -> Points:
    """Read finished or running budget curves (empty: the newest finished ones) and score them from their predictions.

    One point for each arm; ``share``: human labels, or texts left out, in per cent of the training texts.
    """
    stored = read_root(run_id, "budget")
    by_arm: dict[str, list[Record]] = {arm: [] for arm in stored.config["arms"]}
    for run in stored.seeds():
        by_arm[run.params["arm"]].append(run)
    wanted = int(stored.config["config"]["finetune"]["seeds"])
    incomplete = tuple(f"{arm} ({len(runs)} of {wanted} seeds)" for arm, runs in by_arm.items() if len(runs) < wanted)
    found = {arm: replicates(runs, stored.test, stored.label_set) for arm, runs in by_arm.items() if runs}
    points = pd.DataFrame([_point(arm, one, stored, found) for arm, one in found.items()])
    by_name = points.set_index("arm")["macro_f1"]
    if {"gold", "llm"} <= set(by_name.index):
        points["closed"] = (points["macro_f1"] - by_name["llm"]) / (by_name["gold"] - by_name["llm"])
    return Points(stored.root, stored.config, points, incomplete)


def _point(arm: str, found: Replicates, stored: Stored, others: dict[str, Replicates]) -> dict[str, Any]:
    row, first = arm_row(arm, found, stored.test, stored.label_set), found.runs[0]
    given = first.params["replace_share"]
    n, share = int(first.params["n_examples"]), None if given == "None" else float(given)
    used = 1 - row["n_train"] / n if row["arm_kind"].startswith("drop_") else row["human_labels"] / n  # where that is an outcome
    row |= {"share": 100 * used if share is None else share, "repaired": _repaired(first, others.get("llm"))}
    rival = others.get("random" if share is None else f"random_{share:g}")
    if rival and rival is not found and row["arm_kind"] not in ("gold", "llm"):
        gold = codes(stored.test["gold_label"], stored.label_set)
        apart = macro_f1_difference(gold, found.predicted, rival.predicted, len(stored.label_set))
        row |= {"over_random": apart.estimate, "over_random_low": apart.low, "over_random_high": apart.high}
    return row


def _repaired(run: Record, llm: Replicates | None) -> float:
    """Wrong LLM labels that a human replaced, for each label that a human gave; nan where no human gave any."""
    labels = read_table(run.run_id, "labels.parquet")
    human = labels[labels["source"].isin(["gold", "human"])]
    if llm is None or not len(human):
        return float("nan")
    said = read_table(llm.runs[0].run_id, "labels.parquet").set_index("example_id")["label"]
    return float((said.reindex(human["example_id"]).to_numpy() != human["label"].to_numpy()).mean())


def cells(budget: Points) -> tuple[list[str], list[list[str]]]:
    """The table's head and rows, x 100."""
    money = priced(budget.config)
    head = ["labels", "human", *(["cost"] if money else []), "accuracy", "macro-F1", "closed", "alpha_K", "unchanged", "repaired", "against random"]
    scaled = ["accuracy", "accuracy_sd", "macro_f1", "macro_f1_sd", "closed", "krippendorff_alpha", "unchanged", "repaired"]
    rows = []
    for row in budget.points.to_dict("records"):
        shown = row | {name: 100 * row[name] for name in scaled if name in row}
        against = "-"
        if not np.isnan(row.get("over_random", np.nan)):
            apart, low, high = (f"{100 * row[f'over_random{part}']:+.1f}" for part in ("", "_low", "_high"))
            against = f"{apart} [{low}, {high}]"
        rows.append(
            [
                row["arm"], f"{row['share']:g} %", *([f"{row['cost']:.4g}"] if money else []),
                pair(shown, "accuracy"), pair(shown, "macro_f1"), number(shown.get("closed"), 0),
                number(shown["krippendorff_alpha"]), number(shown["unchanged"]), number(shown["repaired"], 0), against,
            ]
        )  # fmt: skip
    return head, rows


def verdict(budget: Points) -> str:
    """The sentence that names the cheapest source."""
    points = budget.points
    gold = points.loc[points["arm"] == "gold", "macro_f1"]
    if gold.empty:
        return ""
    reach = float(budget.config["design"].get("reach", 95.0))  # runs of earlier versions do not say
    goal = reach / 100 * float(gold.iloc[0])
    real = points[~points["arm_kind"].isin(["gold", "oracle"]) & ~points["arm_kind"].str.startswith("drop_oracle")]
    by = "cost" if priced(budget.config) else "human_share"
    reached = real[real["macro_f1"] >= goal].sort_values([by, "macro_f1"], ascending=[True, False])
    aim = f"{reach:g} % of gold's macro-F1 ({100 * goal:.1f})"
    if reached.empty:
        return f"No source reaches {aim} at these budgets."
    best, random = reached.iloc[0], reached[reached["arm_kind"] == "random"]
    if best["human_share"] == 0:
        return f"{aim} is reached without any human label, by {best['arm']}."
    beside = f"random needs {_price(random.iloc[0], by)}" if len(random) else "random does not reach it at these budgets"
    rival = "" if best["arm_kind"] == "random" or not (points["arm_kind"] == "random").any() else f"; {beside}"
    return f"{aim} is reached cheapest by {best['arm']}, with {_price(best, by)}{rival}. Means over seeds, without regard to their spread."


def _price(row: pd.Series, by: str) -> str:
    return f"{100 * row['human_share']:.3g} % human labels" + (f" at a cost of {row['cost']:.4g}" if by == "cost" else "")


def png_figure(points: pd.DataFrame, across: str = "share") -> bytes:
    """Both measures against the human share or the ``cost``, a line for each source in a band of one standard deviation; readable without colour."""
    figure = matplotlib.figure.Figure(figsize=(9.0, 4.6), layout="constrained")
    lined = points[~points["arm_kind"].isin(["gold", "llm"])]
    counts = lined["share"].value_counts()
    for axes, (measure, words) in zip(figure.subplots(1, 2), MEASURES, strict=True):
        for place, (kind, rows) in enumerate(lined.groupby("arm_kind", sort=False)):
            draw_line(axes, place, str(kind), rows.sort_values(across), across, measure)
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
        tidy(axes, sorted(counts.index[counts > 1]) or sorted(counts.index), "human labels, per cent of the training texts", words)
    return png(figure)


def _frame(axes: Any, points: pd.DataFrame, measure: str) -> None:
    """Show what lies about the LLM's labels and gold; a source far below, as few human labels alone are, would press all others into one line."""
    names = [measure, f"{measure}_sd"]
    near = 100 * points.loc[points["arm_kind"] != "human_only", names]
    low, high = (near[measure] - near[f"{measure}_sd"].fillna(0)).min(), (near[measure] + near[f"{measure}_sd"].fillna(0)).max()
    room = 0.06 * max(high - low, 1.0)
    axes.set_ylim(low - room, max(high, 100 * points[measure].max()) + room)
    if (100 * points[measure] < low - room).any():
        axes.annotate("\N{DOWNWARDS ARROW} human_only lies below", (0.02, 0.02), xycoords="axes fraction", fontsize=8)


def notes(budget: Points) -> list[str]:
    """What stands below the table."""
    absent = {row["arm"]: row["absent"] for row in budget.points.to_dict("records")}
    lines = [verdict(budget), _NOTE + (_COST if priced(budget.config) else ""), absent_note(budget.config, absent).strip()]
    return [line for line in [*lines, f"INCOMPLETE: {', '.join(budget.incomplete)}." if budget.incomplete else ""] if line]


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the report of budget curves from the store, write it, log it to the root run, print the table and what to open."""
    budget = load_budget(run_id)
    head, rows = cells(budget)
    points = budget.points.drop(columns=["accuracy_by_seed", "macro_f1_by_seed"])
    files = {"budget.csv": points.to_csv(index=False, float_format="%.6g").encode(), "budget.png": png_figure(budget.points)}
    if priced(budget.config):
        files = {"budget_cost.png": png_figure(budget.points, "cost"), **files}
    names: Sequence[str] = ("accuracy", "macro_f1", "krippendorff_alpha", "unchanged", "human_labels", *SPENT)
    metrics = {f"{row['arm']}.{name}": row[name] for row in points.to_dict("records") for name in names}
    lines = notes(budget)
    description = f"**{title(budget.config)}**\n\n{markdown(head, rows)}\n\n" + "\n\n".join(lines)
    where = log_report(budget.root.run_id, workspace, files, description, {0: metrics})
    print(plain(title(budget.config), head, rows, lines))
    print(where)


if __name__ == "__main__":
    main(__doc__ or "", "a budget", publish)
