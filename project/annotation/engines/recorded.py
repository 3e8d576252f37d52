"""Labels that exist already: the columns of a file become draws.

No model is read. An answer that is not a label of the task is counted and treated as missing: it
becomes no training label, and it counts as wrong where it is scored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

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
from project.annotation.prompt import Prompt
from project.config.annotation import RecordedConfig
from project.config.arm import Reads
from project.data.card import as_label
from project.data.class_indices import are_indices
from project.data.raw_data import read_file
from project.data.tables import codes
from project.data.task import Task
from project.data.where import rows_of_task
from project.stats.types import Codes, Floats, Mask
from project.support.errors import AssayError

_KEY = "recorded_key"
_ABSENT = "missing: the file has no row for it"
_CONTRADICTORY = "missing: the file labels it twice and differently"
_NULL = "missing: a null"


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
        table = rows_of_task(without_lists(read_file(path)), task.where, path.name)
        join_column, self.keyed_by = _join(table, task, path.name)
        self.draws: Sequence[str] = draw_names(table, config.recorded_columns, task.label_set)
        _check_no_gold(self.draws, path, task)
        self.lacks: Sequence[frozenset[Reads]] = [
            frozenset(
                {"label_mass"} if is_group(draw, table.columns) else {"label_mass", "probabilities"}
            )
            for draw in self.draws
        ]
        prefixes = tuple(f"{draw}." for draw in self.draws)
        used = [
            column
            for column in table.columns
            if column in self.draws or column.startswith(prefixes)
        ]
        table, self.notes = without_rejected(table, used, join_column)
        if self.keyed_by == "example_id":
            check_ids(table, join_column, used, task, path.name)
        self._rows, self._contradictory = _one_row_each(table, join_column, used)
        if not task.examples[self.keyed_by].isin(self._rows.index).any():
            raise AssayError(
                "recorded must hold a row for at least one example of the task; the column "
                f"{join_column!r} of {path} has none of its {len(task.examples)} examples. Name "
                "the file that belongs to the task, or set id_column to the task's id column."
            )
        # Decided for the whole column, whichever examples are asked for.
        self._has_indices = {
            draw: self._holds_indices(draw)
            for draw in self.draws
            if not is_group(draw, table.columns)
        }
        n_more = len(self.draws) - 1
        more = f" and {n_more} more" if n_more else ""
        self.name = f"{path.name} ({self.draws[0]}{more})"
        self.identity: Mapping[str, str] = {
            "engine": "recorded",
            "file": _content_digest(table[[join_column, *used]]),
            "columns": ",".join(self.draws),
        }

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
            errors[index] = _ABSENT
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
        """Which items have rows with different labels in this draw, ``(n,)``."""
        if not len(self._contradictory):
            return np.zeros(len(items), dtype=bool)
        columns = (
            probability_columns(name, self._task.label_set)
            if is_group(name, self._rows.columns)
            else [name]
        )
        by_key = self._contradictory[columns].any(axis=1)
        return np.asarray(by_key.reindex(items, fill_value=False), dtype=bool)

    def _holds_indices(self, name: str) -> bool:
        """Whether a draw's labels are indices into the label set.

        Where the gold labels are names, the numbers are compared with these: if they agree better
        in another order, they do not count from 0 in the order of the labels.
        """
        task = self._task
        title = f"recorded_columns {name!r}"
        column = self._rows[name]
        if not are_indices(column, task.label_set, task.values, title):
            return False
        from scipy.optimize import linear_sum_assignment

        gold = task.examples.dropna(subset=["gold_label"]).set_index(self.keyed_by)["gold_label"]
        numbers = pd.to_numeric(column.reindex(gold.index), errors="coerce")
        known = numbers.notna().to_numpy()
        counts = np.zeros((len(task.label_set), len(task.label_set)))
        gold_codes = codes(gold, task.label_set)
        np.add.at(counts, (gold_codes[known], numbers[known].to_numpy(dtype=np.int64)), 1)
        best = counts[linear_sum_assignment(counts, maximize=True)].sum()
        if np.trace(counts) < best:
            raise AssayError(
                f"{title} must hold the names of the classes, or numbers that count them from 0 in "
                f"the order {', '.join(task.label_set)}; the numbers agree with the gold labels in "
                f"{np.trace(counts):.0f} rows, and in {best:.0f} in another order. Say what each "
                "stands for under 'values' in the task card."
            )
        return True

    def _labels(self, column: pd.Series) -> _Draw:
        """A draw of labels without probabilities."""
        label_set = self._task.label_set
        indices = self._has_indices[str(column.name)]
        # Each distinct value is parsed once: files have few of them and many rows.
        known = {
            value: as_label(value, label_set, self._task.values, indices=indices)
            for value in column.dropna().unique()
        }
        label: list[int] = []
        errors: list[str | None] = []
        for value in column:
            name = None if pd.isna(value) else known[value]
            label.append(-1 if name is None else label_set.index(name))
            if name is not None:
                errors.append(None)
            else:
                errors.append(_NULL if pd.isna(value) else f"unparsed: {str(value)[:60]}")
        unknown = np.full((len(column), len(label_set)), np.nan)
        return _Draw(np.array(label, dtype=np.int64), errors, unknown)

    def _probabilities(self, rows: pd.DataFrame, name: str, is_contradictory: Mask) -> _Draw:
        """A draw of probabilities; the label is their argmax."""
        values = log_probabilities(rows, name, self._task.label_set)
        is_unknown = np.asarray(np.isnan(values).any(axis=1) | is_contradictory)
        best = np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
        values[is_unknown] = np.nan
        errors = [_NULL if unknown else None for unknown in is_unknown]
        return _Draw(np.where(is_unknown, -1, best), errors, values)


def _check_no_gold(draws: Sequence[str], path: Path, task: Task) -> None:
    """Raise AssayError if a draw is the column that holds the task's gold labels."""
    gold = task.columns["label"]
    if path.resolve() == task.file and gold in draws:
        raise AssayError(
            f"recorded_columns must name labels of the LLM; the column {gold!r} of {path.name} "
            "holds the task's gold labels. Set recorded_columns to the column with the LLM's "
            "labels."
        )


def _join(table: pd.DataFrame, task: Task, file: str) -> tuple[str, str]:
    """The column of the file to join by, and the column of the examples that it holds."""
    # Ids come first, since the same text may occur in several examples.
    for column in ("example_id", task.columns.get("id", "")):
        if column and column in table.columns:
            return column, "example_id"
    for column in (task.columns["text"], "text"):
        if column in table.columns:
            return column, "text"
    raise AssayError(
        f"recorded file {file} must have a column example_id, "
        f"{task.columns.get('id') or 'the id column'} or {task.columns['text']!r} to join it to "
        f"the examples by; it has {', '.join(map(str, table.columns[:10]))}."
    )


def _one_row_each(
    table: pd.DataFrame, join_column: str, used: Sequence[str]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One row for each key, and for each key and column whether its rows differ.

    A null does not count as different from a label. The second table is empty if no key occurs
    twice.
    """
    keyed = table[list(used)].assign(**{_KEY: table[join_column].astype(str)})
    if not keyed[_KEY].duplicated().any():
        return keyed.set_index(_KEY), pd.DataFrame()
    groups = keyed.groupby(_KEY, sort=False)
    return groups.first(), groups.nunique() > 1


def _content_digest(table: pd.DataFrame) -> str:
    """First 16 hex digits of the SHA-256 of a table as CSV: the identity of its labels."""
    content = table.astype(str).to_csv(index=False).encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()[:16]
