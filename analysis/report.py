"""May I fine-tune on these labels, and why? One self-contained page on an experiment or on budget curves, with the verdict on top.

python -m analysis.report --run_id RUN        report.html, and every table and figure, in outputs/reports/RUN and in the run
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis.questions import agreement, arms, budget, calibration, divergence, errors, examples
from analysis.questions import verdict as judge
from analysis.questions.variance import PARTS
from analysis.render.page import page, verdict_box
from analysis.render.section import Section, as_markdown, files, terminal
from analysis.render.text import title
from analysis.store.experiment import AGREEMENT, SPENT, Experiment, read_experiment
from analysis.store.publish import log_report, parser, run
from project.support.escape import escape_markdown, escape_terminal
from project.tracking import KIND

METRICS = ("accuracy", "macro_f1", *AGREEMENT, "human_share", "human_labels", *SPENT)
PARTS_OF_IT: Sequence[Callable[[Experiment], Section | None]] = (
    agreement.section,
    errors.section,
    divergence.section,
    calibration.section,
    examples.section,
)


def publish(
    run_id: str, workspace: str, tolerance: float | None = None, least_alpha: float | None = None
) -> None:
    """Rebuild the report from the store, write it, log it to the root run with the verdict, print the table and what to open."""
    experiment = read_experiment(run_id)
    scored, config = arms.Arms(experiment), experiment.config
    found = judge.verdict(experiment, judge.tolerances(config, tolerance, least_alpha))
    if experiment.root.tags.get(KIND) == "budget":
        short = budget.section(experiment)
        first = [short]
    else:
        short, first = arms.brief(scored), arms.sections(scored)
    more = [made for part in PARTS_OF_IT if (made := part(experiment))]
    judged = judge.section(found)
    parts = [judged, *first, *more]
    written = {name: data for part in parts for name, data in files(part).items()}
    limits = f"Tolerated: {found.tolerance:g} points of macro-F1; asked for: an alpha of {found.least_alpha:g}."
    written["report.html"] = page(
        "How much gold is in these labels?",
        [config["task"]["title"], title(config)],
        verdict_box(found.word, found.sentence, limits),
        [dataclasses.replace(judged, answer=""), *parts[1:]],  # the box says it
        _facts(experiment),
        ", ".join(experiment.incomplete),
    ).encode()
    description = (
        f"**{found.word.capitalize()}.** {escape_markdown(found.sentence)}\n\n{as_markdown(short)}"
    )
    where = log_report(
        experiment.root.run_id, workspace, written, description, {0: _metrics(scored)}, found.tags
    )
    print(f"{terminal(short)}\n\n{found.word.upper()}. {escape_terminal(found.sentence)}\n{where}")


def _metrics(scored: arms.Arms) -> dict[str, float]:
    made = {
        f"{row['arm']}.{name}": row[name]
        for row in scored.arms.to_dict("records")
        for name in METRICS
    }
    for row in scored.variance.to_dict("records"):
        made |= {f"{row['arm']}.{row['measure']}.variance_{part}": row[part] for part in PARTS}
    return made


def _facts(experiment: Experiment) -> Mapping[str, str]:
    config: dict[str, Any] = experiment.config
    task = config["task"]
    facts = {
        "run": experiment.root.run_id,
        "source": task["source"],
        "examples": ", ".join(f"{key} {n}" for key, n in task["counts"].items()),
    }
    annotator = config["identities"]["annotator"]
    facts |= {
        "annotator": ", ".join(f"{key}={value}" for key, value in annotator.items()) or "none",
        "encoder": config["identities"]["encoder"],
    }
    facts |= {
        "versions": ", ".join(f"{name} {version}" for name, version in config["versions"].items())
    }
    facts |= {
        "content (sha256)": task["examples_sha256"],
        "licence": task["licence"],
        "citation": task["citation"],
    }
    for stage, values in (
        (stage, values) for stage, values in config["config"].items() if stage != "host"
    ):
        facts[stage] = ", ".join(
            f"{key}={value}" for key, value in values.items() if value not in ("", None)
        )
    return facts


def tell(given: argparse.Namespace) -> None:
    """The report that was asked for."""
    publish(given.run_id, given.workspace, given.tolerance, given.least_alpha)


def _parser() -> argparse.ArgumentParser:
    made = parser(__doc__ or "", "an experiment or budget curves")
    made.add_argument(
        "--tolerance",
        type=float,
        help="largest loss of macro-F1 that is safe, in points [float; default: the experiment's own]",
    )
    made.add_argument(
        "--least_alpha",
        type=float,
        help="least agreement of the seeds that is safe [float; default: the experiment's own]",
    )
    return made


if __name__ == "__main__":
    run(_parser(), tell)
