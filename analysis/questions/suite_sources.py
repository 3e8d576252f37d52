"""Which label source wins back what the LLM's labels lose, over the tasks of a suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from analysis.questions.budget import rivals_of
from analysis.questions.suite_rows import SuiteEntry, by_data
from analysis.render.section import Section, Table, columns
from analysis.render.text import listed, number, ranged
from project.config.arms import GOLD, LLM
from project.stats.bootstrap import NO_INTERVAL
from project.stats.limits import simultaneous
from project.stats.score_limits import gap_closed
from project.stats.tasks import MIN_FOR_LIMITS, quartiles

if TYPE_CHECKING:
    import pandas as pd

HALF = 0.5
_MEDIAN = "median [limits]"
_NOTE = (
    "Points of macro-F1 (x 100). over llm, over random: macro-F1 less that of the LLM's labels, "
    "and less that of random human labels at the same budget; the median over data sets, of each "
    "of which the mean over its tasks counts. In brackets limits over such data sets, which "
    f"need {MIN_FOR_LIMITS} of them. better, worse: tasks in which the difference is measurable; "
    "within a task the limits of all sources and of both comparisons hold at once with 95 %. "
    "closed: share of the way from llm to gold, the median over the tasks with a measurable loss; "
    "half closed: in how many of these it is one half or more, as estimated."
)


def source_rows(entries: Sequence[SuiteEntry]) -> pd.DataFrame:
    """One row for each task and each source of labels besides ``gold`` and ``llm``.

    Tasks whose verdict names no loss, such as those with rare classes, have no rows.

    Columns: ``task``, ``data``, ``group``, ``source``; ``over_llm``, ``over_random`` and ``closed``
    with ``_low`` and ``_high``, in [-1, 1], nan where there is nothing to compare with.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for entry in entries:
        experiment = entry.judged.scored.experiment
        if entry.judged.llm is None or not {GOLD, LLM} <= set(experiment.arms):
            continue
        sums = experiment.score_sums
        sources = [arm for arm in experiment.arms if arm not in (GOLD, LLM)]
        rivals = {arm: rival for arm, rival in rivals_of(experiment).items() if arm in sources}
        found = simultaneous(
            {f"llm {arm}": sums.difference(arm, LLM) for arm in sources}
            | {f"random {arm}": sums.difference(arm, rival) for arm, rival in rivals.items()}
        )
        for arm in sources:
            rows.append(
                {
                    **entry.head,
                    "source": arm,
                    **columns("over_llm", found[f"llm {arm}"]),
                    **columns("over_random", found.get(f"random {arm}", NO_INTERVAL)),
                    **columns("closed", gap_closed(sums, arm, LLM, GOLD)),
                }
            )
    return pd.DataFrame(rows)


def sources_section(entries: Sequence[SuiteEntry]) -> Section | None:
    """The part of the page; None where no task has another source of labels."""
    rows = source_rows(entries)
    if rows.empty:
        return None
    question = "Which label source wins back what the LLM's labels lose?"
    n_left_out = len(entries) - rows["task"].nunique()
    notes = [
        f"Left out: {n_left_out} of {len(entries)} tasks, which have no such source or of which "
        "the verdict names no loss."
    ]
    return Section(
        "suite_sources", question, _answer(rows), [_table(rows)], notes=notes if n_left_out else []
    )


def _table(rows: pd.DataFrame) -> Table:
    """One line for each source, over all tasks."""
    counted = by_data(rows, ["source"])
    cells = []
    for source, part in rows.groupby("source", sort=False):
        of_data = counted[counted["source"] == source]
        gaps = part["closed"].dropna()
        line = [str(source), str(len(part))]
        for name in ("over_llm", "over_random"):
            middle = quartiles(of_data[name].to_numpy(dtype=float)).median
            line += [ranged(middle, 100, 1, sign=True), _counts(part, name)]
        closed = "-" if gaps.empty else number(100 * float(gaps.median()))
        cells.append([*line, closed, f"{(gaps >= HALF).sum()} of {len(gaps)}"])
    head = ["labels", "tasks", "over llm", "better, worse", "over random", "better, worse"]
    return Table(
        "suite_sources",
        "Sources of labels over tasks",
        [*head, "closed", "half closed"],
        cells,
        frame=rows,
        notes=[_NOTE],
        units=[
            "",
            "",
            "median [limits]",
            "tasks",
            "median [limits]",
            "tasks",
            "median, %",
            "tasks",
        ],
    )


def _counts(part: pd.DataFrame, name: str) -> str:
    """In how many tasks a difference is measurably above zero, and below."""
    if part[name].isna().all():
        return "-"
    return f"{(part[f'{name}_low'] > 0).sum()}, {(part[f'{name}_high'] < 0).sum()}"


def _answer(rows: pd.DataFrame) -> str:
    """Which sources win back at least half of the loss on most tasks, and which beat random."""
    gaps = rows.dropna(subset=["closed"])
    n_tasks = gaps["task"].nunique()
    if not n_tasks:
        return "In no task is a loss measurable, so that there is nothing to win back."
    shares = gaps.groupby("source", sort=False)["closed"].agg(lambda one: (one >= HALF).sum())
    enough = [str(name) for name, n in shares.items() if 2 * n > n_tasks]
    text = (
        f"{listed(enough)} {'closes' if len(enough) == 1 else 'close'} at least half of the gap "
        "to gold labels"
        if enough
        else "No source closes half of the gap to gold labels"
    )
    text += f" in most of the tasks in which there is one ({n_tasks}), as estimated."
    compared = rows.dropna(subset=["over_random"])
    better = compared[compared["over_random_low"] > 0].groupby("source", sort=False).size()
    if len(compared):
        named = [f"{name} in {n}" for name, n in better.sort_values(ascending=False).items()]
        of = f"of {compared['task'].nunique()} tasks"
        text += (
            f" Measurably better than random human labels at the same budget: {listed(named)} {of}."
            if named
            else f" None is measurably better than random human labels in any {of}."
        )
    return text
