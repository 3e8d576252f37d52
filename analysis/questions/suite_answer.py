"""What a suite says in words, and the first screen of its page."""

from __future__ import annotations

import math

from analysis.questions.suite_scored import Scored
from analysis.questions.suite_tables import SIGNIFICANCE
from analysis.render.answer import Answer, IntervalPlot, PlotRow
from analysis.render.scores import interval_of
from analysis.render.section import Table
from analysis.render.text import listed, lost, ranged
from project.stats.bootstrap import Interval
from project.stats.tasks import MIN_FOR_LIMITS, MIN_FOR_REGRESSION, Quartiles


def answer(scored: Scored) -> str:
    """The median loss of every group, and how many tasks are safe."""
    losses = scored.losses()
    if not losses:
        return "No task has classifiers both of gold labels and of the LLM's labels."
    sentences = [_about_group(scored, group, loss) for group, loss in losses.items()]
    if any(loss.n < MIN_FOR_LIMITS for loss in losses.values()):
        sentences.append(
            f"With fewer than {MIN_FOR_LIMITS} data sets nothing is said of other tasks."
        )
    return " ".join(sentences)


def _about_group(scored: Scored, group: str, loss: Quartiles) -> str:
    """What the labels of one group lose, and how many of its tasks are safe."""
    words = [entry.judged.decision.word for entry in scored.entries if entry.group == group]
    safe = sum(word.startswith(("safe", "no worse")) for word in words)
    unsafe = sum(word.startswith(("not", "worse")) for word in words)
    where = "On one data set" if loss.n == 1 else f"In the median of {loss.n} data sets"
    return (
        f"{where}, training on the labels of {group} "
        f"{lost(loss.median, 100, 1, 'points of macro-F1')}: {safe} of {len(words)} tasks safe, "
        f"{unsafe} not safe, {len(words) - safe - unsafe} undecided."
    )


def shift_answer(table: Table) -> str:
    """Which sources have measurably more, or less, recall for their precision."""
    shown = [
        f"{row['source']} ({row['group']}, {row['of']}): {100 * row['shift']:+.1f} points"
        for row in table.frame.to_dict("records")
        if row["p"] <= SIGNIFICANCE
    ]
    if not shown:
        can_tell = table.frame["p"].notna().any()
        reason = "" if can_tell else f": that takes {MIN_FOR_LIMITS} data sets with one LLM"
        return f"No shift between precision and recall is measurable{reason}."
    return f"Recall less precision, against gold-trained classifiers: {listed(shown)}."


def cause_answer(table: Table) -> str:
    """Which features foretell the loss of a task that was left out."""
    if not table.rows:
        return (
            f"It takes at least {MIN_FOR_REGRESSION} data sets with one LLM to say which features "
            "of a task go with its loss."
        )
    helping = [f"{row[1]} ({row[0]})" for row in table.rows if row[-1] == "yes"]
    if not helping:
        return "No feature measurably foretells the loss of a new task."
    return f"These foretell the loss of a task that was left out: {listed(helping)}."


def screen(scored: Scored) -> Answer:
    """The first screen of the page."""
    losses = scored.losses()
    text = answer(scored)
    headline, rest = text, ""
    if len(losses) == 1:
        ((group, loss),) = losses.items()
        headline = _about_group(scored, group, loss)
        rest = text.removeprefix(headline).strip()
    elif losses:
        medians = [
            f"{100 * loss.median.estimate:.1f} with {group}" for group, loss in losses.items()
        ]
        headline, rest = f"Points lost in the median task: {listed(medians)}", text
    limits = {entry.judged.decision.tolerance for entry in scored.entries}
    rows = [
        PlotRow(
            f"median, {group}",
            "1 data set" if loss.n == 1 else f"{loss.n} data sets",
            _scaled(loss.median),
            ranged(loss.median, 100, 1, sign=True),
            "reference",
        )
        for group, loss in losses.items()
    ]
    for one in (entry.judged for entry in scored.entries):
        if one.llm is None:
            continue
        own = interval_of(one.llm, "loss")
        shown = ranged(own, 100, 1, sign=True)
        rows.append(PlotRow(one.name, one.decision.word, _scaled(own), shown, "llm"))
    words = [entry.judged.decision.word for entry in scored.entries]
    safe = [word.startswith(("safe", "no worse")) for word in words]
    word = "safe" if all(safe) else f"{sum(safe)} of {len(safe)} tasks safe"
    plot = None
    if rows and len(limits) == 1:
        (tolerance,) = limits
        plot = IntervalPlot(
            caption="What is lost by training on the LLM's labels instead of gold, in points of "
            "macro-F1: the median over tasks, and each task.",
            names="task",
            axis="points lost",
            limits="limits; of the median: over tasks",
            rows=rows,
            tolerated=(-math.inf, tolerance),
            tolerated_text=f"tolerated: up to {tolerance:g}",
        )
    return Answer(word, headline.rstrip("."), [rest], text, plot=plot)


def _scaled(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in interval))
