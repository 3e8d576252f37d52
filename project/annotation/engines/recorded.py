"""Labels that exist already: the columns of a file become draws.

No model is read. An answer that is not a label of the task is counted and treated as missing: it
becomes no training label, and it counts as wrong where it is scored. An example for which the file
has no row was not answered: it is counted apart and not scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.engines.recorded_cells import without_lists, without_rejected
from project.annotation.engines.recorded_columns import (
    draw_names,
    is_group,
    log_probabilities,
    probability_columns,
)
from project.annotation.engines.recorded_ids import check_ids
from project.annotation.engines.recorded_indices import holds_indices
from project.annotation.engines.recorded_join import (
    check_absent,
    join_columns,
    join_to_task,
    notes_on_join,
)
from project.annotation.engines.recorded_numbers import with_numbers
from project.annotation.engines.recorded_one_label import draw_as_written, of_one_label
from project.annotation.prompt import Prompt
from project.annotation.reading.reader import REPLY_READING, ReplyReader, unparsed
from project.config.annotation import RecordedConfig
from project.config.arm import Reads
from project.data.label_names import as_label
from project.data.raw_data import read_file
from project.data.tables import NO_ROW
from project.data.task import Task
from project.data.where import rows_of_task
from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError

_CONTRADICTORY = "missing: the file labels it twice and differently"
_NULL = "missing: a null"
_TIED = "missing: equal probabilities of two classes"


class _Draw(NamedTuple):
    """Answers of one draw: class indices ``(n,)``, their errors, log probabilities by class."""

    label: Codes
    error: list[str | None]
    log_probabilities: Floats


class RecordedAnnotator:
    """A file of labels; draw k is its k-th column of labels or group of probability columns.

    A group is named by its columns ``NAME.<label>``, which hold probabilities. ``lacks`` names for
    each draw what its answers come without, in the words of the arms' facts. ``notes`` say what a
    person should know about the file.
    """

    shard_size = 100_000

    def __init__(self, config: RecordedConfig, task: Task) -> None:
        """Read and check the file that ``config`` names.

        Its rows are joined to the examples by ``example_id`` or the task's id column if the file
        has one, else by the text.
        """
        if not config.recorded:
            raise AssayError(
                "annotator=recorded needs a file. Set recorded=FILE, and recorded_columns where "
                "its labels are not in the column 'label'."
            )
        path = Path(config.recorded).expanduser()
        self._task = task
        self._reader = ReplyReader.of_labels(task.label_set, task.values)
        table = rows_of_task(without_lists(read_file(path)), task.where, path.name)
        join_column, self.keyed_by = join_columns(table, task, path.name)
        one = task.card.one_label
        table, wanted, unread = of_one_label(table, config.recorded_columns, one)
        self.draws: Sequence[str] = draw_names(table, wanted, task.label_set)
        _check_no_gold(self.draws, path, task)
        self.lacks: Sequence[frozenset[Reads]] = [
            frozenset(
                {"label_mass"} if is_group(draw, table.columns) else {"label_mass", "probabilities"}
            )
            for draw in self.draws
        ]
        used = _columns_of(table, self.draws)
        table, notes = without_rejected(table, used, join_column)
        self.notes = [*unread, *notes]
        if self.keyed_by == "example_id":
            check_ids(table, join_column, used, task, path.name)
        answers = with_numbers(table, self.draws, task.label_set)
        self._rows, self._repeated, n_alike, joining = join_to_task(
            answers, join_column, used, task, path
        )
        self._file = path.name
        self._max_absent = config.recorded_missing
        self.notes += notes_on_join(path.name, join_column, n_alike, len(task.examples))
        # Decided for the whole column, whichever examples are asked for.
        by_name = [draw for draw in self.draws if not is_group(draw, table.columns)]
        self._has_indices = {
            draw: holds_indices(self._rows[draw], task, self.keyed_by) for draw in by_name
        }
        n_more = len(self.draws) - 1
        more = f" and {n_more} more" if n_more else ""
        first = draw_as_written(self.draws[0], config.recorded_columns, one)
        self.name = f"{path.name} ({first}{more})"
        self.identity: Mapping[str, str] = {
            "engine": "recorded",
            "file": _content_digest(table[[join_column, *used]]),
            "columns": ",".join(self.draws),
            "joining": joining,
            "reading": str(REPLY_READING),
        }

    def has_row(self, examples: pd.DataFrame) -> Mask:
        """Which examples the file has a row for ``(n,)``."""
        return np.asarray(examples[self.keyed_by].isin(self._rows.index), dtype=bool)

    def check_rows(self, examples: pd.DataFrame) -> None:
        """Raise AssayError if more examples lack a row than ``recorded_missing`` allows."""
        keys = examples[self.keyed_by]
        check_absent(
            self._file, keys, self.has_row(examples), list(self._rows.index), self._max_absent
        )

    def prompts(self, n_draws: int) -> list[Prompt]:
        """Stand-ins for prompts: nothing was asked, and the answers are the labels."""
        if n_draws > len(self.draws):
            raise AssayError(
                f"ensemble_size must be at most {len(self.draws)}, the number of recorded draws "
                f"({', '.join(self.draws[:5])}); got {n_draws}. Lower it, or name more columns in "
                "recorded_columns."
            )
        return [
            Prompt(draw, f"recorded: {name}", "", tuple(self._task.label_set))
            for draw, name in enumerate(self.draws[:n_draws])
        ]

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        name = self.draws[prompt.draw]
        is_absent = ~pd.Index(items).isin(self._rows.index)
        is_contradictory = self._is_contradictory(name, items)
        rows = self._rows.reindex(items)
        if is_group(name, self._rows.columns):
            draw = self._probabilities(rows, name, is_contradictory)
        else:
            draw = self._labels(rows[name])
        draw.label[is_contradictory] = -1
        errors = draw.error
        for index in np.flatnonzero(is_contradictory):
            errors[index] = _CONTRADICTORY
        for index in np.flatnonzero(is_absent):
            errors[index] = NO_ROW
        n = len(items)
        return Answers(
            log_probabilities=draw.log_probabilities,
            label=draw.label,
            label_mass=np.full(n, np.nan),
            log_bound=np.full(n, np.nan),
            truncated=np.zeros(n, dtype=bool),
            prompt_tokens=np.zeros(n, dtype=np.int64),
            error=errors,
            generated=0,
        )

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        n_tokens = np.zeros(len(items), dtype=np.int64)
        return Size(prefix=0, total=n_tokens, requests=0, exact=True)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""

    def _is_contradictory(self, name: str, items: Sequence[str]) -> Mask:
        """Which items have rows with different answers in this draw, ``(n,)``.

        Labels that are written in two ways do not differ, nor does a null from a label.
        """
        if self._repeated.empty:
            return np.zeros(len(items), dtype=bool)
        if is_group(name, self._rows.columns):
            answers = self._repeated[probability_columns(name, self._task.label_set)]
        else:
            column = self._repeated[name]
            labels = self._labels(column).label
            # An answer that is no label differs from every other one.
            named = [
                self._task.label_set[code] if code >= 0 else f"unparsed: {cell}"
                for code, cell in zip(labels, column, strict=True)
            ]
            answers = pd.Series(named, index=column.index).where(column.notna()).to_frame()
        differs = (answers.groupby(level=0).nunique() > 1).any(axis=1)
        return np.asarray(differs.reindex(items, fill_value=False), dtype=bool)

    def _labels(self, column: pd.Series) -> _Draw:
        """A draw of labels without probabilities."""
        label_set = self._task.label_set
        indices = self._has_indices[str(column.name)]
        # Each distinct value is parsed once: files have few of them and many rows.
        known = {value: self._read_cell(value, indices) for value in column.dropna().unique()}
        label: list[int] = []
        errors: list[str | None] = []
        for value in column:
            label.append(-1 if pd.isna(value) else known[value])
            reason = _NULL if pd.isna(value) else unparsed(str(value))
            errors.append(None if label[-1] >= 0 else reason)
        unknown = np.full((len(column), len(label_set)), np.nan)
        return _Draw(np.array(label, dtype=np.int64), errors, unknown)

    def _read_cell(self, value: Any, indices: bool) -> int:
        """Class index of a label or of a reply in words; -1 if it is none."""
        label = as_label(value, self._task.label_set, self._task.values, indices=indices)
        if label is not None:
            return self._task.label_set.index(label)
        return self._reader.read(value) if isinstance(value, str) else -1

    def _probabilities(self, rows: pd.DataFrame, name: str, is_contradictory: Mask) -> _Draw:
        """A draw of probabilities; the label is their argmax."""
        values = log_probabilities(rows, name, self._task.label_set)
        is_null: Mask = np.asarray(np.isnan(values).any(axis=1))
        known = np.where(np.isnan(values), -np.inf, values)
        best = known.argmax(axis=1)
        # The first of two equal classes would be a label that nobody gave.
        is_tied = (known == known.max(axis=1, keepdims=True)).sum(axis=1) > 1
        is_unknown = np.asarray(is_null | is_tied | is_contradictory)
        values[is_unknown] = np.nan
        errors = [
            None if not unknown else _NULL if null else _TIED
            for unknown, null in zip(is_unknown, is_null, strict=True)
        ]
        return _Draw(np.where(is_unknown, -1, best), errors, values)


def _columns_of(table: pd.DataFrame, draws: Sequence[str]) -> list[str]:
    """The columns of these draws: labels, and the columns of groups."""
    prefixes = tuple(f"{draw}." for draw in draws)
    return [name for name in table.columns if name in draws or name.startswith(prefixes)]


def _check_no_gold(draws: Sequence[str], path: Path, task: Task) -> None:
    """Raise AssayError if a draw is the column that holds the task's gold labels."""
    gold = task.columns["label"]
    if path.resolve() == task.file and gold in draws:
        raise AssayError(
            f"recorded_columns must name labels of the LLM; the column {gold!r} of {path.name} "
            "holds the task's gold labels. Set recorded_columns to the column with the LLM's "
            "labels."
        )


def _content_digest(table: pd.DataFrame) -> str:
    """First 16 hex digits of the SHA-256 of a table as CSV: the identity of its labels."""
    content = table.astype(str).to_csv(index=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:16]
