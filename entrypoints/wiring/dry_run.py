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
from project.config.engines import engine_facts
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

    A few texts are read to measure the time, and their answers are kept. Nothing is sent to a
    server unless ``dry_run`` is ``probe``.

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
    has_server = engine_facts(config.annotate.annotator).server
    measures = not has_server or config.spend.dry_run == "probe"
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
            fetch=fetch_answers(tracker, task, session, config),
            measures=measures,
        )
        rows += [{"split": split, **dataclasses.asdict(draw)} for draw in plans]
    session.print_notes()
    n_requests = getattr(session.annotator, "n_requests", 0) if has_server else None
    _report(tracker, rows, title=f"{session.annotator.name} on {task.name}", n_requests=n_requests)


def _report(
    tracker: Tracker, rows: Sequence[Mapping[str, Any]], *, title: str, n_requests: int | None
) -> None:
    """Print and log the plans of all splits and draws.

    ``title`` names annotator and task. ``n_requests``: sent to a server; None if there is none.
    """
    table = pd.DataFrame(rows)
    print_line(plan_table(table))
    n_probed = int(table["probed"].sum())
    is_timed = bool(table["seconds"].notna().all())
    time = f"{table['seconds'].sum() / 60:.1f} minutes" if is_timed else "time unknown"
    total = f"{int(table['texts'].sum())} texts to ask, {time}, price {table['cost'].sum():.4g}"
    done = f"{n_probed} of these texts were read to measure the time; their answers are kept."
    if not is_timed:
        done = (
            "Nothing was sent to the server; dry_run=probe sends a few texts to measure the time."
        )
    elif n_requests is not None:
        done = f"{n_requests} requests were sent to the server. {done}"
    tracker.log_json("plan.json", rows)
    tracker.describe(escape_markdown(f"A dry run of {title}: {total}. {done}"))
    print_line(f"in all: {total}. {done} Run again without dry_run.")


def plan_table(table: pd.DataFrame) -> str:
    """The rows of a dry run as text."""
    shown = table.assign(
        seconds=table["seconds"]
        .astype("float64")
        .round(1)
        .map("{:g}".format)
        .replace("nan", "unknown"),
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
