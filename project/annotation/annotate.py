"""Annotates examples under one prompt for each draw.

Nothing is asked twice, and every answer is on disk before anything else happens.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pyarrow as pa

from project.annotation.answers import ANSWER_KEY, SAMPLING
from project.annotation.cache import Fetch
from project.annotation.calibration import calibrate
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator
from project.annotation.items import CONTENT_FREE, item_keys, question_items
from project.annotation.label_mass import LabelMassCheck
from project.annotation.prompt import Prompt
from project.annotation.question import describe_sampling
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
Say = Callable[[str], None]
"""Called with a sentence for the user."""


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
    say: Say | None = None,
) -> Generator[Annotations]:
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
    progress, say, meter
        Report the examples that are done, tell the user something, and count what is paid for.

    Raises
    ------
    Stopped
        If the next shard would pass a limit of ``meter``.
    Incomplete
        If an engine failed or gave log probabilities that are not numbers.
    AssayError
        If calibration or repeats need probabilities that the annotator does not give, or if the
        labels hold hardly any probability (``min_label_mass``).
    """
    mass = LabelMassCheck(annotators[0].name, config.min_label_mass)
    items = question_items(examples, annotators[0], config)
    draws: list[OpenDraw] = []
    reading = _Reading(
        annotators, label_set, config, meter, mass, progress, fetch, say or _say_nothing
    )
    try:
        for prompt in prompts:
            draws.append(
                open_draw(annotators[0], prompt, items, config=config, folder=folder, fetch=fetch)
            )
        with contextlib.closing(reading.complete(draws)) as complete:
            for draw in complete:
                _check_numbers(annotators[0], draw)
                annotations = _annotations(draw, examples, label_set, config, seed=seed)
                mass.check(draw.prompt.draw, annotations.table["label_mass"])
                yield annotations
    finally:
        for draw in draws:
            draw.close()


def _say_nothing(text: str) -> None:
    del text


@dataclass(frozen=True)
class _Reading:
    """Reads what is unanswered in several draws. The arguments of :func:`annotate`."""

    annotators: Sequence[Annotator]
    label_set: Sequence[str]
    config: AnnotateConfig
    meter: Meter
    mass: LabelMassCheck
    progress: Progress
    fetch: Fetch | None
    say: Say

    def complete(self, draws: Sequence[OpenDraw]) -> Generator[OpenDraw]:
        """The draws in their order, each when all its answers are on disk."""
        waiting = [draw for draw in draws if not draw.is_claimed]
        claimed = [draw for draw in draws if draw.is_claimed]
        for draw in claimed:
            self._count_known(draw)
        shards = self._shards(claimed)
        try:
            for draw in draws:
                if draw in waiting:
                    # All claims are given back before waiting for one: of two processes that wait
                    # for each other, none would ever go on.
                    for done, n_examples in shards:
                        self._count(done, n_examples)
                    self._wait(draw)
                    shards = self._shards([draw])
                # Shards of later draws may be done before the last one of this draw.
                while draw.n_shards_done < len(draw.shards):
                    self._count(*next(shards))
                draw.close()
                yield draw
        finally:
            shards.close()

    def _shards(self, draws: Sequence[OpenDraw]) -> Generator[tuple[OpenDraw, int]]:
        return read_shards(
            self.annotators,
            draws,
            self.label_set,
            self.config,
            meter=self.meter,
            mass=self.mass,
            say=self.say,
        )

    def _count_known(self, draw: OpenDraw) -> None:
        """Count the examples whose answers are on disk already, and tell of damaged files."""
        for sentence in draw.cache.damage:
            self.say(sentence)
        self.mass.add_stored(draw.prompt.draw, draw.cache)
        if not draw.shards:
            draw.close()
        n_examples = int(draw.items.counts.sum())
        self.progress(n_examples - sum(map(draw.n_examples, draw.shards)))

    def _count(self, draw: OpenDraw, n_examples: int) -> None:
        """Count a shard that is on disk. With the last one of a draw, others may go on."""
        draw.n_shards_done += 1
        if draw.n_shards_done == len(draw.shards):
            draw.close()
        self.progress(n_examples)

    def _wait(self, draw: OpenDraw) -> None:
        """Wait for the answers of another process, and find what is left to ask."""
        self.say(
            f"waiting: {draw.claim.owner} is asking for the answers of draw {draw.prompt.draw} in "
            f"{draw.cache.path}."
        )
        self.meter.pause()
        try:
            draw.is_claimed = draw.claim.wait(
                lambda: bool(draw.cache.known(draw.items).answered.all())
            )
        finally:
            self.meter.resume()
        draw.find_shards(self.fetch)
        self._count_known(draw)


def _check_numbers(annotator: Annotator, draw: OpenDraw) -> None:
    """Raise Incomplete if answers of a draw are not numbers."""
    if draw.n_broken:
        raise Incomplete(
            f"{annotator.name} gave log probabilities that are not numbers for {draw.n_broken} "
            f"texts of draw {draw.prompt.draw}. {draw.n_shards_aside} batches with them are set "
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
