"""A dry run of a taxonomy: one request of each kind, and how many there would be; of an edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from entrypoints.wiring.taxonomy_edit import Previous, edited_labels
from entrypoints.wiring.taxonomy_texts import samples
from entrypoints.wiring.taxonomy_writing import settings_of
from entrypoints.wiring.terminal import print_line
from project.annotation.cost import price
from project.config.experiment import ExperimentConfig
from project.config.taxonomy import TaxonomyConfig
from project.support.escape import escape_markdown
from project.taxonomy import prompts
from project.taxonomy.induce import MAX_CHARACTERS, is_summarised
from project.taxonomy.labels import Label, Taxonomy
from project.tracking import Tracker

_CHARACTERS_A_TOKEN = 4
_DEFINITION = "A definition of about twenty words, which is as long as models write them here."


def plan(
    tracker: Tracker, examples: pd.DataFrame, asked: TaxonomyConfig, config: ExperimentConfig
) -> None:
    """Print and log the requests that a taxonomy takes. Nothing is loaded or sent.

    Tokens are estimated at four characters each.
    """
    settings = settings_of(asked)
    drawn = samples(examples, asked.taxonomy_texts, asked.taxonomies, asked.taxonomy_seed)
    texts = [[examples["text"].iloc[index] for index in rows] for rows in drawn]
    n_words = settings.summary_words
    # A dictionary keeps the order: the request that is shown is the same each time.
    long = dict.fromkeys(
        text[:MAX_CHARACTERS] for part in texts for text in part if is_summarised(text, n_words)
    )
    labels = [Label(f"Label {number}", _DEFINITION) for number in range(settings.max_labels)]
    words = 2 * n_words
    shown = [" ".join(text.split()[:words] if words else text.split()) for text in texts[0]]
    batch = shown[: settings.batch_texts]
    update = prompts.update(batch, labels, settings.use_case, settings.max_labels)
    for text in [*long][:1]:
        summary = prompts.summary(text, settings.use_case, n_words)
        print_line(f"--- a request for a summary ---\n{summary}\n---")
    proposal = prompts.proposal(batch, settings.use_case, settings.max_labels)
    print_line(f"--- the first request for labels ---\n{proposal}\n---")
    n_updates = sum(-(-len(part) // settings.batch_texts) + 1 for part in texts)
    description = Taxonomy(settings.use_case, tuple(labels), settings.other).description
    n_labelled = examples["text"].nunique() + (asked.taxonomies - 1) * min(
        asked.stability_texts, len(examples)
    )
    mean_length = examples["text"].str.len().mean()
    rows: list[dict[str, Any]] = [
        _row("summaries", len(long), sum(map(len, long)) / max(1, len(long)) + 300, 3 * words),
        _row("labels", n_updates, len(update), 24 * settings.max_labels),
        _row("labelling", n_labelled, len(description) + mean_length, 1),
    ]
    _tell(tracker, rows, config)


def plan_edit(
    tracker: Tracker, examples: pd.DataFrame, previous: Previous, config: ExperimentConfig
) -> None:
    """Print and log how many texts an edit labels again. Nothing is loaded or sent."""
    kept = edited_labels(previous, examples)
    print_line(kept.sentence)
    texts = examples["text"][np.flatnonzero(kept.again)].drop_duplicates()
    length = len(previous.edited.taxonomy.description) + (
        texts.str.len().mean() if len(texts) else 0
    )
    _tell(tracker, [_row("labelling", len(texts), length, 1)], config)


def _tell(tracker: Tracker, rows: list[dict[str, Any]], config: ExperimentConfig) -> None:
    """Print and log what the steps take, with their price."""
    for row in rows:
        row["price"] = price(
            config.spend,
            prompt_tokens=row["prompt tokens"],
            generated_tokens=row["written tokens"],
            seconds=0,
        )
    total = f"{sum(row['requests'] for row in rows)} requests"
    cost = f"price {sum(row['price'] for row in rows):.4g}"
    print_line(pd.DataFrame(rows).to_string(index=False))
    tracker.log_json("plan.json", rows)
    sentence = f"in all: {total}, {cost}, with tokens estimated at four characters each."
    tracker.describe(escape_markdown(f"A dry run of a taxonomy: {sentence}"))
    print_line(f"{sentence} Nothing was sent. Run again without dry_run.")


def _row(step: str, n_requests: int, characters: float, n_written: int) -> dict[str, Any]:
    """What one step takes: ``characters`` of each prompt, ``n_written`` tokens of each reply."""
    return {
        "step": step,
        "requests": n_requests,
        "prompt tokens": round(n_requests * characters / _CHARACTERS_A_TOKEN),
        "written tokens": n_requests * n_written,
    }
