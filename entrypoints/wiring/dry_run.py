"""A dry run: one full prompt, and what the annotation would take."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.stored_answers import fetch_answers
from entrypoints.wiring.terminal import print_line
from project.annotation.estimate import plan
from project.config.experiment import ExperimentConfig
from project.data.task import Task
from project.support.escape import escape_markdown
from project.tracking import Tracker

_COLUMN_TITLES = {
    "tokens_reused": "tokens with prefix reuse",
    "tokens": "tokens without",
    "known": "known already",
    "seconds": "seconds",
    "cost": "price",
}


def dry_run(
    tracker: Tracker,
    session: AnnotationSession,
    task: Task,
    *,
    splits: Mapping[str, int],
    config: ExperimentConfig,
) -> None:
    """Print and log what annotation would take.

    A few texts are read to measure the time; their answers are kept.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    session
        The annotator and its prompts.
    task
        The task.
    splits
        Number of draws by split.
    config
        The experiment's configuration.
    """
    first_text = str(task.split(next(iter(splits)))["text"].iloc[0])
    prompt_text = session.prompts[0].for_people(first_text)
    print_line(f"--- the prompt of draw 0, for the first text ---\n{prompt_text}\n---")
    rows: list[dict[str, Any]] = []
    for split, n_draws in splits.items():
        plans = plan(
            session.annotators,
            session.prompts[:n_draws],
            task.split(split),
            task.label_set,
            config=config.annotate,
            spend=config.spend,
            folder=Path(config.host.workspace) / "annotations",
            fetch=fetch_answers(tracker, task, config),
        )
        rows += [{"split": split, **dataclasses.asdict(draw)} for draw in plans]
    session.print_notes()
    _report(tracker, rows, title=f"{session.annotator.name} on {task.name}")


def _report(tracker: Tracker, rows: Sequence[Mapping[str, Any]], *, title: str) -> None:
    """Print and log the plans of all splits and draws; ``title`` names annotator and task."""
    table = pd.DataFrame(rows)
    print_line(plan_table(table))
    n_probed = int(table["probed"].sum())
    total = (
        f"{int(table['texts'].sum())} texts to ask, {table['seconds'].sum() / 60:.1f} minutes, "
        f"price {table['cost'].sum():.4g}"
    )
    tracker.log_json("plan.json", rows)
    tracker.describe(
        escape_markdown(
            f"A dry run of {title}: {total}. Only {n_probed} texts were annotated, to measure the "
            "time."
        )
    )
    print_line(
        f"in all: {total}. {n_probed} of these texts were read to measure the time; their answers "
        "are kept. Run again without dry_run."
    )


def plan_table(table: pd.DataFrame) -> str:
    """The rows of a dry run as text."""
    shown = table.assign(
        seconds=table["seconds"].round(1),
        cost=table["cost"].round(6),
        tokens=table["tokens"].map("{:,}".format),
        tokens_reused=table["tokens_reused"].map("{:,}".format),
    )
    renamed = shown.drop(columns=["exact", "probed"]).rename(columns=_COLUMN_TITLES)
    text = renamed.to_string(index=False)
    if not table["exact"].all():
        text += (
            "\ntokens are estimated at four characters each: the model's tokenizer cannot be "
            "loaded here"
        )
    return text
