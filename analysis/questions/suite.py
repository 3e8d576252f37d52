"""What do an LLM's labels cost over several tasks? Medians, precision against recall, causes.

python -m analysis.questions.suite --run_id RUN

It prints tables, and writes the page to outputs/reports/RUN and logs it to the suite's root run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from analysis.questions import suite_tables
from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.side_by_side import Judged
from analysis.questions.suite_rows import ITSELF, by_data, feature_row, score_rows
from analysis.questions.verdict import tolerances, verdict
from analysis.render.answer import Answer, IntervalPlot, PlotRow
from analysis.render.page import page
from analysis.render.section import Section, Table, as_markdown, files, terminal
from analysis.render.text import listed, lost, ranged
from analysis.store.command import publish_command
from analysis.store.publish import log_report
from analysis.store.root_summary import known, note
from analysis.store.suites import Suite, read_suite_run
from project.config.arms import LLM
from project.stats.bootstrap import Interval
from project.stats.tasks import (
    MIN_FOR_LIMITS,
    MIN_FOR_REGRESSION,
    Quartiles,
    quartiles,
)
from project.support.errors import AssayError

if TYPE_CHECKING:
    import pandas as pd

QUESTION = "What do the LLM's labels cost over these tasks?"
_CITE = (
    "Pangakis and Wolken (2024), Knowledge Distillation in Automated Annotation, arXiv:2406.17633",
    "Lu and Smith (2025), Feeding LLM Annotations to BERT Classifiers at Your Own Risk",
)


class Scored(NamedTuple):
    """A suite with all that its page shows.

    Attributes
    ----------
    suite
        As it is stored.
    judged, groups
        Every finished task with its verdict, and the group of each.
    rows, features
        See :mod:`analysis.questions.suite_rows`.
    """

    suite: Suite
    judged: list[Judged]
    groups: list[str]
    rows: pd.DataFrame
    features: pd.DataFrame

    def losses(self) -> dict[str, Quartiles]:
        """The loss of the arm ``llm`` over tasks, by group; only groups in which it is known."""
        found: dict[str, Quartiles] = {}
        if self.rows.empty:
            return found
        of_llm = self.rows[self.rows["source"] == LLM].dropna(subset=["loss"])
        for group, part in by_data(of_llm, ["group"]).groupby("group", sort=False):
            found[str(group)] = quartiles(part["loss"].to_numpy(dtype=float))
        return found


def read_scored(run_id: str = "") -> Scored:
    """A suite with scores and verdicts; an empty ``run_id`` takes the newest finished suite."""
    import pandas as pd

    suite = read_suite_run(run_id)
    if not suite.tasks:
        raise AssayError(
            f"suite {suite.name} has no finished task yet. Run the same command again: what is "
            "finished is not repeated."
        )
    judged, groups, rows, features = [], [], [], []
    for task in suite.tasks:
        scored = ScoredExperiment(task.experiment)
        one = Judged(task.name, scored, verdict(task.experiment, tolerances(scored.config)))
        group = task.group or scored.config["models"]["annotator"] or "-"
        judged.append(one)
        groups.append(group)
        rows += score_rows(one, group)
        features.append(feature_row(one, group))
    return Scored(suite, judged, groups, pd.DataFrame(rows), pd.DataFrame(features))


def sections(scored: Scored) -> list[Section]:
    """The parts of the page: all tasks together, each by itself, and what goes with the loss."""
    tables = suite_tables
    parts = [
        Section(
            "suite_tasks",
            "How does each task fare?",
            "",
            [tables.task_table(scored.judged, scored.groups, scored.rows)],
        ),
    ]
    if not scored.rows.empty:
        over = tables.scores_over_tasks(scored.rows)
        parts.insert(0, Section("suite_scores", QUESTION, answer(scored), [over]))
        shifts = tables.shift_table(scored.rows)
        if shifts.rows:
            question = "Do they trade precision for recall?"
            parts.append(Section("suite_shift", question, _shift_answer(shifts), [shifts]))
        causes = tables.feature_table(scored.features)
        question = "Which tasks lose most?"
        shown = [causes] if causes.rows else []
        parts.append(Section("suite_features", question, _cause_answer(causes), shown))
    consistency = tables.consistency_table(scored.features)
    if consistency.rows:
        question = "Are labels right where all draws agree?"
        parts.append(Section("suite_consistency", question, "", [consistency]))
    return parts


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
    words = [
        one.decision.word
        for one, own in zip(scored.judged, scored.groups, strict=True)
        if own == group
    ]
    safe = sum(word.startswith(("safe", "no worse")) for word in words)
    unsafe = sum(word.startswith(("not", "worse")) for word in words)
    where = "On one data set" if loss.n == 1 else f"In the median of {loss.n} data sets"
    return (
        f"{where}, training on the labels of {group} "
        f"{lost(loss.median, 100, 1, 'points of macro-F1')}: {safe} of {len(words)} tasks safe, "
        f"{unsafe} not safe, {len(words) - safe - unsafe} undecided."
    )


def _shift_answer(table: Table) -> str:
    """Which sources have measurably more, or less, recall for their precision."""
    shown = [
        f"{row['source']} ({row['group']}, {row['of']}): {100 * row['shift']:+.1f} points"
        for row in table.frame.to_dict("records")
        if row["p"] <= 0.05
    ]
    if not shown:
        can_tell = table.frame["p"].notna().any()
        reason = "" if can_tell else f": that takes {MIN_FOR_LIMITS} data sets with one LLM"
        return f"No shift between precision and recall is told from chance{reason}."
    return f"Recall less precision, against gold-trained classifiers: {listed(shown)}."


def _cause_answer(table: Table) -> str:
    """Which features foretell the loss of a task that was left out."""
    if table.frame.empty:
        return (
            "Which features of a task go with its loss takes at least "
            f"{MIN_FOR_REGRESSION} data sets with one LLM."
        )
    helping = [f"{row[1]} ({row[0]})" for row in table.rows if row[-1] == "yes"]
    if not helping:
        return "No feature foretells the loss of a new task better than the mean of the others."
    return f"These foretell the loss of a task that was left out: {listed(helping)}."


def screen(scored: Scored) -> Answer:
    """The first screen of the page."""
    losses = scored.losses()
    text = answer(scored)
    first, _, rest = text.partition(". ")
    tolerance = scored.judged[0].decision.tolerance
    rows = [
        PlotRow(
            f"median, {group}",
            f"{loss.n} data sets",
            _scaled(loss.median),
            ranged(loss.median, 100, 1, sign=True),
            "reference",
        )
        for group, loss in losses.items()
    ]
    for one, group in zip(scored.judged, scored.groups, strict=True):
        if one.llm is None:
            continue
        loss = Interval(one.llm["loss"], one.llm["loss_low"], one.llm["loss_high"])
        shown = ranged(loss, 100, 1, sign=True)
        rows.append(PlotRow(one.name, group, _scaled(loss), shown, "llm"))
    safe = [one.decision.word.startswith(("safe", "no worse")) for one in scored.judged]
    word = "safe" if all(safe) else f"{sum(safe)} of {len(safe)} tasks safe"
    plot = None
    if rows:
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
    return Answer(word, first.rstrip("."), [rest] if rest else [], text, plot=plot)


def _scaled(interval: Interval) -> Interval:
    return Interval(*(100 * value for value in interval))


def main_metrics(scored: Scored) -> Mapping[str, float]:
    """The main numbers of the root run: those of the first group in the order of the suite."""
    if scored.rows.empty:
        return {}
    group = scored.groups[0]
    rows = by_data(scored.rows[scored.rows["group"] == group], ["source"])

    def median(source: str, name: str) -> float:
        values = rows.loc[rows["source"] == source, name].to_numpy(dtype=float)
        return quartiles(values).median.estimate

    values: dict[str, float | None] = {}
    if loss := scored.losses().get(group):
        values |= dict(zip(("loss", "loss_low", "loss_high"), loss.median, strict=True))
    values |= {
        "alpha": median(LLM, "alpha"),
        "llm.macro_f1": median(ITSELF, "macro_f1"),
        "llm.accuracy": median(ITSELF, "accuracy"),
    }
    return known(values)


def publish(run_id: str, workspace: str) -> None:
    """Rebuild the page of a suite, write it, log it to the root run and print its tables.

    Parameters
    ----------
    run_id
        The root run; empty for the newest finished suite.
    workspace
        The files go to ``reports/<run id>`` below it.
    """
    scored = read_scored(run_id)
    suite = scored.suite
    parts = sections(scored)
    written = {name: data for part in parts for name, data in files(part).items()}
    shown = page(
        f"{len(scored.judged)} tasks: {suite.name}",
        [", ".join(dict.fromkeys(scored.groups))],
        answer=screen(scored),
        sections=parts,
        facts={
            "suite": f"run {suite.root.run_id}",
            **{one.name: f"run {one.scored.experiment.root.run_id}" for one in scored.judged},
        },
        cite=_CITE,
        warning=", ".join(suite.missing),
    )
    written["report.html"] = shown.encode()
    text = answer(scored)
    main = main_metrics(scored)
    short = "\n\n".join(as_markdown(part) for part in parts[:2])
    location = log_report(
        suite.root.run_id,
        workspace,
        written,
        "\n\n".join(as_markdown(part) for part in parts),
        metrics={},
        main=main,
        note=note("", text, main, None, short),
    )
    for part in parts:
        print(terminal(part))
    if suite.missing:
        print(f"INCOMPLETE: {', '.join(suite.missing)}.")
    print(location)


if __name__ == "__main__":
    publish_command(__doc__ or "", "a suite", publish)
