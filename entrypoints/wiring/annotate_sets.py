"""Annotation of texts that may have several labels, all of them in one reply."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from analysis.store.publish import where_to_look
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.root_facts import root_name
from entrypoints.wiring.setup import check_store, log_setup
from entrypoints.wiring.terminal import Progress, print_line
from project.annotation.cost import Meter
from project.annotation.engines.factory import open_writer
from project.annotation.writing.base import WriteRequest
from project.annotation.writing.replies import Replies
from project.annotation.writing.sets import (
    MAX_CHARACTERS,
    MAX_TOKENS_A_LABEL,
    read_set,
    set_prompt,
)
from project.config.experiment import ExperimentConfig
from project.config.next_command import command_line
from project.data.card import Card, load_card
from project.data.one_label import YES
from project.data.task import Task, load_task
from project.stats.label_sets import SetScores, set_scores
from project.stats.types import Mask
from project.support.errors import AssayError
from project.support.escape import escape_markdown
from project.support.parquet import write_table
from project.support.privacy import owner_only, table_for_store
from project.tracking import Tracker, root_run

SETS = "sets.parquet"
"""File with the labels of every text, for ``recorded``."""
_COLUMN = "llm"


def annotate_sets(
    params: Mapping[str, str], config: ExperimentConfig, splits: Sequence[str]
) -> None:
    """Ask for all labels of every text at once, and write them as labels that exist.

    Parameters
    ----------
    params
        Every parameter of the entry point, as text.
    config
        The same, parsed; its task has several labels a text, and none of them is named.
    splits
        The splits to annotate.
    """
    if config.spend.only_plans:
        raise AssayError(
            "label must name one label with dry_run: the cost of a reply with all labels is not "
            "estimated. Set label, or max_cost with the prices."
        )
    card = load_card(config.task.task)
    check_store(config.host.workspace)
    of_labels = _tasks(card, config)
    # The texts and splits of all labels are the same.
    task = next(iter(of_labels.values()))
    task = dataclasses.replace(
        task,
        card=card,
        label_set=card.labels,
        examples=task.examples.assign(gold_label=None),
    )
    texts = task.examples[task.examples["split"].isin(splits)].reset_index(drop=True)
    writer = open_writer(config)
    replies = Replies(Path(config.host.workspace) / "written", writer, Meter(config.spend))
    name = root_name(card.name, config, writer, "sets")
    try:
        with root_run("annotation set", name, params, config.host.workspace) as tracker:
            log_setup(tracker, Invocation("annotate", params), task, config, annotator=writer)
            sets = _asked(replies, texts, card, config)
            path = _written(tracker, texts, sets, config)
            line = _logged(tracker, texts, sets, card, of_labels)
            print_line(line)
            print_line(_next(path, params))
            print_line(where_to_look(tracker))
    finally:
        replies.close()
        writer.close()


def _tasks(card: Card, config: ExperimentConfig) -> dict[str, Task]:
    """The task of every label; without those that all gold sets have, or none.

    Raises AssayError where no label has a task, as with data that cannot be read.
    """
    found: dict[str, Task] = {}
    errors: list[AssayError] = []
    for label in card.labels:
        try:
            found[label] = load_task(dataclasses.replace(config.task, label=label))
        except AssayError as error:
            errors.append(error)
    if not found:
        raise errors[0]
    return found


def _asked(
    replies: Replies, texts: pd.DataFrame, card: Card, config: ExperimentConfig
) -> list[list[str] | None]:
    """The set of every text, None without a reply."""
    requests = [
        WriteRequest(
            set_prompt(text[:MAX_CHARACTERS], card.description, card.labels, card.separator),
            MAX_TOKENS_A_LABEL * len(card.labels),
            0.0,
            0,
        )
        for text in texts["text"]
    ]
    for sentence in replies.damage:
        print_line(sentence)
    with Progress("annotate sets", len(requests), "texts") as progress:
        found = replies.replies(requests, progress)
    return [read_set(reply.text, card.labels, card.separator) for reply in found]


def _written(
    tracker: Tracker,
    texts: pd.DataFrame,
    sets: Sequence[list[str] | None],
    config: ExperimentConfig,
) -> Path:
    """Write the sets into the workspace and log them; the file."""
    folder = Path(config.host.workspace) / "sets" / tracker.run_id
    cells = [None if one is None else json.dumps(one, ensure_ascii=False) for one in sets]
    table = texts[["example_id", "text"]].assign(**{_COLUMN: pd.Series(cells, dtype="str")})
    with owner_only(config.store.private, folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_table(folder / SETS, table)
        stored = folder / SETS
        if config.store.private:
            stored = folder / f"private.{SETS}"
            write_table(stored, table_for_store(table, private=True))
    tracker.log_files({SETS: stored})
    return folder / SETS


def _logged(
    tracker: Tracker,
    texts: pd.DataFrame,
    sets: Sequence[list[str] | None],
    card: Card,
    of_labels: Mapping[str, Task],
) -> str:
    """Log how complete the sets are and, where gold is known, their scores; a sentence on both.

    What a reply that names something else does not say of a label counts as wrong.
    """
    is_read = np.array([one is not None and set(one) <= set(card.labels) for one in sets])
    n_cut = int((texts["text"].str.len() > MAX_CHARACTERS).sum())
    metrics = {"missing": float((~is_read).sum()), "truncated": float(n_cut)}
    sentence = f"{len(sets)} texts: {int((~is_read).sum())} replies name something else or nothing."
    if n_cut:
        sentence += f" {n_cut} texts were cut after {MAX_CHARACTERS} characters."
    gold, known = _gold_sets(texts, of_labels)
    if known.any():
        named = np.array([[label in (one or ()) for label in of_labels] for one in sets])
        given = np.where(is_read[:, None] | named, named, ~gold)
        scores: SetScores = set_scores(gold[known], given[known])
        metrics |= {f"sets.{name}": value for name, value in scores._asdict().items()}
        sentence += (
            f" Against the gold labels of {int(known.sum())}: micro-F1 {100 * scores.micro_f1:.1f},"
            f" Jaccard {100 * scores.jaccard:.1f}, exactly right {100 * scores.exact:.1f} %."
        )
        if unscored := [label for label in card.labels if label not in of_labels]:
            sentence += f" Without {', '.join(unscored)}: gold has them everywhere or nowhere."
    tracker.log_metrics({name: value for name, value in metrics.items() if not np.isnan(value)})
    tracker.describe(escape_markdown(sentence))
    return sentence


def _gold_sets(texts: pd.DataFrame, of_labels: Mapping[str, Task]) -> tuple[Mask, Mask]:
    """Gold sets ``(n_texts, n_labels)``, and for which texts they are known ``(n_texts,)``."""
    columns = [task.examples.set_index("example_id")["gold_label"] for task in of_labels.values()]
    gold = pd.concat(columns, axis=1).reindex(texts["example_id"])
    return (gold == YES).to_numpy(), gold.notna().all(axis=1).to_numpy()


def _next(path: Path, params: Mapping[str, str]) -> str:
    """The command that judges the labels."""
    given = {
        "tasks": params["task"],
        "annotator": "recorded",
        "recorded": str(path),
        "recorded_columns": _COLUMN,
        "arms": "gold,llm",
    }
    return f"Then run:\n{command_line('suite', given)}"
