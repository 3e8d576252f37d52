"""The shards of a draw: which are unanswered, and reading them by several annotators."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotation.answers import answers_table
from project.annotation.cache import (
    AnswerCache,
    DistinctItems,
    Fetch,
    Indices,
    describe_sampling,
    question_digest,
)
from project.annotation.calibration import check_probabilities
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator, Answers
from project.annotation.prompt import Prompt
from project.annotation.workers import WorkItem, share
from project.config.annotation import AnnotateConfig
from project.data.tables import SourceRun
from project.support.errors import Incomplete


@dataclass(kw_only=True)
class OpenDraw:
    """A draw in progress.

    Attributes
    ----------
    prompt, items
        The prompt of the draw, and what is answered under it.
    cache
        The answers on disk.
    n_fetched, sources
        How many items were answered by finished runs elsewhere, and which runs these are.
    shards
        Indices into ``items`` of unanswered items, one array for each shard.
    n_shards_done, n_asked, seconds
        Shards read so far, the items in them, and the seconds that they took.
    n_broken, n_shards_aside
        Answers that are not numbers, and the shards with such answers.
    """

    prompt: Prompt
    cache: AnswerCache
    items: DistinctItems
    n_fetched: int
    sources: list[SourceRun]
    shards: list[Indices]
    n_shards_done: int = 0
    n_asked: int = 0
    seconds: float = 0.0
    n_broken: int = 0
    n_shards_aside: int = 0

    def n_examples(self, shard: Indices) -> int:
        """How many examples the answers to ``shard`` label."""
        return int(self.items.counts[shard].sum())


def open_draw(
    annotator: Annotator,
    prompt: Prompt,
    items: DistinctItems,
    *,
    config: AnnotateConfig,
    folder: Path,
    fetch: Fetch | None,
) -> OpenDraw:
    """A draw with the shards that have no answers yet.

    Parameters
    ----------
    annotator
        One of the copies of the annotator.
    prompt
        The prompt of the draw.
    items
        See :func:`project.annotation.cache.question_items`.
    config, folder, fetch
        See :func:`project.annotation.annotate.annotate`.
    """
    cache = AnswerCache(folder / question_digest(annotator, prompt), describe_sampling(config))
    known = cache.known(items, fetch)
    # Shards are cut before known items are taken out, so that a text always belongs to the same
    # shard: a killed run and an undisturbed one then send the same batches to the engine.
    size = annotator.shard_size
    shards = [
        np.arange(start, min(start + size, len(items))) for start in range(0, len(items), size)
    ]
    unanswered = [shard[~known.answered[shard]] for shard in shards]
    return OpenDraw(
        prompt=prompt,
        cache=cache,
        items=items,
        n_fetched=known.n_fetched,
        sources=known.sources,
        shards=[shard for shard in unanswered if len(shard)],
    )


def read_shards(
    annotators: Sequence[Annotator],
    draws: Sequence[OpenDraw],
    label_set: Sequence[str],
    config: AnnotateConfig,
    *,
    meter: Meter,
) -> Iterator[tuple[OpenDraw, int]]:
    """Read all shards; yields each one's draw and number of examples when it is on disk.

    Parameters
    ----------
    annotators
        Copies of one annotator.
    draws
        Draws with their unanswered shards.
    label_set, config, meter
        See :func:`project.annotation.annotate.annotate`.
    """
    work = [
        WorkItem(group, number)
        for group, draw in enumerate(draws)
        for number in range(len(draw.shards))
    ]
    n_parallel = max(1, min(len(annotators), len(work)))
    reader = _ShardReader(draws, label_set, str(config.calibration), meter, n_parallel=n_parallel)
    return share(annotators, work, reader.read, reader.admit)


class _ShardReader:
    """Reads single shards and writes their answers. Several threads call it at the same time."""

    def __init__(
        self,
        draws: Sequence[OpenDraw],
        label_set: Sequence[str],
        calibration: str,
        meter: Meter,
        *,
        n_parallel: int,
    ) -> None:
        self._draws = draws
        self._label_set = label_set
        self._calibration = calibration
        self._meter = meter
        self._n_parallel = n_parallel
        self._lock = threading.Lock()

    def admit(self, work: WorkItem) -> None:
        """Raise Stopped if reading this shard would pass a limit."""
        self._meter.admit(len(self._draws[work.group].shards[work.number]))

    def read(self, annotator: Annotator, work: WorkItem) -> tuple[OpenDraw, int]:
        """Read one shard and write its answers; returns its draw and how many examples it labels.

        If the annotator fails after some answers, these are written before the error is raised.
        """
        draw = self._draws[work.group]
        shard = draw.shards[work.number]
        keys = draw.items.keys_at(shard)
        texts = draw.items.values_at(shard)
        began = time.perf_counter()
        try:
            answers = annotator.read(draw.prompt, texts)
            table = self._table(keys, answers, began)
            n_broken = draw.cache.write(table)
        except BaseException as error:
            # Ctrl-C too: other threads wait for the meter until these texts are counted.
            self._meter.cancel(len(texts))
            if isinstance(error, Incomplete) and error.partial:
                positions, answers = error.partial
                draw.cache.write(self._table([keys[row] for row in positions], answers, began))
            raise
        self._meter.add(
            len(table),
            int(table["prompt_tokens"].sum()) * answers.requests,
            answers.generated * len(table),
        )
        # Answers that cannot be calibrated end the run now, not when everything is paid for.
        check_probabilities(table, self._label_set, self._calibration)
        with self._lock:
            draw.n_broken += n_broken
            if n_broken:
                draw.n_shards_aside += 1
            # Content-free inputs stand in no row of the examples and are not counted.
            draw.n_asked += int((draw.items.counts[shard] > 0).sum())
            draw.seconds += float(table["seconds"].sum())
        return draw, draw.n_examples(shard)

    def _table(self, keys: Sequence[str], answers: Answers, began: float) -> pd.DataFrame:
        """The answers as a table; ``began`` is the time before they were asked for."""
        # Annotators that run side by side share the machine, and each counts a part of the time.
        seconds = (time.perf_counter() - began) / self._n_parallel
        return answers_table(keys, answers, self._label_set, seconds)
