"""The shards of a draw: which are unanswered, and reading them by several annotators."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotation.cache import AnswerCache, Fetch
from project.annotation.calibration import check_probabilities
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator
from project.annotation.items import DistinctItems, Indices
from project.annotation.label_mass import LabelMassCheck
from project.annotation.open_cache import open_cache
from project.annotation.prompt import Prompt
from project.annotation.shard_writer import ShardWriter
from project.annotation.workers import PATIENCE, WorkerLost, WorkItem, share
from project.config.annotation import AnnotateConfig
from project.data.tables import SourceRun
from project.support.claims import Claim
from project.support.errors import Incomplete


@dataclass(kw_only=True, eq=False)
class OpenDraw:
    """A draw in progress.

    Attributes
    ----------
    prompt, items
        The prompt of the draw, and what is answered under it.
    cache, claim
        The answers on disk, and the right to ask for more.
    is_claimed
        Whether this process holds the claim. Without it, the draw has no shards yet.
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
    claim: Claim
    items: DistinctItems
    shard_size: int
    is_claimed: bool = False
    n_fetched: int = 0
    sources: list[SourceRun] = field(default_factory=list)
    shards: list[Indices] = field(default_factory=list)
    n_shards_done: int = 0
    n_asked: int = 0
    seconds: float = 0.0
    n_broken: int = 0
    n_shards_aside: int = 0

    def n_examples(self, shard: Indices) -> int:
        """How many examples the answers to ``shard`` label."""
        return int(self.items.counts[shard].sum())

    def find_shards(self, fetch: Fetch | None) -> None:
        """Find what is unanswered, on disk and in the finished runs that ``fetch`` yields."""
        if self.claim.is_exclusive:
            self.cache.merge()
        known = self.cache.known(self.items, fetch)
        # Shards are cut before known items are taken out, so that a text always belongs to the
        # same shard: a killed run and an undisturbed one send the same batches to the engine.
        n, size = len(self.items), self.shard_size
        shards = [np.arange(start, min(start + size, n)) for start in range(0, n, size)]
        unanswered = [shard[~known.answered[shard]] for shard in shards]
        self.shards = [shard for shard in unanswered if len(shard)]
        self.n_fetched, self.sources = known.n_fetched, known.sources

    def close(self) -> None:
        """Force the answers to the disk and let other processes ask."""
        self.cache.close()
        if self.is_claimed:
            self.claim.close()
            self.is_claimed = False


def open_draw(
    annotator: Annotator,
    prompt: Prompt,
    items: DistinctItems,
    *,
    config: AnnotateConfig,
    folder: Path,
    fetch: Fetch | None,
) -> OpenDraw:
    """A draw with the shards that have no answers yet, if no other process asks for them.

    Parameters
    ----------
    annotator
        One of the copies of the annotator.
    prompt
        The prompt of the draw.
    items
        See :func:`project.annotation.items.question_items`.
    config, folder, fetch
        See :func:`project.annotation.annotate.annotate`.
    """
    cache = open_cache(folder, annotator, prompt, config)
    draw = OpenDraw(
        prompt=prompt,
        cache=cache,
        claim=Claim(cache.path / "asking.lock"),
        items=items,
        shard_size=annotator.shard_size,
    )
    draw.is_claimed = draw.claim.take()
    if draw.is_claimed:
        draw.find_shards(fetch)
    return draw


def read_shards(
    annotators: Sequence[Annotator],
    draws: Sequence[OpenDraw],
    label_set: Sequence[str],
    config: AnnotateConfig,
    *,
    meter: Meter,
    mass: LabelMassCheck,
    say: Callable[[str], None],
) -> Generator[tuple[OpenDraw, int]]:
    """Read all shards; yields each one's draw and number of examples when it is on disk.

    Parameters
    ----------
    annotators
        Copies of one annotator.
    draws
        Draws with their unanswered shards.
    label_set, config, meter, say
        See :func:`project.annotation.annotate.annotate`.
    mass
        Checks the label mass of the answers that are written.
    """

    def stop() -> bool:
        stoppable = {id(one): one for one in annotators if hasattr(one, "stop")}
        for annotator in stoppable.values():
            annotator.stop()
        if stoppable:
            say(
                f"stopping: waiting up to {PATIENCE:.0f} s for the answers to requests under way. "
                "Interrupt again to end at once."
            )
        return bool(stoppable)

    work = [
        WorkItem(group, number)
        for group, draw in enumerate(draws)
        for number in range(len(draw.shards))
    ]
    n_parallel = max(1, min(len(annotators), len(work)))
    reader = _ShardReader(
        draws, label_set, str(config.calibration), meter, mass, n_parallel=n_parallel
    )

    def admit(item: WorkItem) -> None:
        meter.use_machines(getattr(annotators, "n_machines", 1))
        reader.admit(item)

    return share(annotators, work, reader.read, admit, stop)


class _ShardReader:
    """Reads single shards and writes their answers. Several threads call it at the same time."""

    def __init__(
        self,
        draws: Sequence[OpenDraw],
        label_set: Sequence[str],
        calibration: str,
        meter: Meter,
        mass: LabelMassCheck,
        *,
        n_parallel: int,
    ) -> None:
        self._draws = draws
        self._label_set = label_set
        self._calibration = calibration
        self._meter = meter
        self._mass = mass
        self._n_parallel = n_parallel
        self._lock = threading.Lock()
        self._kept: dict[WorkItem, int] = {}  # examples labelled before a worker was lost

    def admit(self, work: WorkItem) -> None:
        """Raise Stopped if reading this shard would pass a limit."""
        self._meter.admit(len(self._draws[work.group].shards[work.number]))

    def read(self, annotator: Annotator, work: WorkItem) -> tuple[OpenDraw, int]:
        """Read one shard and write its answers; returns its draw and how many examples it labels.

        If the annotator fails after some answers, these are written before the error is raised.
        """
        draw = self._draws[work.group]
        shard = draw.shards[work.number]
        if not len(shard):  # a lost worker had answered all of it
            return draw, self._kept.pop(work, 0)
        keys = draw.items.keys_at(shard)
        texts = draw.items.values_at(shard)
        n_parallel = getattr(annotator, "side_by_side", self._n_parallel)
        writer = ShardWriter(draw.cache, keys, self._label_set, n_parallel)
        try:
            if _hands_over(annotator):
                answers = annotator.read(draw.prompt, texts, arrived=writer.write)
            else:
                answers = annotator.read(draw.prompt, texts)
            writer.write_rest(answers)
        except WorkerLost:
            self._keep(work, writer)
            raise
        except BaseException as error:
            # Ctrl-C too: other threads wait for the meter until these texts are counted.
            self._meter.cancel(len(texts))
            if isinstance(error, Incomplete) and error.partial:
                positions, answers = error.partial
                writer.write_rest(answers, positions)
            raise
        n_examples = self._count(work, writer)
        # Answers that cannot be calibrated end the run now, not when everything is paid for.
        check_probabilities(answers.log_probabilities, answers.label, self._calibration)
        self._mass.add(draw.prompt.draw, pd.Series(answers.label_mass))
        return draw, n_examples

    def _count(self, work: WorkItem, writer: ShardWriter) -> int:
        """Count what is written of a shard; returns how many examples the shard labels."""
        draw = self._draws[work.group]
        shard = np.delete(draw.shards[work.number], writer.unwritten())
        self._meter.add(len(shard), writer.prompt_tokens, writer.generated_tokens)
        with self._lock:
            draw.n_broken += writer.n_broken
            if writer.n_broken:
                draw.n_shards_aside += 1
            # Content-free inputs stand in no row of the examples and are not counted.
            draw.n_asked += int((draw.items.counts[shard] > 0).sum())
            draw.seconds += writer.seconds
        return self._kept.pop(work, 0) + draw.n_examples(shard)

    def _keep(self, work: WorkItem, writer: ShardWriter) -> None:
        """Count what a lost worker has answered of a shard, and leave the rest for another one."""
        draw = self._draws[work.group]
        unwritten = writer.unwritten()
        rest = draw.shards[work.number][unwritten]
        self._kept[work] = self._count(work, writer)
        self._meter.cancel(len(rest))
        draw.shards[work.number] = rest


def _hands_over(annotator: Annotator) -> bool:
    """Whether ``read`` takes the function ``arrived``, to hand answers over as they come."""
    return "arrived" in inspect.signature(annotator.read).parameters
