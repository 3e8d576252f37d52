"""The page of a suite: its parts, its files and the main numbers of its root run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from analysis.questions import suite_tables
from analysis.questions.suite_answer import answer, cause_answer, screen, shift_answer
from analysis.questions.suite_rows import ITSELF, by_data
from analysis.questions.suite_scored import Scored, read_scored
from analysis.questions.suite_sets import sets_section
from analysis.questions.suite_sources import sources_section
from analysis.render.page import page
from analysis.render.section import Section, as_markdown, files, terminal
from analysis.store.publish import log_report, write_aside
from analysis.store.root_summary import known, note
from project.config.arms import LLM
from project.stats.tasks import quartiles

QUESTION = "What do the LLM's labels cost over these tasks?"
_CITE = (
    "Pangakis and Wolken (2024), Knowledge Distillation in Automated Annotation, arXiv:2406.17633",
    "Lu and Smith (2025), Feeding LLM Annotations to BERT Classifiers at Your Own Risk",
)


def sections(scored: Scored) -> list[Section]:
    """The parts of the page: all tasks together, each by itself, and what goes with the loss."""
    parts = [
        Section(
            "suite_tasks",
            "How does each task fare?",
            "",
            [suite_tables.task_table(scored.entries, scored.rows)],
        ),
    ]
    if not scored.rows.empty:
        over = suite_tables.scores_over_tasks(scored.rows)
        parts.insert(0, Section("suite_scores", QUESTION, answer(scored), [over]))
        shifts = suite_tables.shift_table(scored.rows)
        if shifts.rows:
            question = "Do they trade precision for recall?"
            parts.append(Section("suite_shift", question, shift_answer(shifts), [shifts]))
        causes = suite_tables.feature_table(scored.features)
        question = "Which tasks lose most?"
        shown = [causes] if causes.rows else []
        parts.append(Section("suite_features", question, cause_answer(causes), shown))
    if sources := sources_section(scored.entries):
        parts.insert(1, sources)
    if sets := sets_section(scored):
        parts.insert(1, sets)
    consistency = suite_tables.consistency_table(scored.features)
    if consistency.rows:
        question = "Are labels right where all draws agree?"
        parts.append(Section("suite_consistency", question, "", [consistency]))
    return parts


def main_metrics(scored: Scored) -> Mapping[str, float]:
    """The main numbers of the root run: those of the first group in the order of the suite."""
    if scored.rows.empty:
        return {}
    group = scored.entries[0].group
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


def publish(
    run_id: str, workspace: str, tolerance: float | None = None, min_alpha: float | None = None
) -> None:
    """Rebuild the page of a suite, write it, log it to the root run and print its tables.

    With other limits than those of its tasks the page is written only.

    Parameters
    ----------
    run_id
        The root run; empty for the newest finished suite.
    workspace
        The files go to ``reports/<run id>`` below it.
    tolerance, min_alpha
        See :func:`analysis.questions.suite_scored.read_scored`.
    """
    scored = read_scored(run_id, tolerance, min_alpha)
    suite = scored.suite
    parts = sections(scored)
    written = {name: data for part in parts for name, data in files(part).items()}
    written["report.html"] = _page(scored, parts).encode()
    description = "\n\n".join(as_markdown(part) for part in parts)
    if tolerance is None and min_alpha is None:
        main = main_metrics(scored)
        short = "\n\n".join(as_markdown(part) for part in parts[:2])
        location = log_report(
            suite.root.run_id,
            workspace,
            written,
            description,
            metrics={},
            main=main,
            note=note("", answer(scored), main, None, short),
        )
    else:
        folder = f"tolerance_{tolerance}_min_alpha_{min_alpha}"
        location = write_aside(suite.root.run_id, workspace, folder, written, description)
    for part in parts:
        print(terminal(part))
    if suite.missing:
        print(f"INCOMPLETE: {', '.join(suite.missing)}.")
    print(location)


def _page(scored: Scored, parts: Sequence[Section]) -> str:
    """The page, as HTML."""
    suite = scored.suite
    runs = {entry.judged.name: entry.judged.scored.experiment.root for entry in scored.entries}
    return page(
        f"{len(scored.entries)} tasks: {suite.name}",
        [", ".join(dict.fromkeys(entry.group for entry in scored.entries))],
        answer=screen(scored),
        sections=parts,
        facts={
            "suite": f"run {suite.root.run_id}",
            **{name: f"run {root.run_id}" for name, root in runs.items()},
        },
        cite=_CITE,
        warning=", ".join(suite.missing),
    )
