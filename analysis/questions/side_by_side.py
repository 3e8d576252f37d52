"""Several experiments on one page: which of them are safe, and what tells them apart."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from analysis.questions import compare
from analysis.questions.arms import several
from analysis.questions.arms_settings import differing
from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.llm_itself import llm_itself
from analysis.questions.verdict import Verdict, tolerances, verdict
from analysis.render.answer import Answer, IntervalPlot, PlotRow
from analysis.render.page import page
from analysis.render.scores import ORDINAL_ALPHA, alpha_key, interval_of
from analysis.render.section import Section, Table, columns, files, terminal
from analysis.render.text import ranged
from analysis.store.experiment import read_experiment
from analysis.store.publish import write
from project.config.arms import LLM
from project.config.label_type import NOMINAL, ORDINAL
from project.stats.bootstrap import Interval
from project.support.errors import AssayError
from project.support.files import digest

_QUESTION = "Which of them may I train on?"
_ARMS_QUESTION = "What does each source of labels cost?"
_MAX = 20
"""Most experiments of a page."""
_MAX_NAMED = 3
"""Most settings in the name of an experiment; the table below has all."""
_NOTE = (
    "Every row is judged by itself, as in its own report: limits hold for one experiment at a "
    "time. The best of several looks better than it is, since chance helped to choose it. alpha: "
    "agreement of the trainings on the LLM's labels."
)


class Judged(NamedTuple):
    """One experiment with its verdict and the name that tells it from the others."""

    name: str
    scored: ScoredExperiment
    decision: Verdict

    @property
    def llm(self) -> dict[str, float] | None:
        """The row of the LLM's labels; None if nothing was judged."""
        rows = self.decision.judged
        if rows.empty:
            return None
        found: dict[str, float] = rows.set_index("arm").loc[LLM].to_dict()
        return found


def publish(
    run_ids: Sequence[str], workspace: str, tolerance: float | None, min_alpha: float | None
) -> None:
    """Write the page of several experiments or budgets, and print its table and its place.

    Parameters
    ----------
    run_ids
        The root runs, in the order of the page.
    workspace, tolerance, min_alpha
        See :func:`analysis.report.publish`.

    Raises
    ------
    AssayError
        If a run is named twice, or there are too many.
    """
    repeated = sorted({run_id for run_id in run_ids if run_ids.count(run_id) > 1})
    if repeated:
        raise AssayError(f"run_id must name each run once; got {', '.join(repeated)} twice.")
    if len(run_ids) > _MAX:
        raise AssayError(f"run_id must name at most {_MAX} runs; got {len(run_ids)}.")
    scored = [ScoredExperiment(read_experiment(run_id)) for run_id in run_ids]
    judged = []
    for name, one in zip(_names(scored), scored, strict=True):
        limits = tolerances(one.config, tolerance, min_alpha)
        judged.append(Judged(name, one, verdict(one.experiment, limits)))
    first = _verdict_section(judged)
    sections = [first, *_details(scored)]
    shown = page(
        f"{len(judged)} experiments side by side",
        [", ".join(one.name for one in judged)],
        answer=_answer(judged),
        sections=sections,
        facts={one.name: f"run {one.scored.experiment.root.run_id}" for one in judged},
    )
    written = {name: data for section in sections for name, data in files(section).items()}
    written["report.html"] = shown.encode()
    folder = Path(workspace) / "reports" / f"side-by-side-{digest(list(run_ids))}"
    print(terminal(first))
    print(write(folder, written, [one.experiment.root for one in scored]))


def _names(scored: Sequence[ScoredExperiment]) -> list[str]:
    """A name for every experiment, made of the settings that differ most usefully."""
    settings = differing(scored).drop(columns=["run", "started"])
    names = []
    for one, row in zip(scored, settings.to_dict("records"), strict=True):
        # Task, annotator and classifier speak for themselves; other settings need their names.
        parts = [
            value if key in ("task", "annotator", "classifier") else f"{key} {value}"
            for key, value in row.items()
        ]
        names.append(" · ".join(parts[:_MAX_NAMED]) or one.experiment.root.run_id[:8])
    same = {name for name in names if names.count(name) > 1}
    return [
        f"{name} · {one.experiment.root.run_id[:8]}" if name in same else name
        for name, one in zip(names, scored, strict=True)
    ]


def _answer(judged: Sequence[Judged]) -> Answer:
    """The first screen: how many are safe, and the loss of each on one axis."""
    safe = [one.name for one in judged if one.decision.word.startswith(("safe", "no worse"))]
    n = len(judged)
    headline = {
        0: "None of these LLM labels is shown to be safe to train on",
        n: "All of these LLM labels are safe to train on",
    }.get(len(safe), f"{len(safe)} of {n} are safe to train on: {', '.join(safe)}")
    sentences = [f"{one.name}: {one.decision.word}." for one in judged if one.decision.judged.empty]
    word = "safe" if len(safe) == n else f"{len(safe)} of {n} safe"
    reason = " ".join(f"{one.name}: {one.decision.sentence}" for one in judged)
    return Answer(word, headline, sentences, reason, plot=_plot(judged))


def _plot(judged: Sequence[Judged]) -> IntervalPlot | None:
    """The loss of the LLM's labels in every experiment; None without one, or one tolerance."""
    limits = {one.decision.tolerance for one in judged}
    rows = []
    for one in judged:
        if one.llm is None:
            continue
        loss = interval_of(one.llm, "loss")
        scaled = Interval(*(100 * value for value in loss))
        rows.append(PlotRow(one.name, one.decision.word, scaled, ranged(loss, 100, 1), "llm"))
    if not rows or len(limits) > 1:
        return None
    (tolerance,) = limits
    return IntervalPlot(
        caption="What is lost by training on each LLM's labels instead of gold, in points of "
        "macro-F1.",
        names="experiment",
        axis="points lost",
        limits="limits of each by itself",
        rows=rows,
        tolerated=(-math.inf, tolerance),
        tolerated_text=f"tolerated: up to {tolerance:g}",
    )


def _verdict_section(judged: Sequence[Judged]) -> Section:
    """One row for each experiment."""
    import pandas as pd

    rows = []
    records = []
    for one in judged:
        itself = llm_itself(one.scored.experiment, one.decision.level)
        right = "-" if itself is None else f"{100 * itself.accuracy.estimate:.1f}"
        is_ordinal = alpha_key(one.llm or ()) == ORDINAL_ALPHA
        loss, alpha = (
            Interval(*[math.nan] * 3) if one.llm is None else interval_of(one.llm, name)
            for name in ("loss", alpha_key(one.llm or ()))
        )
        run_id = one.scored.experiment.root.run_id
        rows.append(
            [
                one.name,
                one.decision.word,
                ranged(loss, 100, 1),
                f"{ranged(alpha, 1, 3)}{' (ordinal)' if is_ordinal else ''}",
                right,
                run_id[:8],
            ]
        )
        records.append(
            {
                "experiment": one.name,
                "run_id": run_id,
                "verdict": one.decision.word,
                "reason": one.decision.sentence,
                **columns("loss", loss),
                **columns("alpha", alpha),
                "alpha_level": ORDINAL if is_ordinal else NOMINAL,
                "llm_accuracy": math.nan if itself is None else itself.accuracy.estimate,
                "tolerance": one.decision.tolerance,
                "min_alpha": one.decision.min_alpha,
            }
        )
    table = Table(
        "verdicts",
        "",
        ["experiment", "verdict", "loss", "alpha", "LLM right", "run"],
        rows,
        frame=pd.DataFrame(records),
        notes=[_NOTE],
        units=["", "", "points [limits]", "[limits]", "% of the test", ""],
    )
    return Section("verdicts", _QUESTION, "", [table])


def _details(scored: Sequence[ScoredExperiment]) -> list[Section]:
    """All arms of all experiments, and the arms of every other one against the first."""
    arms = several(scored)
    tables = [dataclasses.replace(table, folded=True) for table in arms.tables]
    sections = [Section("tables", _ARMS_QUESTION, "", tables, notes=arms.notes)]
    first, *others = [one.experiment for one in scored]
    for number, other in enumerate(others, start=2):
        question = f"Is experiment {number} better than the first?"
        try:
            found = compare.comparison(first, other)
        except AssayError as error:
            reason = str(error)
            note = f"{reason[:1].upper()}{reason[1:]}"
            sections.append(Section(f"compare_{number}", question, "", notes=[note]))
            continue
        named = [
            dataclasses.replace(table, name=f"{table.name}_{number}") for table in found.tables
        ]
        sections.append(
            Section(f"compare_{number}", question, found.answer, named, notes=found.notes)
        )
    return sections
