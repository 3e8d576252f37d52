"""The questions of a sheet in review queues of MLflow, one for each person."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pandas as pd

from entrypoints.wiring.question_context import PREFIX
from entrypoints.wiring.terminal import Progress
from project.config.ask import AskConfig
from project.data.task import Task
from project.support.errors import AssayError
from project.support.privacy import is_private
from project.tracking import Tracker
from project.tracking.names import REVIEW_QUEUES
from project.tracking.review import (
    MAX_PEOPLE,
    ReviewQuestion,
    ReviewText,
    check_labels,
    fill_queue,
    review_page,
)

IN_MLFLOW = "mlflow"
"""Value of ``to``, and what answers from MLflow begin with in ``human``."""


def check_review(config: AskConfig, params: Mapping[str, str], task: Task) -> None:
    """Raise AssayError, before anything is annotated, for questions that MLflow cannot hold."""
    if config.to != IN_MLFLOW:
        return
    if is_private(params):
        raise AssayError(
            "to=mlflow needs private=false: a review queue stores the texts in MLflow. Leave to "
            "out, and label on the page."
        )
    if len(config.people) > MAX_PEOPLE:
        raise AssayError(
            f"reviewers must name at most {MAX_PEOPLE} people, by a rule of MLflow; got "
            f"{len(config.people)}. Leave it out to let everybody label."
        )
    check_labels(task.label_set)


def answers_to_come(config: AskConfig, run_id: str, placeholder: str) -> str:
    """What ``human`` will name: the queues of a run, or ``placeholder`` for every person's file."""
    if config.to == IN_MLFLOW:
        return f"{IN_MLFLOW}:{run_id}"
    return ",".join([placeholder] * config.raters)


def fill_queues(
    tracker: Tracker,
    task: Task,
    asked: Sequence[pd.DataFrame],
    context: pd.DataFrame,
    *,
    config: AskConfig,
    codebook: str,
) -> list[str]:
    """Make a queue for each person; the addresses where they label.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    task
        The task whose texts are asked about.
    asked
        For each person a table from :func:`project.labels.human.questions`.
    context
        Columns to show above each text, by ``example_id``; may be empty.
    config
        The parameters of the entry point.
    codebook
        Rules for the person, shown below the task's description.
    """
    tracker.flush()  # a queue belongs to a run that the store knows
    question = ReviewQuestion(
        title=task.title or task.name,
        labels=tuple(task.label_set),
        rules="\n\n".join(filter(None, (task.description, codebook.strip()))),
    )
    queues: dict[str, str] = {}
    with Progress("ask", sum(map(len, asked)), "texts for MLflow") as progress:
        for number, table in enumerate(asked):
            several = len(asked) > 1
            people = config.people[number : number + 1] if several else config.people
            name = f"{task.name} {tracker.run_id[:8]}"
            if several:
                name += f" {people[0]}" if people else f" person {number + 1}"
            queues[name] = fill_queue(
                tracker.run_id,
                name,
                _texts(table, context),
                question,
                people=people,
                progress=progress,
            )
    tracker.tag({REVIEW_QUEUES: json.dumps(queues)})
    return [review_page(tracker.run_id, queue_id) for queue_id in queues.values()]


def _texts(asked: pd.DataFrame, context: pd.DataFrame) -> list[ReviewText]:
    """The texts of a person's table, each with its context in lines ``NAME: VALUE``."""
    lines = {
        str(name): "\n\n".join(
            f"{str(column).removeprefix(PREFIX)}: {value}" for column, value in row.items() if value
        )
        for name, row in context.iterrows()
    }
    return [
        ReviewText(str(name), str(text), lines.get(str(name), ""))
        for name, text in zip(asked["example_id"], asked["text"], strict=True)
    ]
