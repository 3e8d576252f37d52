"""Answers on disk, keyed by the text they belong to, so that no answer is paid for twice.

A folder holds the answers to one question, which is one annotator with one prompt. Each process
appends to a file of its own, batch by batch, and one process at a time asks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from project.annotation.answer_log import (
    SUFFIX,
    AnswerWriter,
    Batch,
    class_columns_of,
    read_answers,
    write_answers,
)
from project.annotation.answers import ANSWER_KEY, SAMPLING, sampled_rows
from project.annotation.engines.base import NOT_NUMBERS, Answers
from project.annotation.items import DistinctItems
from project.annotation.question import mark_folder
from project.data.tables import RAW_LOG_PROBABILITY, SourceRun
from project.stats.types import Mask
from project.support.errors import AssayError
from project.support.files import digest

Fetch = Callable[[str], Iterable[tuple[SourceRun, pd.DataFrame]]]
"""Yields answers to a question (its digest) from finished runs elsewhere, one table at a time."""

_MOST_FILES = 8  # more are merged into one
_ATTEMPTS = 5  # to read all files, while another process merges them


class KnownItems(NamedTuple):
    """Which items have an answer.

    ``answered``: a mask ``(n,)``. ``n_fetched``: how many items of the column were answered by the
    finished runs ``sources``.
    """

    answered: Mask
    n_fetched: int
    sources: list[SourceRun]


class AnswerCache:
    """The answers to one question, in a folder of files.

    Answers that were sampled with other settings lie in the same folder and are left alone. Several
    threads may write at the same time.

    Attributes
    ----------
    path
        The folder.
    damage
        A sentence for each damaged file that was met: its name, and what was lost.
    """

    def __init__(
        self,
        folder: Path,
        sampled_as: str = "",
        identity: Mapping[str, str] | None = None,
        earlier: Callable[[], Iterable[Path]] = tuple,
    ) -> None:
        """Nothing is read or written yet.

        Parameters
        ----------
        folder
            Made at the first write.
        sampled_as
            See :func:`project.annotation.question.describe_sampling`.
        identity
            That of the annotator, written into the folder.
        earlier
            Folders in which older versions wrote answers to the same question; called where
            answers are missing here.
        """
        self.path = folder
        self.damage: list[str] = []
        self._sampled_as = sampled_as
        self._identity = identity
        self._earlier = earlier
        self._writers: dict[str, AnswerWriter] = {}
        self._lock = threading.Lock()
        self._damaged: set[Path] = set()

    def load(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        """All answers, or some of their columns; None if there are none.

        A key may occur more than once: with the same answer, or with samples after a distribution.
        The distribution comes first, since it is worth more. Damaged batches are left out, so that
        they are asked for again.
        """
        for _ in range(_ATTEMPTS):
            try:
                tables = [
                    table if columns is None else table.select(columns)
                    for prefix in (_DISTRIBUTIONS, self._sampled_prefix)
                    for table in self._tables(self._files(prefix))
                ]
            except FileNotFoundError:
                continue  # another process has just merged them
            return pa.concat_tables(tables, promote_options="default") if tables else None
        raise AssayError(
            f"the answers in {self.path} could not be read: their files keep changing. Run again."
        )

    def known(self, items: DistinctItems, fetch: Fetch | None = None) -> KnownItems:
        """Which of ``items`` are answered here. Missing answers that ``fetch`` yields are added."""
        answered = np.zeros(len(items), dtype=bool)
        n_fetched = 0
        sources: list[SourceRun] = []
        stored = self.load([ANSWER_KEY])
        if stored is not None:
            indices = items.indices_of(stored)
            answered[indices[indices >= 0]] = True
        if not answered.all():
            for folder in self._earlier():
                before = AnswerCache(folder, self._sampled_as).load()
                if before is not None:
                    self._add_missing(before.to_pandas(), items, answered)
        # Runs elsewhere are read one by one, and no more of them than are needed: each costs
        # requests to the tracking store.
        elsewhere = fetch(self.path.name) if fetch and not answered.all() else ()
        for source, fetched in elsewhere:
            added = self._add_missing(fetched, items, answered)
            if len(added):
                n_fetched += int((items.counts[added] > 0).sum())
                sources.append(source)
            if answered.all():
                break
        return KnownItems(answered, n_fetched, list(dict.fromkeys(sources)))

    def _add_missing(
        self, found: pd.DataFrame, items: DistinctItems, answered: Mask
    ) -> npt.NDArray[np.int64]:
        """Write the answers of ``found`` that are missing here; returns their indices in ``items``.

        ``answered``, ``(n,)``, is changed in place.
        """
        table = self._without_other_samples(found)
        keys = pa.table({ANSWER_KEY: pa.array(table[ANSWER_KEY].tolist(), pa.string())})
        indices = items.indices_of(keys)
        is_new = (indices >= 0) & ~answered[indices]
        added: npt.NDArray[np.int64] = indices[is_new]
        if len(added):
            self.write(table[is_new])
            answered[added] = True
        return added

    def answers(self, wanted: pa.Array) -> pd.DataFrame:
        """The answers to the keys ``wanted``, in their order.

        Raises AssayError if some of them are not on disk, or no longer readable.
        """
        table = self.load()
        none = pa.array([], pa.large_string())
        stored = none if table is None else table[ANSWER_KEY].combine_chunks()
        # The first row of a key counts; load puts distributions before samples.
        row = pc.index_in(wanted, value_set=stored)
        if table is None or row.null_count:
            raise AssayError(
                f"{row.null_count} answers in {self.path} are gone. Run again to ask for them."
            )
        return table.take(row).to_pandas()

    def write(self, table: pd.DataFrame) -> None:
        """Write the rows of an answers table; they survive the process when this returns."""
        is_sampled = sampled_rows(table)
        class_columns = class_columns_of(table)
        for rows in (
            table[~is_sampled].drop(columns="repeats", errors="ignore"),
            table[is_sampled],
        ):
            if len(rows):
                self._append(Batch.of_table(rows, class_columns), class_columns)

    def add(
        self, keys: Sequence[str], answers: Answers, label_set: Sequence[str], seconds: float
    ) -> int:
        """Write the answers of an engine; returns how many of them are not numbers.

        The arguments are those of :func:`project.annotation.answers.answers_table`. If any is not a
        number, the batch is set aside instead, and the next run asks for it again.
        """
        n_broken = sum(error == NOT_NUMBERS for error in answers.error)
        batch = Batch.of_answers(keys, answers, seconds)
        class_columns = [RAW_LOG_PROBABILITY + label for label in label_set]
        self._append(batch, class_columns, is_aside=bool(n_broken))
        return n_broken

    def close(self) -> None:
        """Force all answers to the disk."""
        with self._lock:
            for writer in self._writers.values():
                writer.close()
            self._writers.clear()

    def merge(self) -> None:
        """Make one file of many, without damaged batches. Only while no other process writes."""
        for prefix in (_DISTRIBUTIONS, self._sampled_prefix):
            files = self._files(prefix)
            tables = list(self._tables(files))
            if len(files) <= _MOST_FILES and self._damaged.isdisjoint(files):
                continue
            if tables:
                frames = [table.to_pandas() for table in tables]
                merged = pd.concat(frames, ignore_index=True).drop_duplicates(ANSWER_KEY)
                write_answers(self.path, prefix, merged, self._sampled_as)
            for file in files:
                file.unlink(missing_ok=True)
        for leftover in self.path.glob(f".*{SUFFIX}"):
            leftover.unlink(missing_ok=True)

    def _files(self, prefix: str) -> list[Path]:
        """The files of answers, the oldest first."""
        # Older versions wrote a Parquet file for each shard.
        older = "shard" if prefix == _DISTRIBUTIONS else prefix
        return [
            *sorted(self.path.glob(f"{older}-*.parquet")),
            *sorted(self.path.glob(f"{prefix}-*{SUFFIX}")),
        ]

    def _tables(self, files: Sequence[Path]) -> Iterator[pa.Table]:
        """The tables in ``files``; damaged ones are noted."""
        for path in files:
            if path.suffix == SUFFIX:
                table, n_damaged = read_answers(path)
            else:
                table, n_damaged = _read_parquet(path)
            if n_damaged:
                self._note_damage(path, n_damaged)
            if table is not None:
                yield table

    def _note_damage(self, path: Path, n_damaged: int) -> None:
        if path not in self._damaged:
            self._damaged.add(path)
            self.damage.append(
                f"{path} is damaged: {n_damaged} batches of answers do not match their checksums. "
                "They are asked for again; all other answers are kept."
            )

    def _without_other_samples(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``table`` without those that were sampled with other settings."""
        if SAMPLING not in table:
            return table
        return table[table[SAMPLING].isna() | (table[SAMPLING] == self._sampled_as)]

    @property
    def _sampled_prefix(self) -> str:
        return f"sampled-{digest(self._sampled_as)}"

    def _append(
        self, batch: Batch, class_columns: Sequence[str], *, is_aside: bool = False
    ) -> None:
        # Distributions do not depend on the sampling settings. In files of their own, they serve
        # runs with any settings, and batches that are set aside are never read back.
        prefix = _DISTRIBUTIONS if batch.repeats is None else self._sampled_prefix
        prefix = _ASIDE if is_aside else prefix
        with self._lock:
            if prefix not in self._writers:
                mark_folder(self.path, self._identity)
                self._writers[prefix] = AnswerWriter(self.path, prefix, self._sampled_as)
            self._writers[prefix].append(batch, class_columns)


_DISTRIBUTIONS = "answers"
_ASIDE = "aside"


def _read_parquet(path: Path) -> tuple[pa.Table | None, int]:
    """The answers in a file of an older version, and how many files are damaged: 0 or 1."""
    try:
        return pq.read_table(path), 0
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        return None, 1
