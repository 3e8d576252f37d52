"""Questions for a human as files, for people or Label Studio, and the labels that come back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from project.data.answers import answered_ids, answered_labels, is_empty
from project.data.raw_data import read_file
from project.data.task import Task
from project.support.errors import AssayError

_MAX_IDS_SHOWN = 5


@dataclass(frozen=True)
class HumanLabels:
    """The labels in a file that a human filled in.

    Attributes
    ----------
    labels
        Usable labels by ``example_id``, each id once.
    unanswered
        Ids of rows without a label.
    contradictory
        Ids with two different labels; they count as unanswered.
    unknown
        Ids that no example of the task has.
    """

    labels: pd.Series
    unanswered: tuple[str, ...]
    contradictory: tuple[str, ...]
    unknown: tuple[str, ...]

    def notes(self) -> list[str]:
        """One line for each reason why rows are not used."""
        not_used = (
            (self.unanswered, "have no label in it"),
            (self.contradictory, "are labelled in two ways and count as unanswered"),
            (self.unknown, "are no examples of this task and are left aside"),
        )
        return [
            f"human: {len(ids)} rows {reason} ({_first_of(ids)})" for ids, reason in not_used if ids
        ]


def _first_of(ids: Sequence[str]) -> str:
    """The first few ids, with dots where there are more."""
    return ", ".join(ids[:_MAX_IDS_SHOWN]) + (", ..." if len(ids) > _MAX_IDS_SHOWN else "")


def answer_rows(path: Path) -> pd.DataFrame:
    """The rows of a file with human labels: a table, or an export of Label Studio (.json)."""
    return _label_studio(path) if path.suffix == ".json" else read_file(path)


def read_human_labels(path: Path, task: Task) -> HumanLabels:
    """The human labels in a file.

    Parameters
    ----------
    path
        A .csv, .jsonl or .parquet file with the columns ``example_id`` and ``label``, or an export
        of Label Studio (.json).
    task
        The task whose examples were labelled.

    Raises
    ------
    AssayError
        If a column is missing, or a label is not one of the task's, since the same typing error may
        be in many rows. An empty label is no error.
    """
    table = answer_rows(path)
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(
            f"human file {path.name} must have the columns example_id and label; missing: "
            f"{', '.join(sorted(missing))}."
        )
    ids = answered_ids(table, task)
    empty = is_empty(table["label"])
    labels = answered_labels(f"human file {path.name}", table, task)
    known = ids.isin(task.examples["example_id"]).to_numpy()
    usable = pd.DataFrame({"example_id": ids, "label": labels})[known & ~empty]
    # Several people may have labelled the same text: equal labels count once, different ones not.
    n_labels = usable.groupby("example_id", sort=False)["label"].nunique()
    contradictory = tuple(n_labels.index[n_labels > 1])
    unique = usable[~usable["example_id"].isin(contradictory)].drop_duplicates("example_id")
    by_id = unique.set_index("example_id")["label"]
    unanswered = tuple(
        name
        for name in dict.fromkeys(ids[known & empty])
        if name not in by_id.index and name not in contradictory
    )
    unknown = tuple(dict.fromkeys(ids[~known]))
    return HumanLabels(by_id, unanswered, contradictory, unknown)


def questions(examples: pd.DataFrame, annotations: pd.DataFrame | None, seed: int) -> pd.DataFrame:
    """A table for a person to fill in: ``example_id``, ``text`` and an empty ``label``, shuffled.

    Parameters
    ----------
    examples
        The examples to label.
    annotations
        The LLM's labels, to be shown in the column ``llm_label``; None hides them.
    seed
        Seed of the order, which tells nothing about the ranking.
    """
    table = examples[["example_id", "text"]].assign(label="")
    if annotations is not None:
        llm_labels = annotations.set_index("example_id")["label"]
        table["llm_label"] = llm_labels.reindex(table["example_id"]).to_numpy()
    order = np.random.default_rng(seed).permutation(len(table))
    return table.iloc[order].reset_index(drop=True)


def label_studio_tasks(questions: pd.DataFrame, model: str) -> bytes:
    """The questions as a JSON file of tasks to import into Label Studio.

    The LLM's label, in the column ``llm_label`` if it is shown, becomes a prediction of ``model``.
    """
    tasks: list[dict[str, Any]] = []
    for row in questions.to_dict("records"):
        task: dict[str, Any] = {"data": {"example_id": row["example_id"], "text": row["text"]}}
        if isinstance(row.get("llm_label"), str):
            task["predictions"] = [{"model_version": model, "result": [_choice(row["llm_label"])]}]
        tasks.append(task)
    return json.dumps(tasks, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def label_studio_interface(label_set: Sequence[str], title: str) -> str:
    """The labelling interface (XML) to paste into the settings of a Label Studio project."""
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in label_set)
    return (
        f'<View>\n  <Header value={quoteattr(title)}/>\n  <Text name="text" value="$text"/>\n'
        '  <Choices name="label" toName="text" choice="single" showInLine="true">\n'
        f"{choices}\n  </Choices>\n</View>\n"
    )


def _choice(label: str) -> dict[str, Any]:
    """One choice in the format of Label Studio."""
    return {
        "from_name": "label",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [label]},
    }


def _label_studio(path: Path) -> pd.DataFrame:
    """The rows of a Label Studio export (JSON or JSON-MIN), one for each label of a person.

    A skipped task has one row without a label.
    """
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
        rows = [(task, *answer) for task in tasks for answer in _answers(task)]
        table = pd.DataFrame(
            {
                "example_id": [str(task.get("data", task)["example_id"]) for task, _, _ in rows],
                "label": pd.Series([label for _, label, _ in rows], dtype=object),
            }
        )
        table["rater"] = pd.Series([person for _, _, person in rows], dtype=object)
        # A task that nobody labelled has no person.
        people = table.loc[table["label"].notna() | table["rater"].notna(), "rater"]
        if people.nunique() > 1 and people.notna().all():
            return table[table["rater"].notna()].reset_index(drop=True)
        # One person alone is named by the file, as in every other format.
        return table.drop(columns="rater")
    except FileNotFoundError:
        raise AssayError(
            f"human file {path} does not exist. Give a path from the project's folder, or an "
            "absolute one."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise AssayError(
            f"human file {path.name} is no export of Label Studio with example_id and one choice "
            f"in every task ({type(error).__name__}: {error}). Export it as JSON or JSON-MIN."
        ) from None


def _answers(task: Mapping[str, Any]) -> list[tuple[str | None, str | None]]:
    """The labels that people gave to one task of an export, each with the person.

    A task that was skipped has one answer without a label.
    """
    if "data" not in task:  # JSON-MIN
        return [(task.get("label"), _person(task.get("annotator")))]
    answers: list[tuple[str | None, str | None]] = []
    skipped: list[tuple[str | None, str | None]] = []
    for annotation in task.get("annotations", ()):
        person = _person(annotation.get("completed_by"))
        if annotation.get("was_cancelled"):
            skipped.append((None, person))
        else:
            answers += [(result["value"]["choices"][0], person) for result in annotation["result"]]
    return answers or skipped[:1] or [(None, None)]


def _person(value: Any) -> str | None:
    """The person behind an annotation: Label Studio writes a number or the account's fields."""
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("id")
    return None if value is None else f"annotator {value}"
