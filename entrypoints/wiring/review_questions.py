"""The questions of a sheet in review queues of MLflow, one for each person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from entrypoints.wiring.question_context import PREFIX
from entrypoints.wiring.terminal import Progress, print_line
from project.config.ask import AskConfig
from project.data.task import Task
from project.support.errors import AssayError
from project.support.privacy import is_private
from project.tracking import Tracker
from project.tracking.review import (
    MAX_PEOPLE,
    MAX_SHOWN,
    ReviewQuestion,
    ReviewText,
    check_labels,
    fill_queue,
    review_page,
    tags_of_queue,
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
    if config.raters == 1 and len(config.people) > MAX_PEOPLE:
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
    pages: list[str] = []
    texts = [_texts(table, context) for table in asked]
    if note := _note_on_long_texts(texts):
        print_line(f"note: {note}")
    with Progress("ask", sum(map(len, texts)), "texts for MLflow") as progress:
        for number, of_person in enumerate(texts, start=1):
            people = config.people if len(asked) == 1 else config.people[number - 1 : number]
            queue = fill_queue(
                tracker.run_id,
                number,
                task.name,
                of_person,
                question,
                people=people,
                progress=progress,
            )
            tracker.tag(tags_of_queue(number, queue))  # at once: a queue that stands can be read
            pages.append(review_page(tracker.run_id, queue.queue_id))
    return pages


def _note_on_long_texts(texts: Sequence[Sequence[ReviewText]]) -> str:
    """How many texts MLflow shows in part; empty where it shows all of each."""
    shown = {text.example_id: text.shown for of_person in texts for text in of_person}
    n_long = sum(len(text) > MAX_SHOWN for text in shown.values())
    if not n_long:
        return ""
    return (
        f"{n_long} of {len(shown)} texts have more than {MAX_SHOWN:,} characters. MLflow's page "
        "shows the beginning of these; the whole text is under View full trace. label.html shows "
        "all of every text."
    )


def _texts(asked: pd.DataFrame, context: pd.DataFrame) -> list[ReviewText]:
    """The texts of a person's table, each below lines ``NAME: VALUE`` of its context."""
    lines = {
        str(name): [
            f"{str(column).removeprefix(PREFIX)}: {value}" for column, value in row.items() if value
        ]
        for name, row in context.iterrows()
    }
    return [
        ReviewText(str(name), "\n\n".join([*lines.get(str(name), []), str(text)]))
        for name, text in zip(asked["example_id"], asked["text"], strict=True)
    ]
