"""Where does a human label help most? Label sources at equal human budgets.

The report is rebuilt from the tracking store alone.

python -m analysis.questions.budget --run_id RUN

It prints a table and writes CSV, Markdown and PNG to outputs/reports/RUN.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from analysis.questions.budget_figure import budget_figure, kinds_with
from analysis.questions.budget_sentence import Limits, Source, findings, limits, sentence
from analysis.render.scores import interval_of, scaled_metrics, with_spread
from analysis.render.section import Section, Table, columns
from analysis.render.text import ORDER_NOTE, has_order, number, ranged, title
from analysis.store.command import section_command
from analysis.store.root_results import ScoredPoints
from project.config.arms import GOLD, LLM, RANDOM, arm_facts
from project.config.metrics import main_scores, shown_agreement
from project.stats.bootstrap import NO_INTERVAL
from project.stats.score_limits import gap_closed

if TYPE_CHECKING:
    import pandas as pd

    from analysis.store.experiment import Experiment
    from project.tracking import Record

QUESTION = "Where does a human label help most?"
_DEFAULT_REACH = 95.0
"""Per cent of gold's macro-F1 to reach, for runs of versions that did not store it."""
_NOTE = (
    "Test split; all numbers x 100. Mean and sample standard deviation (ddof 1) over the seeds; "
    "macro-F1 over the classes of the test split. human: per cent of the training texts that a "
    "human labels (drop_...: that are left out). closed: share of the way from llm to gold, in "
    "macro-F1, if there is a gap; in brackets its 95 % interval, each by itself. repaired: wrong "
    "LLM labels replaced for each human label. above goal: macro-F1 less the goal. over "
    "random: macro-F1 less that of random at the same budget. The limits of these two columns "
    "hold all at once with 95 %, so that the answer may pick among them. All limits hold the "
    "chance of test examples, seen or not, and of seeds; arms of the same trainings differ by "
    "exactly zero. The annotator gives no new answers: all sources share the same ones."
)
_COST_NOTE = (
    " cost: of the human labels, of the LLM's answers, paid now or earlier, and of one training, "
    "at the given prices; budget.csv has the quantities."
)


def section(experiment: Experiment) -> Section:
    """The table of all sources, what it supports in words, and the curves."""
    from analysis.store.arm_scores import absent_note, chance_note, priced, without_lists

    budget = budget_points(experiment)
    figures = [budget_figure(budget.points)]
    if priced(budget.config):
        figures.append(budget_figure(budget.points, "cost"))
    absent = {row["arm"]: row["absent"] for row in budget.points.to_dict("records")}
    notes = [
        _NOTE
        + (ORDER_NOTE if experiment.ordered else "")
        + (_COST_NOTE if priced(budget.config) else ""),
        absent_note(budget.config, absent).strip(),
        chance_note(budget.points).strip(),
        f"INCOMPLETE: {', '.join(budget.incomplete)}." if budget.incomplete else "",
    ]
    head, rows = _cells(budget)
    frame = without_lists(budget.points)
    return Section(
        "budget",
        QUESTION,
        _answer(experiment, budget),
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
    - ``over_goal``: macro-F1 less the goal, with limits
    - ``over_random``: macro-F1 less that of random at the same budget, with limits

    The last three are missing if the arms to compare with are. See
    :func:`analysis.questions.budget_sentence.limits` for the limits of the last two.
    """
    import pandas as pd

    found = _limits(experiment)
    rows = [_point(arm, experiment, found) for arm in experiment.arms]
    return ScoredPoints(
        experiment.root, experiment.config, experiment.incomplete, pd.DataFrame(rows)
    )


def _limits(experiment: Experiment) -> Limits:
    """Limits of all sources, against the goal and against random."""
    reach = _reach(experiment.config) / 100 if GOLD in experiment.arms else None
    kinds = _kinds(experiment)
    remedies = [arm for arm, kind in kinds.items() if arm_facts(kind).remedy]
    return limits(experiment.score_sums, reach, remedies, rivals_of(experiment))


def rivals_of(experiment: Experiment) -> dict[str, str]:
    """The arm ``random`` of the same budget for every arm that has one, by name."""
    kinds = _kinds(experiment)
    rivals = {}
    for arm in experiment.arms:
        # Arms are named by kind and budget: random_5 is random with 5 per cent.
        share = _replace_share(experiment.arms[arm].runs[0])
        rival = RANDOM if share is None else f"{RANDOM}_{share:g}"
        if rival in experiment.arms and rival != arm and kinds[arm] not in (GOLD, LLM):
            rivals[arm] = rival
    return rivals


def _kinds(experiment: Experiment) -> dict[str, str]:
    """The kind of every arm, by its name."""
    return {arm: runs.runs[0].params["arm_kind"] for arm, runs in experiment.arms.items()}


def _point(arm: str, experiment: Experiment, found: Limits) -> dict[str, Any]:
    from analysis.store.arm_scores import arm_row

    first = experiment.arms[arm].runs[0]
    row = arm_row(
        arm,
        experiment.arms[arm],
        experiment.test,
        experiment.label_set,
        ordered=experiment.ordered,
    )
    replace_share = _replace_share(first)
    row["share"] = _used_share(row, first) if replace_share is None else replace_share
    row["repaired"] = _repaired(first, experiment)
    if {GOLD, LLM} <= set(experiment.arms) and arm not in (GOLD, LLM):
        row |= columns("closed", gap_closed(experiment.score_sums, arm, LLM, GOLD))
    if arm in found.over_goal:
        row |= columns("over_goal", found.over_goal[arm])
    if arm in found.over_random:
        row |= columns("over_random", found.over_random[arm])
    return row


def _replace_share(run: Record) -> float | None:
    """The budget of an arm in per cent of the training texts; None if it has no set budget."""
    from analysis.store.artifacts import needs, number_or_none

    needs(run, {"replace_share": number_or_none})
    return number_or_none(run.params["replace_share"])


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

    scores = main_scores(ordered=has_order(budget.config))
    agreement = shown_agreement(ordered=has_order(budget.config))
    cost = ["cost"] if priced(budget.config) else []
    head = [
        *("labels", "human", *cost),
        *(metric.title for metric in scores),
        "closed",
        *(metric.title for metric in agreement),
        *("repaired", "above goal", "over random"),
    ]
    rows = []
    scaled_rows = scaled_metrics(budget.points).to_dict("records")
    for row, scaled in zip(budget.points.to_dict("records"), scaled_rows, strict=True):
        rows.append(
            [
                row["arm"],
                f"{row['share']:g} %",
                *(f"{row[name]:.4g}" for name in cost),
                *(with_spread(metric, scaled) for metric in scores),
                ranged(interval_of(row, "closed"), 100, 0),
                *(metric.text(scaled[metric.key]) for metric in agreement),
                number(100 * row["repaired"], 0),
                ranged(interval_of(row, "over_goal"), 100, 1, sign=True),
                ranged(interval_of(row, "over_random"), 100, 1, sign=True),
            ]
        )
    return head, rows


def _answer(experiment: Experiment, budget: ScoredPoints) -> str:
    """What the scores support in words; why nothing, if they are too few or nothing was learned."""
    from analysis.questions.untrained import untrained_arms
    from analysis.questions.verdict_requirements import reason_to_refuse_scores

    compared = [
        name
        for name, runs in experiment.arms.items()
        if name == GOLD or arm_facts(runs.runs[0].params["arm_kind"]).remedy
    ]
    reason = reason_to_refuse_scores(experiment, compared)
    if reason:
        return f"Cannot tell. {reason}"
    untrained = untrained_arms({name: experiment.arms[name] for name in compared})
    text = cheapest(budget, without=list(untrained))
    if untrained:
        names = ", ".join(untrained)
        text += f" Not compared, since their trainings have not left their start: {names}."
    return text.strip()


def cheapest(budget: ScoredPoints, without: Sequence[str] = ()) -> str:
    """Which source reaches the goal, and which ones differ measurably from random.

    Without prices the source with the fewest human labels is the cheapest one. ``without`` are
    arms of which nothing is said, and with which nothing is compared.
    """
    from analysis.store.arm_scores import priced

    points = budget.points[~budget.points["arm"].isin(without)]
    gold = points.loc[points["arm"] == GOLD, "macro_f1"]
    goal = ""
    if not gold.empty:
        reach = _reach(budget.config)
        goal = f"{reach:g} % of gold's macro-F1 ({reach * float(gold.iloc[0]):.1f})"
    has_prices = priced(budget.config)
    price = "cost" if has_prices else "human_share"
    remedies = points[kinds_with(points, lambda facts: facts.remedy)]
    sources = [
        Source(
            row["arm"],
            row["arm_kind"],
            row["human_share"],
            row[price],
            over_goal=interval_of(row, "over_goal"),
            over_random=NO_INTERVAL
            if {RANDOM, f"{RANDOM}_{row['share']:g}"} & set(without)
            else interval_of(row, "over_random"),
        )
        for row in remedies.to_dict("records")
    ]
    return sentence(findings(sources), goal, has_prices=has_prices)


def _reach(config: Mapping[str, Any]) -> float:
    """Per cent of gold's macro-F1 to reach."""
    return float(config["design"].get("reach", _DEFAULT_REACH))


if __name__ == "__main__":
    section_command(__doc__ or "", section, "budget")
