"""Answers on disk: what an annotator said, keyed by the text it was asked about, so that no answer is paid for twice.

A folder holds the answers of one question: one annotator and one prompt. Its shards are Parquet files, written whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from project.annotation.engines.base import NOT_NUMBERS, Annotator, Answers
from project.annotation.prompt import Prompt
from project.config.experiment import AnnotateConfig
from project.data.tables import RAW_LOG_PROBABILITY, SourceRun, class_columns, with_class_columns
from project.support.errors import AssayError
from project.support.files import digest
from project.support.parquet import write_table

READING = 3  # to be raised when the code comes to read other answers: answers on disk are then asked for anew
KEY = "answer_key"
SAMPLING = "sampling"
"""Column of answers that an engine sampled: how often, at which temperature."""

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Inputs without content, for contextual calibration: Zhao et al. (2021), section 5."""

Fetch = Callable[[str], Iterable[tuple[SourceRun, pd.DataFrame]]]
"""Answers to a question (its digest) that somebody else has paid for already, and where they are from; no more are fetched than are needed."""

_KINDS = {
    KEY: "str",
    "answer": "int32",
    "label_mass": "float64",
    "log_bound": "float64",
    "truncated": "bool",
    "prompt_tokens": "int64",
    "requests": "int64",
    "generated_tokens": "int64",
    "seconds": "float64",
    "error": "str",
    SAMPLING: "str",
}
_NOT_ALWAYS = (
    "requests",
    "generated_tokens",
    SAMPLING,
)  # answers of earlier versions do not say; most are not sampled
_AMOUNTS = ("label_mass", "prompt_tokens", "requests", "generated_tokens", "seconds")
_PORTION = 50_000  # rows hashed at once


def question_digest(annotator: Annotator, prompt: Prompt) -> str:
    """Identity of all that can change an answer but the text: model and engine, the prompt to the letter, the labels and their order."""
    asked = [prompt.before, prompt.after, *prompt.answers, prompt.system if prompt.chat else None]
    return digest({"reading": READING, "annotator": dict(annotator.identity), "prompt": asked})


def keys(items: Iterable[str]) -> list[str]:
    """The key of every text or example id: 128 bits of its BLAKE2b hash in hex."""
    return [
        hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        for item in items
    ]


class Items:
    """The different texts, or example ids, of a column, in the order in which they first stand there; ``extra`` ones before them.

    ``keys``: of each, an Arrow array ``(n,)``; ``rows`` ``(n_rows,)``: the place in it of every row of the column; ``copies`` ``(n,)``: how
    often each stands in the column. Kept lean: a column may have millions of rows.
    """

    def __init__(self, column: pd.Series, extra: Sequence[str] = ()) -> None:
        """``column``: one row at least, no nulls."""
        self._column, self._extra = column, list(extra)
        parts = [
            pa.array(keys(column.iloc[start : start + _PORTION]), pa.string())
            for start in range(0, len(column), _PORTION)
        ]
        encoded = (
            pa.chunked_array([pa.array(keys(extra), pa.string()), *parts])
            .combine_chunks()
            .dictionary_encode()
        )
        places = encoded.indices.to_numpy()
        self.keys, self.rows = encoded.dictionary, places[len(self._extra) :]
        self.copies = np.bincount(self.rows, minlength=len(self.keys))
        self._first = np.empty(len(self.keys), dtype=np.int64)
        self._first[places[::-1]] = np.arange(len(places))[::-1]

    def __len__(self) -> int:
        """How many different ones there are."""
        return len(self.keys)

    def at(self, places: npt.NDArray[np.int64]) -> list[str]:
        """Those at ``places``."""
        first = self._first[places]
        texts = self._column.iloc[np.maximum(first - len(self._extra), 0)].tolist()
        return [
            self._extra[position] if position < len(self._extra) else text
            for position, text in zip(first.tolist(), texts, strict=True)
        ]

    def names(self, places: npt.NDArray[np.int64]) -> list[str]:
        """The keys of those at ``places``."""
        return list(self.keys.take(pa.array(places)).to_pylist())

    def places(self, table: pa.Table) -> npt.NDArray[np.int64]:
        """The place of every row's key, -1 for a key that is none of these."""
        return np.asarray(
            pc.index_in(table[KEY].combine_chunks(), value_set=self.keys)
            .fill_null(-1)
            .to_numpy(zero_copy_only=False),
            dtype=np.int64,
        )


def question_items(examples: pd.DataFrame, annotator: Annotator, config: AnnotateConfig) -> Items:
    """What an annotator is asked about: the examples, and inputs without content where ``config`` wants these for calibration."""
    return Items(
        examples[annotator.keyed_by], CONTENT_FREE if config.calibration == "contextual" else ()
    )


def answers_table(
    item_keys: Sequence[str], answers: Answers, label_set: Sequence[str], seconds: float
) -> pd.DataFrame:
    """Answers as a table with one row for each key; ``seconds``: what they took together."""
    n = len(item_keys)
    columns: dict[str, object] = {
        KEY: list(item_keys),
        "answer": answers.label.astype(np.int32),
        "label_mass": answers.label_mass,
        "log_bound": answers.log_bound,
        "truncated": answers.truncated,
        "prompt_tokens": answers.prompt_tokens,
        "requests": answers.requests,
        "generated_tokens": answers.generated,
        "seconds": seconds / n,
        "error": pd.Series(list(answers.error), dtype="str"),
    }
    if answers.repeats is not None:
        columns["repeats"] = [row.tolist() for row in answers.repeats]
    return with_class_columns(
        pd.DataFrame(columns), answers.log_probabilities, label_set, RAW_LOG_PROBABILITY
    )


def checked_answers(table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """Answers that somebody else gives, as they may be kept beside one's own: of the same columns and types; raises AssayError for what is none."""
    try:
        made = pd.DataFrame(
            {
                name: table[name].astype(kind)
                for name, kind in _KINDS.items()
                if name in table or name not in _NOT_ALWAYS
            }
        )
        if SAMPLING in table:
            made["repeats"] = [
                [int(index) for index in one] if np.iterable(one) else None
                for one in table["repeats"]
            ]
        values = class_columns(table, label_set, RAW_LOG_PROBABILITY)
    except (ValueError, TypeError, KeyError, OverflowError, pa.ArrowException) as error:
        raise AssayError(
            f"what should be answers is none: {' '.join(str(error).split())[:200]}"
        ) from None
    known, n_classes = values[~np.isnan(values).all(axis=1)], len(label_set)
    with np.errstate(over="ignore"):
        sound = (
            np.allclose(np.nansum(np.exp(known), axis=1), 1.0, atol=1e-4)
            and made["answer"].between(-1, n_classes - 1).all()
        )
    sound = sound and all(
        ((column >= 0) & (column < np.inf) | column.isna()).all()
        for column in (made[name] for name in _AMOUNTS if name in made)
    )
    if not sound or any(
        not -1 <= index < n_classes for one in made.get("repeats", ()) if one for index in one
    ):
        raise AssayError("what should be answers is none: it holds numbers that no answer has.")
    return with_class_columns(made, values, label_set, RAW_LOG_PROBABILITY)


def sampling(config: AnnotateConfig) -> str:
    """How an engine that cannot tell a distribution samples labels."""
    return f"{config.repeats} at temperature {config.temperature:g}"


class AnswerFolder:
    """The shards of one question. Answers that were sampled in another way than is wanted now lie there too, and are left alone."""

    def __init__(self, folder: Path, wanted: str = "") -> None:
        """``folder``: its place, made at the first write; ``wanted``: see :func:`sampling`."""
        self.path, self._wanted = folder, wanted

    def load(self, columns: Sequence[str] | None = None) -> pa.Table | None:
        """All answers in it, or some of their columns; None where there is none.

        A key may stand more than once: with the same answer, or with samples behind a distribution, which is worth more.
        """
        told, sampled = (
            sorted(self.path.glob(name))
            for name in ("shard-*.parquet", f"sampled-{digest(self._wanted)}-*.parquet")
        )
        shards = [pq.read_table(path, columns=columns) for path in (*told, *sampled)]
        return pa.concat_tables(shards, promote_options="default") if shards else None

    def known(
        self, items: Items, fetch: Fetch | None = None
    ) -> tuple[npt.NDArray[np.bool_], int, list[SourceRun]]:
        """Which of ``items`` are answered, ``(n,)``, how many of them, of the column, ``fetch`` found, and where; these are put here too."""
        here, fetched, sources = np.zeros(len(items), dtype=bool), 0, []
        known = self.load([KEY])
        if known is not None:
            places = items.places(known)
            here[places[places >= 0]] = True
        for source, found in fetch(self.path.name) if fetch and not here.all() else ():
            table = (
                found
                if SAMPLING not in found
                else found[found[SAMPLING].isna() | (found[SAMPLING] == self._wanted)]
            )
            places = items.places(pa.table({KEY: pa.array(table[KEY].tolist(), pa.string())}))
            new = (places >= 0) & ~here[places]
            if new.any():
                self.write(table[new])
                here[places[new]] = True
                fetched += int((items.copies[places[new]] > 0).sum())
                sources.append(source)
            if here.all():
                break
        return here, fetched, list(dict.fromkeys(sources))

    def answers(self, wanted: pa.Array) -> pd.DataFrame:
        """The answers to the keys ``wanted``, in their order, all of which must be there."""
        table = self.load()
        assert table is not None
        return table.take(pc.index_in(wanted, value_set=table[KEY].combine_chunks())).to_pandas()

    def write(self, table: pd.DataFrame) -> int:
        """Keep one shard. Where an answer is not a number the whole shard is set aside instead, and asked for again by the next run.

        Returns how many of its answers are not numbers.
        """
        broken = int((table["error"] == NOT_NUMBERS).sum())
        by_samples = (
            table["repeats"].notna()
            if "repeats" in table
            else pd.Series(data=False, index=table.index)
        )
        told, sampled = (
            table[~by_samples].drop(columns=["repeats", SAMPLING], errors="ignore"),
            table[by_samples].assign(**{SAMPLING: self._wanted}),
        )
        for kind, part in (
            ("aside" if broken else "shard", told),
            (f"sampled-{digest(self._wanted)}", sampled),
        ):
            if len(part):
                write_table(self.path / f"{kind}-{digest(list(part[KEY]))}.parquet", part)
        return broken
