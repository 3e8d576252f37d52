"""What a human is asked, as files that a person or Label Studio fills in, and the answers that come back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from project.data.card import as_label
from project.data.task import Task, read_file
from project.support.errors import AssayError

_SHOWN = 5  # ids in a message


@dataclass(frozen=True)
class Answers:
    """A human's labels: ``labels`` by ``example_id``. What was not used, by id: ``unanswered``, ``contradictory``, ``unknown`` to the task."""

    labels: pd.Series
    unanswered: tuple[str, ...]
    contradictory: tuple[str, ...]
    unknown: tuple[str, ...]

    def notes(self) -> list[str]:
        """What a person should know of the answers that are not used, a line each."""
        left_aside = (
            (self.unanswered, "have no label in it"),
            (self.contradictory, "are labelled in two ways and count as unanswered"),
            (self.unknown, "are no examples of this task and are left aside"),
        )
        return [
            f"human: {len(ids)} rows {what} ({', '.join(ids[:_SHOWN])}{', ...' if len(ids) > _SHOWN else ''})"
            for ids, what in left_aside
            if ids
        ]


def read_answers(path: Path, task: Task) -> Answers:
    """The answers in a .csv, .jsonl or .parquet file with the columns ``example_id`` and ``label``, or in an export of Label Studio (.json).

    An empty label is no answer. One that is none of the task's labels is an error, since it can be a slip in many rows.
    """
    table = _label_studio(path) if path.suffix == ".json" else read_file(path)
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(
            f"human file {path.name} must have the columns example_id and label; missing: {', '.join(sorted(missing))}."
        )
    ids, values = table["example_id"].astype(str), table["label"]
    empty = (values.isna() | (values.astype(str).str.strip() == "")).to_numpy()
    labels = [
        None if nothing else as_label(value, task.label_set, task.values)
        for value, nothing in zip(values, empty, strict=True)
    ]
    wrong = np.array([label is None for label in labels]) & ~empty
    if wrong.any():
        row = int(np.argmax(wrong))
        raise AssayError(
            f"human file {path.name}: labels must be among {', '.join(task.label_set)}; {int(wrong.sum())} are not, the first is "
            f"{values.iloc[row]!r} of example {ids.iloc[row]!r}. Correct them."
        )
    known = ids.isin(task.examples["example_id"]).to_numpy()
    given = pd.DataFrame({"example_id": ids, "label": labels})[known & ~empty]
    kinds = given.groupby("example_id", sort=False)["label"].nunique()
    contradictory = tuple(kinds.index[kinds > 1])
    answers = (
        given[~given["example_id"].isin(contradictory)]
        .drop_duplicates("example_id")
        .set_index("example_id")["label"]
    )
    unanswered = [
        one
        for one in dict.fromkeys(ids[known & empty])
        if one not in answers.index and one not in contradictory
    ]
    return Answers(answers, tuple(unanswered), contradictory, tuple(dict.fromkeys(ids[~known])))


def questions(examples: pd.DataFrame, annotations: pd.DataFrame | None, seed: int) -> pd.DataFrame:
    """What to hand to a person, in an order that tells nothing: ``example_id``, ``text`` and an empty ``label``.

    ``annotations``: where a person shall see what the annotator says, its answers to the same examples, in the column ``llm_label``.
    """
    asked = examples[["example_id", "text"]].assign(label="")
    if annotations is not None:
        asked["llm_label"] = (
            annotations.set_index("example_id")["label"].reindex(asked["example_id"]).to_numpy()
        )
    return asked.iloc[np.random.default_rng(seed).permutation(len(asked))].reset_index(drop=True)


def label_studio_tasks(asked: pd.DataFrame, model: str) -> bytes:
    """:func:`questions` as tasks that Label Studio imports; an ``llm_label`` becomes a prediction of ``model``."""
    tasks: list[dict[str, Any]] = []
    for row in asked.to_dict("records"):
        task: dict[str, Any] = {"data": {"example_id": row["example_id"], "text": row["text"]}}
        if isinstance(row.get("llm_label"), str):
            task["predictions"] = [{"model_version": model, "result": [_choice(row["llm_label"])]}]
        tasks.append(task)
    return json.dumps(tasks, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def label_studio_interface(label_set: Sequence[str], title: str) -> str:
    """The labelling interface for these tasks, to be pasted into Label Studio's project settings."""
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in label_set)
    return (
        f'<View>\n  <Header value={quoteattr(title)}/>\n  <Text name="text" value="$text"/>\n'
        f'  <Choices name="label" toName="text" choice="single" showInLine="true">\n{choices}\n  </Choices>\n</View>\n'
    )


def _choice(label: str) -> dict[str, Any]:
    return {
        "from_name": "label",
        "to_name": "text",
        "type": "choices",
        "value": {"choices": [label]},
    }


def _label_studio(path: Path) -> pd.DataFrame:
    """An export of Label Studio, whole (JSON) or short (JSON-MIN), one row for each label that a person gave; skipped tasks have none."""
    try:
        tasks = json.loads(path.read_text(encoding="utf-8"))
        rows = [(task, label) for task in tasks for label in _labels(task)]
        return pd.DataFrame(
            {
                "example_id": [str(task.get("data", task)["example_id"]) for task, _ in rows],
                "label": pd.Series([label for _, label in rows], dtype=object),
            }
        )
    except FileNotFoundError:
        raise AssayError(
            f"human file {path} does not exist. Give a path from the project's folder, or an absolute one."
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        raise AssayError(
            f"human file {path.name} is no export of Label Studio with example_id and one choice in every task "
            f"({type(error).__name__}: {error}). Export it as JSON or JSON-MIN."
        ) from None


def _labels(task: Mapping[str, Any]) -> list[str | None]:
    if "data" not in task:
        return [task.get("label")]
    given = [
        one["value"]["choices"][0]
        for entry in task.get("annotations", ())
        if not entry.get("was_cancelled")
        for one in entry["result"]
    ]
    return [*given] or [None]
