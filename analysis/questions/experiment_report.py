"""The report of an experiment or a budget: its files, page, description and metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from analysis.questions import (
    agreement,
    arms,
    budget,
    calibration,
    divergence,
    errors,
    examples,
    steps,
    verdict_table,
)
from analysis.questions.arms_table import ScoredExperiment
from analysis.questions.report_answer import answer
from analysis.questions.report_made import cite, facts
from analysis.questions.root_metrics import experiment_metrics
from analysis.questions.variance import PARTS
from analysis.questions.verdict import tolerances, verdict
from analysis.render.answer import Answer
from analysis.render.page import page
from analysis.render.section import Section, as_markdown, files, terminal, wrapped
from analysis.render.text import title
from analysis.store.experiment import Experiment, read_experiment
from analysis.store.publish import log_report, write_aside
from analysis.store.root_summary import note, of_arms
from project.config.metrics import arm_metrics, columns_of, cost_metrics, score_metrics
from project.config.next_command import command_line
from project.support.escape import escape_markdown
from project.tracking import KIND

MORE_SECTIONS: Sequence[Callable[[Experiment], Section | None]] = (
    agreement.section,
    errors.section,
    steps.section,
    divergence.section,
    calibration.section,
    examples.section,
)
"""Parts of the report below the arms; a part is None if the experiment lacks what it needs."""


def publish_report(
    run_id: str, workspace: str, tolerance: float | None, min_alpha: float | None
) -> None:
    """Write, log and print the report.

    With other limits than its own the run keeps its verdict, and the report is written only.

    Parameters
    ----------
    run_id, workspace, tolerance, min_alpha
        See :func:`analysis.report.publish`.
    """
    experiment = read_experiment(run_id)
    scored = ScoredExperiment(experiment)
    limits = tolerances(experiment.config, tolerance, min_alpha)
    decision = verdict(experiment, limits)
    # ``short`` is what the terminal and the run's description show.
    if experiment.root.tags.get(KIND) == "budget":
        short = budget.section(experiment)
        main = [short]
    else:
        short = arms.brief(scored)
        main = arms.sections(scored)
    more = [section for part in MORE_SECTIONS if (section := part(experiment))]
    judged = verdict_table.section(decision)
    sections = [judged, *main, *more]
    written = {name: data for section in sections for name, data in files(section).items()}
    # The first screen holds the first section already.
    screen = answer(scored, decision, judged.tables)
    written["report.html"] = _page(experiment, screen, sections[1:]).encode()
    description = (
        f"**{decision.word.capitalize()}.** {escape_markdown(decision.sentence)}\n\n"
        f"{as_markdown(short)}"
    )
    if limits == tolerances(experiment.config):
        main_numbers = experiment_metrics(scored, decision)
        location = log_report(
            experiment.root.run_id,
            workspace,
            written,
            description,
            metrics={0: of_arms(experiment.root, _metrics(scored))},
            main=main_numbers,
            note=note(decision.word, decision.sentence, main_numbers, limits, as_markdown(short)),
            tags=decision.tags,
        )
    else:
        folder = f"tolerance_{limits.tolerance:g}_min_alpha_{limits.min_alpha:g}"
        location = write_aside(experiment.root.run_id, workspace, folder, written, description)
    conclusion = wrapped(f"{decision.word.upper()}. {decision.sentence}")
    print(f"{terminal(short)}\n\n{conclusion}\n{location}")


def _page(experiment: Experiment, screen: Answer, sections: Sequence[Section]) -> str:
    """The page of the report, as HTML."""
    run_id = experiment.root.run_id
    return page(
        experiment.config["task"]["title"],
        [title(experiment.config)],
        answer=screen,
        sections=sections,
        facts=facts(experiment),
        cite=cite(experiment),
        remake=command_line("rerun", {"run_id": run_id}),
        warning=", ".join(experiment.incomplete),
    )


def _metrics(scored: ScoredExperiment) -> dict[str, float]:
    """Metrics of the root run: those of every arm, and the parts of their variance."""
    names = [
        *(metric.key for metric in score_metrics(ordered=scored.ordered)),
        *columns_of(arm_metrics(ordered=scored.ordered)),
        "human_share",
        "human_labels",
        *columns_of(cost_metrics()),
    ]
    values = {
        f"{row['arm']}.{name}": row[name]
        for row in scored.arms.to_dict("records")
        for name in names
    }
    for row in scored.variance.to_dict("records"):
        prefix = f"{row['arm']}.{row['measure']}.variance"
        values |= {f"{prefix}_{part}": row[part] for part in PARTS}
    return values
