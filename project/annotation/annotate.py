"""Annotates examples under one prompt for each draw.

Nothing is asked twice, and every shard of answers is on disk before the next step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from project.annotation.answers import ANSWER_KEY, SAMPLING
from project.annotation.cache import (
    CONTENT_FREE,
    Fetch,
    describe_sampling,
    item_keys,
    question_items,
)
from project.annotation.calibration import calibrate
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator
from project.annotation.prompt import Prompt
from project.annotation.repeats import with_repeats
from project.annotation.shards import OpenDraw, open_draw, read_shards
from project.config.annotation import AnnotateConfig
from project.data.tables import RAW_LOG_PROBABILITY, SourceRun, check, class_columns
from project.stats.information import log_mean
from project.support.errors import Incomplete
from project.support.files import digest
from project.support.parquet import content_hash

Progress = Callable[[int], None]
"""Called with the number of examples that were done since its last call."""


@dataclass(frozen=True, kw_only=True)
class Annotations:
    """One draw over one split.

    Attributes
    ----------
    table
        The annotations table, one row for each example.
    prompt
        The prompt of the draw.
    question
        Digest of all that can change an answer except the texts.
    digest
        Digest of all that can change the raw answers in ``table``, the texts included.
    n_asked
        Distinct texts that were newly paid for.
    n_reused
        Distinct texts whose answers were on disk already.
    n_fetched
        Distinct texts whose answers came from the finished runs ``sources``.
    seconds
        What the newly paid answers took.
    content_free
        Answers to content-free inputs, for contextual calibration; None without it.
    """

    table: pd.DataFrame
    prompt: Prompt
    question: str
    digest: str
    n_asked: int
    n_reused: int
    n_fetched: int
    seconds: float
    content_free: pd.DataFrame | None
    sources: Sequence[SourceRun] = ()


def annotate(
    annotators: Sequence[Annotator],
    prompts: Sequence[Prompt],
    examples: pd.DataFrame,
    label_set: Sequence[str],
    *,
    config: AnnotateConfig,
    folder: Path,
    progress: Progress,
    meter: Meter,
    seed: int = 0,
    fetch: Fetch | None = None,
) -> Iterator[Annotations]:
    """Annotate all examples under each of the prompts; yields each draw when it is complete.

    Identical texts are asked about once. Every shard of answers is written below ``folder`` before
    anything else happens, and is not asked for again.

    Parameters
    ----------
    annotators
        Copies of one annotator. They share the work, by draw and then by shard.
    prompts
        One prompt for each draw.
    examples
        The examples table, at least one row.
    label_set
        The classes, in the order of the answers.
    config
        Calibration and repeats.
    folder
        Where answers are kept, in one folder for each question.
    progress
        Called with the number of examples done since its last call.
    meter
        Counts what is paid for; see Raises.
    seed
        Seed of the repeats.
    fetch
        Yields answers from finished runs elsewhere; they are copied to ``folder`` first.

    Raises
    ------
    Stopped
        Where the next shard would pass a limit of ``meter``.
    Incomplete
        Where an engine failed or gave log probabilities that are not numbers.
    AssayError
        Where calibration or repeats need probabilities that the annotator does not give.
    """
    items = question_items(examples, annotators[0], config)
    draws = []
    for prompt in prompts:
        draw = open_draw(annotators[0], prompt, items, config=config, folder=folder, fetch=fetch)
        progress(len(examples) - sum(map(draw.n_examples, draw.shards)))
        draws.append(draw)
    results = read_shards(annotators, draws, label_set, config, meter=meter)
    waiting = deque(draws)
    while waiting:
        # Shards of later draws may be done first: they are counted until the first draw is whole.
        while waiting[0].n_shards_done < len(waiting[0].shards):
            draw, n_examples = next(results)
            draw.n_shards_done += 1
            progress(n_examples)
        draw = waiting.popleft()
        _check_numbers(annotators[0], draw)
        yield _annotations(draw, examples, label_set, config, seed=seed)


def _check_numbers(annotator: Annotator, draw: OpenDraw) -> None:
    """Raise Incomplete where answers of a draw are not numbers."""
    if draw.n_broken:
        raise Incomplete(
            f"{annotator.name} gave log probabilities that are not numbers for {draw.n_broken} "
            f"texts of draw {draw.prompt.draw}. {draw.n_shards_aside} shards with them are set "
            f"aside in {draw.cache.path}; all others are kept. Set annotator_dtype=float32 (or "
            "bfloat16 in place of float16)."
        )


def _annotations(
    draw: OpenDraw,
    examples: pd.DataFrame,
    label_set: Sequence[str],
    config: AnnotateConfig,
    *,
    seed: int,
) -> Annotations:
    """The annotations of a draw whose answers are all on disk."""
    free = None
    prior = None
    if config.calibration == "contextual":
        free = draw.cache.answers(pa.array(item_keys(CONTENT_FREE)))
        prior = log_mean(class_columns(free, label_set, RAW_LOG_PROBABILITY))
    raw = _raw_table(draw, examples)
    table = calibrate(raw, label_set, str(config.calibration), prior)
    del raw  # with millions of rows, two copies of the table are too many
    if config.repeats:
        table = with_repeats(table, label_set, config.repeats, config.temperature, seed=seed)
    check("annotations", table, label_set)
    question = draw.cache.path.name
    parts = [question, _column_hash(table["example_id"]), _column_hash(table[ANSWER_KEY])]
    parts += [describe_sampling(config)] if SAMPLING in table else []
    n_texts = int((draw.items.counts > 0).sum())
    return Annotations(
        table=table,
        prompt=draw.prompt,
        question=question,
        digest=digest(parts),
        n_asked=draw.n_asked,
        n_reused=n_texts - draw.n_fetched - draw.n_asked,
        n_fetched=draw.n_fetched,
        seconds=draw.seconds,
        content_free=free,
        sources=draw.sources,
    )


def _raw_table(draw: OpenDraw, examples: pd.DataFrame) -> pd.DataFrame:
    """The answer to every example, before calibration."""
    raw = draw.cache.answers(draw.items.keys.take(pa.array(draw.items.inverse)))
    raw.insert(0, "example_id", examples["example_id"].to_numpy(dtype=object))
    raw.insert(1, "draw", draw.prompt.draw)
    raw["example_id"] = raw["example_id"].astype("str")
    # Answers of older versions lack these columns; each of them took one request and one token.
    for column in ("requests", "generated_tokens"):
        counts = raw[column] if column in raw else pd.Series(1, index=raw.index)
        raw[column] = counts.fillna(1).astype("int64")
    return raw


def _column_hash(column: pd.Series) -> str:
    return content_hash(column.to_frame())
