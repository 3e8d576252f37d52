"""Questions for a human as files, for people or Label Studio, and the labels that come back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
import pandas as pd

from project.data.answers import answered_ids, answered_labels
from project.data.cells import SEVERAL
from project.data.label_question import with_own_answers
from project.data.raw_data import read_file
from project.data.task import Task
from project.data.where import rows_of_task
from project.labels.clients.formats import house_form, with_ids
from project.labels.clients.people import no_export, rows_of_people
from project.labels.clients.rows import REASON
from project.support.errors import AssayError

_MAX_IDS_SHOWN = 5
CONTRADICTORY = "are labelled in two ways"


@dataclass(frozen=True)
class HumanLabels:
    """The labels in files that people filled in.

    Attributes
    ----------
    labels
        Usable labels by ``example_id``, each id once.
    unanswered
        Ids of rows without a label.
    reasons
        Why an unanswered row has no label, by id; an id that is not in it has an empty label.
    contradictory
        Ids with two different labels; they count as unanswered.
    unknown
        Ids that no example of the task has.
    """

    labels: pd.Series
    unanswered: tuple[str, ...]
    contradictory: tuple[str, ...]
    unknown: tuple[str, ...]
    reasons: Mapping[str, str] = field(default_factory=dict)

    def notes(self) -> list[str]:
        """One line for each reason why rows are not used."""
        not_used = [
            (self.unanswered_because(""), "have no label in it"),
            *(
                (self.unanswered_because(reason), f"{reason} and count as unanswered")
                for reason in dict.fromkeys(self.reasons.values())
            ),
            (self.contradictory, f"{CONTRADICTORY} and count as unanswered"),
            (self.unknown, "are no examples of this task and are left aside"),
        ]
        return [
            f"human: {len(ids)} rows {reason} ({_first_of(ids)})" for ids, reason in not_used if ids
        ]

    def unanswered_because(self, reason: str) -> list[str]:
        """The unanswered ids with this reason; with "" those whose label is empty."""
        return [name for name in self.unanswered if self.reasons.get(name, "") == reason]


def _first_of(ids: Sequence[str]) -> str:
    """The first few ids, with dots where there are more."""
    return ", ".join(ids[:_MAX_IDS_SHOWN]) + (", ..." if len(ids) > _MAX_IDS_SHOWN else "")


def answer_rows(path: Path, task: Task | None = None) -> pd.DataFrame:
    """The rows of a file with human labels: ``example_id``, ``label`` and, if known, ``rater``.

    A column ``no_label_because`` says why a row of another program's export has no label.

    Parameters
    ----------
    path
        A table in the house's form, or an export of Label Studio, Prodigy, doccano or Argilla.
    task
        The task whose examples were labelled. It finds the column of the choices by the labels,
        and the examples by their texts where the file has no ids.
    """
    title = f"human file {path.name}"
    label_set = _choices_of(task)
    content = _json(path) if path.suffix.lower() == ".json" else None
    if content and any("annotations" in entry for entry in content):
        table = rows_of_people(path.name, content, label_set, several=_has_several(task))
    else:
        raw = read_file(path) if content is None else pd.DataFrame(content)
        own = raw if task is None else rows_of_task(raw, task.where, title, besides=("label",))
        table = house_form(own, label_set, title, several=_has_several(task))
    if task is None:
        return table
    if _has_several(task) and REASON in table.columns and (table[REASON] == SEVERAL).any():
        raise AssayError(
            f"{title} must hold all labels of a text; this export can be read for one label alone. "
            "Export Label Studio as JSON, or write a table with example_id and label, in which "
            f"{task.card.separator!r} stands between the labels."
        )
    return with_ids(with_own_answers(table, task.card, "label"), task)


def _choices_of(task: Task | None) -> Sequence[str]:
    """The labels that people chose from: all labels of a card where a text may have several."""
    if task is None:
        return ()
    return task.card.one_label.labels if task.card.one_label else task.label_set


def _has_several(task: Task | None) -> bool:
    """Whether people may have named several labels of a text, of which the task is one."""
    return task is not None and task.card.one_label is not None


def read_human_labels(files: Path | Sequence[Path], task: Task) -> HumanLabels:
    """The human labels in one file or several.

    Different labels of one text, in one file or in two, count as unanswered.

    Parameters
    ----------
    files
        Tables (.csv, .tsv, .jsonl, .parquet) with the columns ``example_id``, or the text, and
        ``label``; or exports of Label Studio, Prodigy, doccano or Argilla.
    task
        The task whose examples were labelled.

    Raises
    ------
    AssayError
        If a column is missing, or a label is not one of the task's, since the same typing error may
        be in many rows. An empty label is no error.
    """
    paths = [files] if isinstance(files, Path) else files
    rows = pd.concat([_checked_rows(path, task) for path in paths], ignore_index=True)
    known = rows["example_id"].isin(task.examples["example_id"])
    is_usable = known & rows["label"].notna()
    usable = rows[is_usable]
    # Several people may have labelled the same text: equal labels count once, different ones not.
    n_labels = usable.groupby("example_id", sort=False)["label"].nunique()
    contradictory = tuple(n_labels.index[n_labels > 1])
    unique = usable[~usable["example_id"].isin(contradictory)].drop_duplicates("example_id")
    without = rows[known & ~is_usable & ~rows["example_id"].isin(usable["example_id"])]
    by_id = without.sort_values("reason", ascending=False, kind="stable")  # a reason before none
    reasons = by_id.drop_duplicates("example_id").set_index("example_id")["reason"]
    return HumanLabels(
        labels=unique.set_index("example_id")["label"],
        unanswered=tuple(dict.fromkeys(without["example_id"])),
        contradictory=contradictory,
        unknown=tuple(dict.fromkeys(rows.loc[~known, "example_id"])),
        reasons={name: reason for name, reason in reasons.items() if reason},
    )


def _checked_rows(path: Path, task: Task) -> pd.DataFrame:
    """``example_id``, ``label`` (null for none) and ``reason`` of every row of a file."""
    table = answer_rows(path, task)
    missing = {"example_id", "label"} - set(table.columns)
    if missing:
        raise AssayError(
            f"human file {path.name} must have the columns example_id and label; missing: "
            f"{', '.join(sorted(missing))}."
        )
    labels = answered_labels(f"human file {path.name}", table, task)
    return pd.DataFrame(
        {
            "example_id": answered_ids(table, task).to_numpy(dtype=object),
            "label": pd.Series(labels, dtype=object),
            "reason": table[REASON].to_numpy() if REASON in table.columns else "",
        }
    )


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
        shown = {name: cell for name, cell in row.items() if name not in ("label", "llm_label")}
        task: dict[str, Any] = {"data": shown}
        if isinstance(row.get("llm_label"), str):
            task["predictions"] = [{"model_version": model, "result": [_choice(row["llm_label"])]}]
        tasks.append(task)
    return json.dumps(tasks, indent=1, ensure_ascii=False).encode("utf-8", "surrogatepass")


def label_studio_interface(label_set: Sequence[str], title: str, *, several: bool = False) -> str:
    """The labelling interface (XML) to paste into the settings of a Label Studio project.

    ``several``: whether a person may tick several labels.
    """
    choice = "multiple" if several else "single"
    choices = "\n".join(f"    <Choice value={quoteattr(label)}/>" for label in label_set)
    return (
        f'<View>\n  <Header value={quoteattr(title)}/>\n  <Text name="text" value="$text"/>\n'
        f'  <Choices name="label" toName="text" choice="{choice}" showInLine="true">\n'
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


def _json(path: Path) -> list[Any]:
    """The entries of a .json file, which must hold a list, or an entry in each line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        is_list = text.lstrip().startswith("[")
        content = json.loads(text) if is_list else [json.loads(line) for line in text.splitlines()]
    except FileNotFoundError:
        raise AssayError(
            f"human file {path} does not exist. Give a path from the project's folder, or an "
            "absolute one."
        ) from None
    except ValueError as error:
        raise no_export(path.name, error) from None
    if not isinstance(content, list) or not all(isinstance(entry, dict) for entry in content):
        raise no_export(path.name, TypeError("no list of tasks"))
    return content
