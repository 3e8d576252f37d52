"""Answers on disk, keyed by the text they belong to, so that no answer is paid for twice.

A folder holds the answers to one question, which is one annotator with one prompt. Its shards are
Parquet files, each written whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from project.annotation.answers import ANSWER_KEY, SAMPLING, sampled_rows
from project.annotation.engines.base import NOT_NUMBERS, Annotator
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.data.tables import SourceRun
from project.stats.types import Mask
from project.support.errors import AssayError
from project.support.files import digest
from project.support.parquet import write_table

READING_VERSION = 3
"""Part of every question. Raise it when a change of the code changes answers.

All texts are then asked about, and paid for, once more.
"""

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Inputs without content, for contextual calibration: Zhao et al. (2021), section 5."""

Indices = npt.NDArray[np.int64]
Fetch = Callable[[str], Iterable[tuple[SourceRun, pd.DataFrame]]]
"""Yields answers to a question (its digest) from finished runs elsewhere, one table at a time."""

_BATCH = 50_000  # items hashed at a time


def question_digest(annotator: Annotator, prompt: Prompt) -> str:
    """Digest of all that can change an answer except the text.

    That is the model and engine, the prompt to the letter, and the labels in their order.
    """
    system = prompt.system if prompt.chat else None
    parts = [prompt.before, prompt.after, *prompt.answers, system]
    return digest(
        {"reading": READING_VERSION, "annotator": dict(annotator.identity), "prompt": parts}
    )


def item_keys(items: Iterable[str]) -> list[str]:
    """The key of every text or example id: 128 bits of its BLAKE2b hash, in hex."""
    return [
        hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        for item in items
    ]


class DistinctItems:
    """The distinct texts, or example ids, of a column in order of first appearance.

    Items in ``extra`` come first. Like ``numpy.unique``, but lean enough for millions of rows.

    Attributes
    ----------
    keys
        Key of each distinct item, an Arrow array ``(n,)``.
    inverse
        Index into ``keys`` of every row of the column, ``(n_rows,)``.
    counts
        How many rows of the column hold each item, ``(n,)``; 0 for extra items.
    """

    def __init__(self, column: pd.Series, extra: Sequence[str] = ()) -> None:
        """``column``: at least one row, no nulls."""
        self._column = column
        self._extra = list(extra)
        # Arrow holds the keys of a batch, since Python's own strings take much more memory.
        hashed = [
            pa.array(item_keys(column.iloc[start : start + _BATCH]), pa.string())
            for start in range(0, len(column), _BATCH)
        ]
        encoded = (
            pa.chunked_array([pa.array(item_keys(extra), pa.string()), *hashed])
            .combine_chunks()
            .dictionary_encode()
        )
        indices = encoded.indices.to_numpy()
        self.keys = encoded.dictionary
        self.inverse = indices[len(self._extra) :]
        self.counts = np.bincount(self.inverse, minlength=len(self.keys))
        # Where each item stands first, in extra followed by the column. Assigning in reverse order
        # lets the first position overwrite all later ones.
        self._first = np.empty(len(self.keys), dtype=np.int64)
        self._first[indices[::-1]] = np.arange(len(indices))[::-1]

    def __len__(self) -> int:
        """Number of distinct items."""
        return len(self.keys)

    def values_at(self, indices: Indices) -> list[str]:
        """The texts or example ids at ``indices``."""
        first = self._first[indices]
        # Extra items are in front of the column; for them any row of the column is read.
        values = self._column.iloc[np.maximum(first - len(self._extra), 0)].tolist()
        return [
            self._extra[position] if position < len(self._extra) else value
            for position, value in zip(first.tolist(), values, strict=True)
        ]

    def keys_at(self, indices: Indices) -> list[str]:
        """The keys at ``indices``."""
        return list(self.keys.take(pa.array(indices)).to_pylist())

    def indices_of(self, table: pa.Table) -> Indices:
        """Index of the key in every row of ``table``, -1 for a key that is not among the items."""
        return np.asarray(
            pc.index_in(table[ANSWER_KEY].combine_chunks(), value_set=self.keys)
            .fill_null(-1)
            .to_numpy(zero_copy_only=False),
            dtype=np.int64,
        )


def question_items(
    examples: pd.DataFrame, annotator: Annotator, config: AnnotateConfig
) -> DistinctItems:
    """What the annotator answers: the examples, and the content-free inputs of calibration.

    Parameters
    ----------
    examples
        The examples table.
    annotator
        Its ``keyed_by`` says whether items are texts or example ids.
    config
        With contextual calibration, content-free inputs are among the items.
    """
    extra = CONTENT_FREE if config.calibration == "contextual" else ()
    return DistinctItems(examples[annotator.keyed_by], extra)


def describe_sampling(config: AnnotateConfig) -> str:
    """How an engine without probabilities samples labels; stored beside the answers."""
    return f"{config.repeats} at temperature {config.temperature:g}"


class KnownItems(NamedTuple):
    """Which items have an answer.

    ``answered``: a mask ``(n,)``. ``n_fetched``: how many items of the column were answered by the
    finished runs ``sources``.
    """

    answered: Mask
    n_fetched: int
    sources: list[SourceRun]


class AnswerCache:
    """The answers to one question, in a folder of shards.

    Answers that were sampled with other settings lie in the same folder and are left alone.
    """

    def __init__(self, folder: Path, sampled_as: str = "") -> None:
        """``folder``: made at the first write. ``sampled_as``: see :func:`describe_sampling`."""
        self.path = folder
        self._sampled_as = sampled_as

    def load(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        """All answers, or some of their columns; None if there are none.

        A key may occur more than once: with the same answer, or with samples after a distribution.
        The distribution comes first, since it is worth more.
        """
        distributions = sorted(self.path.glob("shard-*.parquet"))
        sampled = sorted(self.path.glob(f"{self._sampled_prefix}-*.parquet"))
        shards = [pq.read_table(path, columns=columns) for path in (*distributions, *sampled)]
        return pa.concat_tables(shards, promote_options="default") if shards else None

    def known(self, items: DistinctItems, fetch: Fetch | None = None) -> KnownItems:
        """Which of ``items`` are answered here. Missing answers that ``fetch`` yields are added."""
        answered = np.zeros(len(items), dtype=bool)
        n_fetched = 0
        sources: list[SourceRun] = []
        stored = self.load([ANSWER_KEY])
        if stored is not None:
            indices = items.indices_of(stored)
            answered[indices[indices >= 0]] = True
        # Runs elsewhere are read one by one, and no more of them than are needed: each costs
        # requests to the tracking store.
        elsewhere = fetch(self.path.name) if fetch and not answered.all() else ()
        for source, fetched in elsewhere:
            table = self._without_other_samples(fetched)
            keys = pa.table({ANSWER_KEY: pa.array(table[ANSWER_KEY].tolist(), pa.string())})
            indices = items.indices_of(keys)
            is_new = (indices >= 0) & ~answered[indices]
            if is_new.any():
                self.write(table[is_new])
                answered[indices[is_new]] = True
                n_fetched += int((items.counts[indices[is_new]] > 0).sum())
                sources.append(source)
            if answered.all():
                break
        return KnownItems(answered, n_fetched, list(dict.fromkeys(sources)))

    def answers(self, wanted: pa.Array) -> pd.DataFrame:
        """The answers to the keys ``wanted``, in their order; all of them must be on disk."""
        table = self.load()
        if table is None:
            raise AssayError(f"the answers in {self.path} are gone. Run again to ask for them.")
        # The first row of a key counts; load puts distributions before samples.
        row = pc.index_in(wanted, value_set=table[ANSWER_KEY].combine_chunks())
        return table.take(row).to_pandas()

    def write(self, table: pd.DataFrame) -> int:
        """Write one shard of answers; returns how many of them are not numbers.

        If any is not a number, the shard is set aside instead, and the next run asks for it again.
        """
        n_broken = int((table["error"] == NOT_NUMBERS).sum())
        is_sampled = sampled_rows(table)
        # Distributions do not depend on the sampling settings. In files of their own, they serve
        # runs with any settings, and shards that are set aside are never read back.
        distributions = table[~is_sampled].drop(columns=["repeats", SAMPLING], errors="ignore")
        sampled = table[is_sampled].assign(**{SAMPLING: self._sampled_as})
        self._write_shard("aside" if n_broken else "shard", distributions)
        self._write_shard(self._sampled_prefix, sampled)
        return n_broken

    def _without_other_samples(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of ``table`` without those that were sampled with other settings."""
        if SAMPLING not in table:
            return table
        return table[table[SAMPLING].isna() | (table[SAMPLING] == self._sampled_as)]

    @property
    def _sampled_prefix(self) -> str:
        return f"sampled-{digest(self._sampled_as)}"

    def _write_shard(self, prefix: str, table: pd.DataFrame) -> None:
        """Write ``table``, if it has rows, to a file that is named by its keys."""
        if len(table):
            write_table(self.path / f"{prefix}-{digest(list(table[ANSWER_KEY]))}.parquet", table)
