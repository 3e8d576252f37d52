"""Annotates examples under one prompt for each draw.

Nothing is asked twice, and every shard of answers is on disk before the next step.
"""

from __future__ import annotations

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

    Parameters
    ----------
    annotators
        Copies of one annotator. They share the work, by draw and then by shard.
    prompts, examples
        One prompt for each draw, and the examples table; identical texts are asked about once.
    label_set
        The classes, in the order of the answers.
    config, seed
        Calibration and repeats, and the seed of the repeats.
    folder, fetch
        Answers are written below ``folder``, first those of finished runs that ``fetch`` yields.
    progress, meter
        Report the examples that are done, and count what is paid for.

    Raises
    ------
    Stopped
        If the next shard would pass a limit of ``meter``.
    Incomplete
        If an engine failed or gave log probabilities that are not numbers.
    AssayError
        If calibration or repeats need probabilities that the annotator does not give.
    """
    items = question_items(examples, annotators[0], config)
    draws = []
    for prompt in prompts:
        draw = open_draw(annotators[0], prompt, items, config=config, folder=folder, fetch=fetch)
        # Examples whose answers are on disk already count as done.
        progress(len(examples) - sum(map(draw.n_examples, draw.shards)))
        draws.append(draw)
    shards = read_shards(annotators, draws, label_set, config, meter=meter)
    for draw in _complete_draws(draws, shards, progress):
        _check_numbers(annotators[0], draw)
        yield _annotations(draw, examples, label_set, config, seed=seed)


def _complete_draws(
    draws: Sequence[OpenDraw], shards: Iterator[tuple[OpenDraw, int]], progress: Progress
) -> Iterator[OpenDraw]:
    """The draws in their order, each when all its shards are read."""
    for draw in draws:
        # Shards of later draws may be done before the last one of this draw.
        while draw.n_shards_done < len(draw.shards):
            done, n_examples = next(shards)
            done.n_shards_done += 1
            progress(n_examples)
        yield draw


def _check_numbers(annotator: Annotator, draw: OpenDraw) -> None:
    """Raise Incomplete if answers of a draw are not numbers."""
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
    content_free = None
    prior = None
    if config.calibration == "contextual":
        content_free = draw.cache.answers(pa.array(item_keys(CONTENT_FREE)))
        prior = log_mean(class_columns(content_free, label_set, RAW_LOG_PROBABILITY))
    raw = _raw_table(draw, examples)
    table = calibrate(raw, label_set, str(config.calibration), prior)
    del raw  # with millions of rows, two copies of the table are too many
    if config.repeats:
        table = with_repeats(table, label_set, config.repeats, config.temperature, seed=seed)
    check("annotations", table, label_set)
    # The question, the texts and, for sampled labels, the settings determine the raw answers.
    question = draw.cache.path.name
    parts = [question, _column_hash(table["example_id"]), _column_hash(table[ANSWER_KEY])]
    if SAMPLING in table:
        parts.append(describe_sampling(config))
    n_texts = int((draw.items.counts > 0).sum())  # content-free inputs stand in no row
    return Annotations(
        table=table,
        prompt=draw.prompt,
        question=question,
        digest=digest(parts),
        n_asked=draw.n_asked,
        n_reused=n_texts - draw.n_fetched - draw.n_asked,
        n_fetched=draw.n_fetched,
        seconds=draw.seconds,
        content_free=content_free,
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
