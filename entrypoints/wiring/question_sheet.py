"""Questions for a person, in the files that people and programs read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from analysis.store.publish import where_to_look
from entrypoints.wiring.question_context import context_of, with_context
from entrypoints.wiring.review_questions import IN_MLFLOW, fill_queues
from entrypoints.wiring.terminal import print_line
from project.config.ask import AskConfig
from project.config.experiment import ExperimentConfig
from project.data.spreadsheet import csv_for_spreadsheets, with_choices
from project.data.task import Task
from project.labels.human import label_studio_interface, label_studio_tasks
from project.labels.label_page import label_page
from project.support.errors import AssayError
from project.support.escape import escape_markdown
from project.support.files import write_atomically
from project.support.parquet import write_table
from project.tracking import Tracker

SAMPLING = "sampling.parquet"
"""Artifact with a row for every text that could be asked about: whether it is, and why."""


_HOW_TO_LABEL = {
    "files": "Label on the page and export the answers, or fill in the column label.",
    IN_MLFLOW: "Label in MLflow.",
}


@dataclass(frozen=True)
class QuestionSheet:
    """Questions and how they were chosen.

    Attributes
    ----------
    task
        The task whose texts are asked about.
    annotator
        Name of the annotator whose labels are shown; "" for none.
    asked
        For each person a table from :func:`project.labels.human.questions`.
    sampling
        A row for every text that could be asked about: ``example_id``, ``asked``, ``reason`` and
        ``inclusion_probability``.
    title
        What the questions are, in a sentence.
    next_step
        What to do with the answers.
    several
        Whether a text may have several of the task's labels.
    """

    task: Task
    annotator: str
    asked: Sequence[pd.DataFrame]
    sampling: pd.DataFrame
    title: str
    next_step: str
    several: bool = False


def publish_sheet(
    tracker: Tracker,
    sheet: QuestionSheet,
    asked: AskConfig,
    config: ExperimentConfig,
    *,
    codebook: str,
) -> None:
    """Write the questions into the workspace, log them, and print where they are.

    Parameters
    ----------
    tracker
        The tracker of the root run.
    sheet
        The questions.
    asked, config
        The parameters of the entry point.
    codebook
        Rules for the person, shown on the page.
    """
    folder = Path(config.host.workspace) / "questions" / tracker.run_id
    context = context_of(sheet.task, config.task, asked.context)
    files = write_sheet(folder, sheet, context, codebook=codebook, blind=asked.blind)
    # In a private run, only the sampling is logged: it names texts by their ids alone.
    logged = (SAMPLING,) if config.store.private else files
    tracker.log_files({f"questions/{name}": folder / name for name in logged})
    tracker.describe(escape_markdown(sheet.title))
    print_line(
        f"ask: {sheet.title}\n\n"
        f"page         {_named(folder, sheet, 'label.html')}, to label in a browser\n"
        f"questions    {_named(folder, sheet, 'questions.csv')}\n"
        f"Label Studio {_named(folder, sheet, 'label_studio.json')}, with the interface "
        "label_studio.xml beside it\n"
        f"sampling     {(folder / SAMPLING).resolve()}\n"
        f"{where_to_look(tracker, 13)}\n"
    )
    if asked.to == IN_MLFLOW:
        pages = fill_queues(
            tracker, sheet.task, sheet.asked, context, config=asked, codebook=codebook
        )
        print_line("\n".join(f"{'label here':<13}{address}" for address in pages) + "\n")
    print_line(
        f"{_HOW_TO_LABEL[asked.to]} "
        f"{sheet.next_step.format(sampling=(folder / SAMPLING).resolve())}"
    )


def write_sheet(
    folder: Path, sheet: QuestionSheet, context: pd.DataFrame, *, codebook: str, blind: bool
) -> tuple[str, ...]:
    """Write all files into ``folder``; their names."""
    task = sheet.task
    title = task.title or task.name
    interface = label_studio_interface(task.label_set, title, several=sheet.several)
    contents = {"label_studio.xml": interface.encode()}
    for number, asked in enumerate(sheet.asked):
        page = label_page(
            asked,
            task.label_set,
            title=title,
            description=task.description,
            codebook=codebook,
            blind=blind,
            several=sheet.several,
        )
        contents[_file_name(sheet, "label.html", number)] = page
        table = with_choices(with_context(asked, context), task.label_set)
        contents[_file_name(sheet, "questions.csv", number)] = csv_for_spreadsheets(table)
        tasks = label_studio_tasks(with_context(asked, context), sheet.annotator)
        contents[_file_name(sheet, "label_studio.json", number)] = tasks
    for name, data in contents.items():
        write_atomically(folder / name, data)
    write_table(folder / SAMPLING, sheet.sampling)
    return (*contents, SAMPLING)


def _file_name(sheet: QuestionSheet, name: str, number: int) -> str:
    """The name of a person's file: with several people it has their number, from 1."""
    if len(sheet.asked) == 1:
        return name
    path = Path(name)
    return f"{path.stem}_{number + 1}{path.suffix}"


def _named(folder: Path, sheet: QuestionSheet, name: str) -> str:
    """The path of a file, or of the first person's file of several."""
    path = (folder / _file_name(sheet, name, 0)).resolve()
    n_people = len(sheet.asked)
    return f"{path} to {_file_name(sheet, name, n_people - 1)}" if n_people > 1 else str(path)


def load_codebook(path: str) -> str:
    """The text of a codebook, empty for an empty path; AssayError if it cannot be read."""
    if not path:
        return ""
    try:
        return Path(path).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(
            f"codebook must be a text file in UTF-8; {path} cannot be read: {reason}. Give the "
            "path of another file, or leave codebook out."
        ) from None
