"""Tables of answers as frames of a file that only grows: written batch by batch, read as a whole.

The first two frames are equal and name the columns of class probabilities. Every other frame is a
batch of answers: fixed-width rows, then the errors and the sampled labels as JSON.
"""

from __future__ import annotations

import itertools
import json
import struct
import time
import uuid
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from project.annotation.answers import ANSWER_KEY, SAMPLING
from project.annotation.engines.base import Answers
from project.support.framed_log import FrameWriter, read_frames

SUFFIX = ".answers"

_COLUMNS = {
    "answer": "<i4",
    "truncated": "?",
    "label_mass": "<f8",
    "log_bound": "<f8",
    "prompt_tokens": "<i8",
    "requests": "<i8",
    "generated_tokens": "<i8",
    "seconds": "<f8",
}
# Runs of older versions lack these; each of their answers took one request and one token.
_DEFAULTS = {"requests": 1, "generated_tokens": 1, "seconds": 0.0}
_KEY_BYTES = 16
_BATCH_HEAD = struct.Struct("<I")  # number of rows
_ROWS_PER_FRAME = 4096


class StoredAnswers(NamedTuple):
    """The answers in a file, None if there are none, and how many of its frames are damaged."""

    table: pa.Table | None
    n_damaged: int


class Batch(NamedTuple):
    """Some answers, ready to be written.

    Attributes
    ----------
    rows
        Fixed-width rows ``(n,)``; see :func:`_row_type`.
    errors
        Why there is no answer, by the index of the row.
    repeats
        Sampled labels of each row; None where no label was sampled.
    """

    rows: npt.NDArray[np.void]
    errors: dict[int, str]
    repeats: list[list[int]] | None

    @classmethod
    def of_answers(cls, item_keys: Sequence[str], answers: Answers, seconds: float) -> Batch:
        """Answers of an engine; the arguments are those of ``answers_table``."""
        n, n_classes = answers.log_probabilities.shape
        rows = _rows(item_keys, n_classes)
        rows["answer"] = answers.label
        rows["truncated"] = answers.truncated
        rows["label_mass"] = answers.label_mass
        rows["log_bound"] = answers.log_bound
        rows["prompt_tokens"] = answers.prompt_tokens
        rows["requests"] = answers.requests
        rows["generated_tokens"] = answers.generated
        rows["seconds"] = seconds / n
        rows["classes"] = answers.log_probabilities
        errors = {row: text for row, text in enumerate(answers.error) if text is not None}
        return cls(rows, errors, None if answers.repeats is None else answers.repeats.tolist())

    @classmethod
    def of_table(cls, table: pd.DataFrame, class_columns: Sequence[str]) -> Batch:
        """The rows of an answers table, all of them sampled or none."""
        rows = _rows(table[ANSWER_KEY], len(class_columns))
        for name in _COLUMNS:
            if name not in table:
                rows[name] = _DEFAULTS[name]
            elif name in _DEFAULTS:
                rows[name] = table[name].fillna(_DEFAULTS[name]).to_numpy()
            else:
                rows[name] = table[name].to_numpy()
        rows["classes"] = table[list(class_columns)].to_numpy(dtype=np.float64)
        texts = enumerate(table["error"].tolist())
        errors = {row: text for row, text in texts if isinstance(text, str)}
        repeats = [list(map(int, labels)) for labels in table.get("repeats", ())]
        return cls(rows, errors, repeats or None)

    def part(self, start: int, end: int) -> Batch:
        """The rows from ``start`` to ``end``."""
        errors = {row - start: text for row, text in self.errors.items() if start <= row < end}
        repeats = None if self.repeats is None else self.repeats[start:end]
        return Batch(self.rows[start:end], errors, repeats)

    def payload(self, sampled_as: str) -> bytes:
        """The content of a frame; ``sampled_as``: how the labels were sampled."""
        more: dict[str, Any] = {"errors": self.errors}
        if self.repeats is not None:
            more |= {"repeats": self.repeats, "sampling": sampled_as}
        return _BATCH_HEAD.pack(len(self.rows)) + self.rows.tobytes() + json.dumps(more).encode()


class AnswerWriter:
    """Appends answers to a file of its own, whose name tells when it was made."""

    def __init__(self, folder: Path, prefix: str, sampled_as: str = "") -> None:
        """Nothing is made before the first answer. ``sampled_as``: see :meth:`Batch.payload`."""
        self._folder = folder
        self._prefix = prefix
        self._sampled_as = sampled_as
        self._frames: FrameWriter | None = None
        self._class_columns: list[str] = []

    def append(self, batch: Batch, class_columns: Sequence[str]) -> None:
        """Write answers, which survive the process when this returns.

        ``class_columns``: the names of the columns of class probabilities.
        """
        if self._frames is None or list(class_columns) != self._class_columns:
            self.close()
            self._frames = FrameWriter(_new_path(self._folder, self._prefix))
            self._class_columns = list(class_columns)
            header = json.dumps({"classes": self._class_columns}).encode()
            self._frames.append(header)  # twice: without it, no answer could be read
            self._frames.append(header)
        for start in range(0, len(batch.rows), _ROWS_PER_FRAME):
            part = batch.part(start, start + _ROWS_PER_FRAME)
            self._frames.append(part.payload(self._sampled_as))

    def close(self) -> Path | None:
        """Force the answers to the disk and close the file; returns its path if there is one."""
        if self._frames is None:
            return None
        path = self._frames.path
        self._frames.close()
        self._frames = None
        return path


def class_columns_of(table: pd.DataFrame) -> list[str]:
    """The columns of class probabilities in an answers table."""
    return [name for name in table.columns if name not in _OTHER_COLUMNS]


_OTHER_COLUMNS = {ANSWER_KEY, SAMPLING, "error", "repeats", *_COLUMNS}


def _new_path(folder: Path, prefix: str) -> Path:
    # Files sort by the time they were made, and the first answer to a text counts. The random part
    # keeps two processes apart.
    return folder / f"{prefix}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}{SUFFIX}"


def _row_type(n_classes: int) -> np.dtype[Any]:
    return np.dtype(
        [("key", f"V{_KEY_BYTES}"), *_COLUMNS.items(), ("classes", "<f8", (n_classes,))]
    )


def _rows(item_keys: Iterable[str], n_classes: int) -> npt.NDArray[np.void]:
    """Rows with their keys, and zeros in all other fields."""
    keys = np.frombuffer(bytes.fromhex("".join(item_keys)), dtype=f"V{_KEY_BYTES}")
    rows = np.zeros(len(keys), dtype=_row_type(n_classes))
    rows["key"] = keys
    return rows


def read_answers(path: Path) -> StoredAnswers:
    """The answers in a file that :class:`AnswerWriter` wrote, perhaps while it still writes."""
    payloads, n_damaged = read_frames(path)
    # Of the two headers one may be damaged.
    n_headers = sum(1 for _ in itertools.takewhile(_is_header, payloads[:2]))
    batches = payloads[n_headers:]
    if not n_headers:
        return StoredAnswers(None, n_damaged + len(batches))
    if not batches:
        return StoredAnswers(None, n_damaged)
    class_columns = json.loads(bytes(payloads[0]))["classes"]
    return StoredAnswers(_table(batches, class_columns), n_damaged)


def _is_header(payload: memoryview) -> bool:
    return bytes(payload[:12]) == b'{"classes": '


def _table(batches: Sequence[memoryview], class_columns: Sequence[str]) -> pa.Table:
    """The batches as one table."""
    row_type = _row_type(len(class_columns))
    pieces = []
    errors: dict[int, str] = {}
    repeats: list[list[int]] = []
    sampling: list[str] = []
    n_rows = 0
    for batch in batches:
        (n,) = _BATCH_HEAD.unpack_from(batch)
        end = _BATCH_HEAD.size + n * row_type.itemsize
        pieces.append(batch[_BATCH_HEAD.size : end])
        tail = bytes(batch[end:])
        if tail != b'{"errors": {}}':
            more = json.loads(tail)
            errors |= {n_rows + int(row): text for row, text in more["errors"].items()}
            if "repeats" in more:
                repeats += more["repeats"]
                sampling += [more["sampling"]] * n
        n_rows += n
    rows = np.frombuffer(b"".join(pieces), dtype=row_type)
    columns: dict[str, pa.Array] = {ANSWER_KEY: _hex_strings(rows["key"])}
    columns |= {name: pa.array(np.ascontiguousarray(rows[name])) for name in _COLUMNS}
    columns["error"] = _sparse_strings(errors, n_rows)
    if repeats:
        columns["repeats"] = pa.array(repeats, pa.list_(pa.int64()))
        columns[SAMPLING] = pa.array(sampling, pa.large_string())
    for index, name in enumerate(class_columns):
        columns[name] = pa.array(np.ascontiguousarray(rows["classes"][:, index]))
    return pa.table(columns)


def _hex_strings(keys: npt.NDArray[np.void]) -> pa.Array:
    """The keys in hex, without a Python string for each; pandas writes large strings, too."""
    n = len(keys)
    text = np.ascontiguousarray(keys).tobytes().hex().encode()
    ends = np.arange(n + 1, dtype=np.int64) * (2 * _KEY_BYTES)
    return pa.LargeStringArray.from_buffers(n, pa.py_buffer(ends.tobytes()), pa.py_buffer(text))


def _sparse_strings(texts: dict[int, str], n: int) -> pa.Array:
    """A column of ``n`` strings, null but for the rows in ``texts``."""
    if not texts:
        return pa.nulls(n, pa.large_string())
    column = np.full(n, None, dtype=object)
    column[list(texts)] = list(texts.values())
    return pa.array(column, pa.large_string())


def write_answers(folder: Path, prefix: str, table: pd.DataFrame, sampled_as: str) -> None:
    """Write a table to a file of its own at once, whole or not at all."""
    hidden = AnswerWriter(folder, f".merging-{prefix}", sampled_as)
    class_columns = class_columns_of(table)
    hidden.append(Batch.of_table(table, class_columns), class_columns)
    path = hidden.close()
    if path:
        path.replace(_new_path(folder, prefix))
