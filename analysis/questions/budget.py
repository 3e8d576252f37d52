"""Where does a human label help most? Label sources at equal human budgets.

The report is rebuilt from the tracking store alone.

python -m analysis.questions.budget --run_id RUN

It prints a table and writes CSV, Markdown and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.questions.budget_figure import budget_figure, kinds_with
from analysis.render.scores import scaled_metrics, with_spread
from analysis.render.section import Section, Table, columns
from analysis.render.text import number, ranged, title
from analysis.store.command import section_command
from analysis.store.root_results import ScoredPoints
from project.config.arms import GOLD, LLM, RANDOM, arm_facts
from project.config.metrics import arm_metrics, score_metrics
from project.stats.bootstrap import Interval, gap_closed, interval

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.experiment import Experiment
    from project.tracking import Record

QUESTION = "Where does a human label help most?"
_DEFAULT_REACH = 95.0
"""Per cent of gold's macro-F1 to reach, for runs of versions that did not store it."""
_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; "
    "macro-F1 over the whole label set. human: per cent of the training texts that a human labels "
    "(drop_...: that are left out). closed: share of the way from llm to gold, in macro-F1, if "
    "there is a gap. repaired: wrong LLM labels replaced for each human label. against random: "
    "difference in macro-F1 at the same budget. In brackets the middle 95 % of a paired bootstrap "
    "over test examples and seeds; each interval is for one comparison by itself. The annotator "
    "gives no new answers: all sources share the same ones."
)
_COST_NOTE = (
    " cost: of the human labels, of the LLM's answers, paid now or earlier, and of one training, "
    "at the given prices; budget.csv has the quantities."
)


def section(experiment: Experiment) -> Section:
    """The table of all sources, the cheapest one, and the curves."""
    from analysis.store.arm_scores import absent_note, priced, without_lists

    budget = budget_points(experiment)
    figures = [budget_figure(budget.points)]
    if priced(budget.config):
        figures.append(budget_figure(budget.points, "cost"))
    absent = {row["arm"]: row["absent"] for row in budget.points.to_dict("records")}
    notes = [
        _NOTE + (_COST_NOTE if priced(budget.config) else ""),
        absent_note(budget.config, absent).strip(),
        f"INCOMPLETE: {', '.join(budget.incomplete)}." if budget.incomplete else "",
    ]
    head, rows = _cells(budget)
    frame = without_lists(budget.points)
    return Section(
        "budget",
        QUESTION,
        cheapest(budget),
        [Table("budget", title(budget.config), head, rows, frame=frame)],
        figures=figures,
        notes=[note for note in notes if note],
    )


def budget_points(experiment: Experiment) -> ScoredPoints:
    """The scores of every arm, with its budget and how it compares with other arms.

    Columns beside those of :func:`analysis.store.arm_scores.arm_row`:

    - ``share``: human labels, or left-out texts, in per cent of the training texts
    - ``repaired``: wrong LLM labels replaced for each human label
    - ``closed``: share of the way from llm to gold in macro-F1, with limits
    - ``over_random``: macro-F1 less that of random at the same budget, with limits

    The last two are missing if the arms to compare with are.
    """
    import pandas as pd

    rows = [_point(arm, experiment) for arm in experiment.arms]
    return ScoredPoints(
        experiment.root, experiment.config, experiment.incomplete, pd.DataFrame(rows)
    )


def _point(arm: str, experiment: Experiment) -> dict[str, Any]:
    from analysis.store.arm_scores import arm_row
    from analysis.store.artifacts import needs, number_or_none

    first = experiment.arms[arm].runs[0]
    needs(first, {"replace_share": number_or_none})
    row = arm_row(arm, experiment.arms[arm], experiment.test, experiment.label_set)
    replace_share = number_or_none(first.params["replace_share"])
    row["share"] = _used_share(row, first) if replace_share is None else replace_share
    row["repaired"] = _repaired(first, experiment)
    # Comparisons are paired: all arms are scored on the same resampled examples.
    macro_f1 = {name: scores.macro_f1 for name, scores in experiment.resampled.items()}
    if {GOLD, LLM} <= set(macro_f1) and arm not in (GOLD, LLM):
        row |= columns("closed", gap_closed(macro_f1[arm], macro_f1[LLM], macro_f1[GOLD]))
    # Arms are named by kind and budget: random_5 is random with 5 per cent.
    rival = RANDOM if replace_share is None else f"{RANDOM}_{replace_share:g}"
    if rival in macro_f1 and rival != arm and row["arm_kind"] not in (GOLD, LLM):
        row |= columns("over_random", interval(macro_f1[arm] - macro_f1[rival]))
    return row


def _used_share(row: Mapping[str, Any], run: Record) -> float:
    """The share of human labels that an arm without a set budget used, or of texts it left out.

    In per cent of the training texts.
    """
    n_examples = int(run.params["n_examples"])
    if arm_facts(row["arm_kind"]).drops:
        return 100 * (1 - row["n_train"] / n_examples)
    return float(100 * (row["human_labels"] / n_examples))


def _repaired(run: Record, experiment: Experiment) -> float:
    """Wrong LLM labels that a human replaced, for each human label; nan without human labels."""
    llm = experiment.arms.get(LLM)
    labels = _labels(run, experiment)
    human = labels[labels["source"].isin(["gold", "human"])]
    if llm is None or not len(human):
        return float("nan")
    # By id: the arm llm leaves out examples without an answer, which count as wrong.
    llm_labels = _labels(llm.runs[0], experiment).set_index("example_id")["label"]
    replaced = llm_labels.reindex(human["example_id"]).to_numpy()
    return float((replaced != human["label"].to_numpy()).mean())


def _labels(run: Record, experiment: Experiment) -> pd.DataFrame:
    """The training labels of a run."""
    from analysis.store.fetch import table
    from analysis.store.stored_run import checked_table

    return checked_table(run, "labels", table(run, "labels.parquet"), experiment.label_set)


def _cells(budget: ScoredPoints) -> tuple[list[str], list[list[str]]]:
    """The head and the rows of the table, x 100."""
    from analysis.store.arm_scores import priced

    cost = ["cost"] if priced(budget.config) else []
    head = [
        *("labels", "human", *cost),
        *(metric.title for metric in score_metrics()),
        "closed",
        *(metric.title for metric in arm_metrics()),
        *("repaired", "against random"),
    ]
    rows = []
    scaled_rows = scaled_metrics(budget.points).to_dict("records")
    for row, scaled in zip(budget.points.to_dict("records"), scaled_rows, strict=True):
        rows.append(
            [
                row["arm"],
                f"{row['share']:g} %",
                *(f"{row[name]:.4g}" for name in cost),
                *(with_spread(metric, scaled) for metric in score_metrics()),
                ranged(_interval(row, "closed"), 100, 0),
                *(metric.text(scaled[metric.key]) for metric in arm_metrics()),
                number(100 * row["repaired"], 0),
                ranged(_interval(row, "over_random"), 100, 1, sign=True),
            ]
        )
    return head, rows


def _interval(row: Mapping[Any, Any], name: str) -> Interval:
    """The interval in three columns of a row; nan for columns that it lacks."""
    estimate, low, high = (row.get(f"{name}{suffix}", np.nan) for suffix in ("", "_low", "_high"))
    return Interval(estimate, low, high)


def cheapest(budget: ScoredPoints) -> str:
    """A sentence on the cheapest source that comes close to gold; empty without the arm gold.

    Without prices the source with the fewest human labels is the cheapest one.
    """
    from analysis.store.arm_scores import priced

    points = budget.points
    gold = points.loc[points["arm"] == GOLD, "macro_f1"]
    if gold.empty:
        return ""
    reach = float(budget.config["design"].get("reach", _DEFAULT_REACH))
    goal = reach / 100 * float(gold.iloc[0])
    goal_text = f"{reach:g} % of gold's macro-F1 ({100 * goal:.1f})"
    price = "cost" if priced(budget.config) else "human_share"
    remedies = points[kinds_with(points, lambda facts: facts.remedy)]
    reached = remedies[remedies["macro_f1"] >= goal]
    reached = reached.sort_values([price, "macro_f1"], ascending=[True, False])  # ties: the better
    if reached.empty:
        return f"No source reaches {goal_text} at these budgets."
    best = reached.iloc[0]
    if best["human_share"] == 0:
        return f"{goal_text} is reached without any human label, by {best['arm']}."
    rival = ""
    if best["arm_kind"] != RANDOM and (points["arm_kind"] == RANDOM).any():
        random = reached[reached["arm_kind"] == RANDOM]
        rival = "; random does not reach it at these budgets"
        if len(random):
            rival = f"; random needs {_price_text(random.iloc[0], price)}"
    return (
        f"{goal_text} is reached cheapest by {best['arm']}, with "
        f"{_price_text(best, price)}{rival}. Means over seeds, without regard to their spread."
    )


def _price_text(row: pd.Series, price: str) -> str:
    cost = f" at a cost of {row['cost']:.4g}" if price == "cost" else ""
    return f"{100 * row['human_share']:.3g} % human labels{cost}"


if __name__ == "__main__":
    section_command(__doc__ or "", section, "budget")
