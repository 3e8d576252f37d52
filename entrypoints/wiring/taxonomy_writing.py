"""Taxonomies that an LLM writes, each from its own sample of the texts and logged as a run."""

from __future__ import annotations

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from entrypoints.wiring.taxonomy_texts import samples
from entrypoints.wiring.terminal import Progress, print_line
from project.annotation.cost import Meter
from project.annotation.engines.factory import open_writer
from project.annotation.writing.base import Writer, WriteRequest
from project.annotation.writing.replies import Replies
from project.config.experiment import ExperimentConfig
from project.config.taxonomy import TaxonomyConfig
from project.support.files import digest
from project.support.privacy import hashed
from project.taxonomy.file import as_json
from project.taxonomy.induce import (
    Induced,
    NoLabelsWritten,
    Settings,
    induce,
    is_summarised,
    n_requests,
    summaries,
)
from project.taxonomy.labels import Taxonomy
from project.tracking import Child, Tracker

KIND = "taxonomy draft"
"""Kind of the run of one taxonomy."""


class Draft(NamedTuple):
    """One taxonomy, or why there is none.

    Attributes
    ----------
    taxonomy
        The labels; None where the model wrote no list.
    facts
        What the report says of it.
    """

    taxonomy: Taxonomy | None
    facts: dict[str, Any]


def settings_of(asked: TaxonomyConfig) -> Settings:
    """How taxonomies are made, from the parameters."""
    return Settings(
        use_case=" ".join(asked.use_case.split()),
        other=asked.other_label.strip(),
        max_labels=asked.max_labels,
        summary_words=asked.summary_words,
        batch_texts=asked.batch_texts,
    )


def write_drafts(
    tracker: Tracker,
    examples: pd.DataFrame,
    asked: TaxonomyConfig,
    config: ExperimentConfig,
    meter: Meter,
) -> list[Draft]:
    """All taxonomies that were asked for; those that the model could not write have a reason.

    Every prompt and reply is on disk, and in the run of its taxonomy unless the run is private.
    Raises NoLabelsWritten if there is none at all.
    """
    writer = open_writer(config)
    replies = Replies(Path(config.host.workspace) / "written", writer, meter)
    for sentence in replies.damage:
        print_line(sentence)
    drafts = []
    errors = []
    try:
        drawn = samples(examples, asked.taxonomy_texts, asked.taxonomies, asked.taxonomy_seed)
        for index, rows in enumerate(drawn):
            author = _Author(writer, replies, asked, config, index)
            try:
                drafts.append(author.draft(tracker, examples, rows))
            except NoLabelsWritten as error:
                errors.append(error)
                author.log_failure(tracker, examples, rows, str(error))
                drafts.append(Draft(None, {"index": index, "error": str(error)}))
                print_line(f"taxonomy {index}: {error}")
    finally:
        replies.close()
        writer.close()
    for note in getattr(writer, "notes", ()):
        print_line(f"note: {note}")
    if not any(draft.taxonomy for draft in drafts):
        raise errors[0]
    return drafts


class _Author:
    """Writes one taxonomy, and keeps what was asked and answered."""

    def __init__(
        self,
        writer: Writer,
        replies: Replies,
        asked: TaxonomyConfig,
        config: ExperimentConfig,
        index: int,
    ) -> None:
        self._writer = writer
        self._replies = replies
        self._asked = asked
        self._config = config
        self._index = index
        self._written: list[dict[str, Any]] = []

    def draft(self, tracker: Tracker, examples: pd.DataFrame, rows: npt.NDArray[np.int64]) -> Draft:
        """The taxonomy of the texts at ``rows``, logged as a run."""
        settings = settings_of(self._asked)
        texts = examples["text"].iloc[rows].tolist()
        n_long = sum(is_summarised(text, settings.summary_words) for text in texts)
        total = n_long + n_requests(len(texts), settings)
        seed = self._asked.taxonomy_seed + self._index
        with Progress(f"taxonomy {self._index}", total, "replies") as progress:

            def write(prompts: Sequence[str], max_tokens: int, seed: int) -> list[str]:
                return self._write(prompts, max_tokens, seed, progress)

            induced = induce(summaries(texts, settings, write), settings, write, seed)
        facts = _facts(self._index, induced, len(texts), n_long)
        # The replies before are summaries, which are cut anyway.
        facts["n_unfinished"] = sum(not each["is_whole"] for each in self._written[n_long:])
        self._log(tracker, induced, facts, examples["example_id"].iloc[rows].tolist())
        return Draft(induced.taxonomy, facts)

    def _write(
        self, prompts: Sequence[str], max_tokens: int, seed: int, progress: Progress
    ) -> list[str]:
        temperature = self._config.annotate.temperature
        requests = [WriteRequest(prompt, max_tokens, temperature, seed) for prompt in prompts]
        progress.expect(len(self._written) + len(requests))  # a list may be asked for again
        found = self._replies.replies(requests, progress)
        self._written += [
            {"prompt": request.prompt, "seed": seed, **reply._asdict()}
            for request, reply in zip(requests, found, strict=True)
        ]
        return [reply.text for reply in found]

    def log_failure(
        self,
        tracker: Tracker,
        examples: pd.DataFrame,
        rows: npt.NDArray[np.int64],
        reason: str,
    ) -> None:
        """Log what was asked and answered where no reply held a list of labels."""
        facts = {"index": self._index, "error": reason}
        ids = examples["example_id"].iloc[rows].tolist()
        self._log_run(tracker, ids, facts, {"n_labels": 0}, "wrote no list of labels", "FAILED")

    def _log(
        self, tracker: Tracker, induced: Induced, facts: dict[str, Any], ids: Sequence[str]
    ) -> None:
        """Log the taxonomy as a run: its labels, every prompt and reply, what it took."""
        metrics = {
            "n_labels": len(induced.taxonomy.labels),
            "replies_not_read": sum(step.n_tries - step.is_read for step in induced.steps),
        }
        names = ", ".join(label.name for label in induced.taxonomy.labels)
        labels = {**as_json(induced.taxonomy), **facts}
        self._log_run(tracker, ids, labels, metrics, f"proposes {names}", "FINISHED")

    def _log_run(
        self,
        tracker: Tracker,
        ids: Sequence[str],
        facts: dict[str, Any],
        metrics: dict[str, int],
        what: str,
        status: str,
    ) -> None:
        asked = self._asked
        key = {
            "writer": dict(self._writer.identity),
            "settings": dataclasses.asdict(settings_of(asked)),
            "texts": list(ids),
            "seed": asked.taxonomy_seed + self._index,
            "temperature": self._config.annotate.temperature,
        }
        metrics = {
            **metrics,
            "replies": len(self._written),
            "prompt_tokens": sum(each["prompt_tokens"] for each in self._written),
            "generated_tokens": sum(each["generated_tokens"] for each in self._written),
        }
        private = self._config.store.private
        with tempfile.TemporaryDirectory() as folder:
            labels, written = Path(folder) / "labels.json", Path(folder) / "written.jsonl"
            labels.write_text(json.dumps(facts, indent=1), encoding="utf-8")
            rows = [_private(each) for each in self._written] if private else self._written
            written.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
            tracker.log_child(
                Child(
                    f"taxonomy {self._index:02d}",
                    KIND,
                    digest(key),
                    {
                        "annotator": self._config.annotate.annotator,
                        "annotator_model": self._config.annotate.annotator_model,
                        "taxonomy_index": self._index,
                        "n_examples": len(ids),
                    },
                    metrics={name: float(value) for name, value in metrics.items()},
                    files={"labels.json": labels, "written.jsonl": written},
                    description=f"{self._writer.name} {what} ({len(ids)} texts).",
                    status=status,
                )
            )


def _private(row: dict[str, Any]) -> dict[str, Any]:
    """A prompt and its reply without their words."""
    return {**row, "prompt": hashed(row["prompt"]), "text": hashed(row["text"])}


def _facts(index: int, induced: Induced, n_texts: int, n_summaries: int) -> dict[str, Any]:
    """What the report says of a taxonomy."""
    return {
        "index": index,
        "labels": as_json(induced.taxonomy)["labels"],
        "n_texts": n_texts,
        "n_summaries": n_summaries,
        "n_cut": induced.n_cut,
        "steps": [
            {
                "name": step.name,
                "n_texts": step.n_texts,
                "labels": [label.name for label in step.labels],
                "n_tries": step.n_tries,
                "is_read": step.is_read,
            }
            for step in induced.steps
        ],
    }
