"""Labels that somebody has already: the columns of a file become draws, so that every later stage works on labels from any source.

Nothing is asked of a model. An answer that is none of the task's labels is counted, and missing from there on: it is no
training label, and it is wrong where it is scored.
"""

from __future__ import annotations

import fnmatch
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotation.engines.base import Answers, Size
from project.annotation.prompt import Prompt
from project.config.annotation import RecordedConfig
from project.data.card import as_label
from project.data.task import Task
from project.data.raw_data import read_file
from project.stats.types import Floats
from project.support.errors import AssayError, unknown_value

LOG = "log_probability"
_KEY = "recorded_key"
_ABSENT, _TORN = (
    "missing: the file has no row for it",
    "missing: the file labels it twice and differently",
)


class RecordedAnnotator:
    """A file with one or several columns of labels, or groups of columns ``NAME.<label>`` with probabilities; draw k is column k."""

    shard_size = 100_000

    def __init__(self, config: RecordedConfig, task: Task) -> None:
        """Read and check the file that ``config`` names.

        Rows are joined to the examples by ``example_id`` or the task's id column where the file has one, else by the text.
        """
        if not config.recorded:
            raise AssayError(
                "annotator=recorded needs a file: give -P recorded=FILE, and -P recorded_columns=... where its labels are not in 'label'."
            )
        path, self._task = Path(config.recorded).expanduser(), task
        self._table = read_file(path)
        self._join, self.keyed_by = self._key(path)
        self.draws = _columns(self._table, config.recorded_columns, task.label_set)
        used = [
            column
            for column in self._table.columns
            if column in self.draws or column.startswith(tuple(f"{draw}." for draw in self.draws))
        ]
        self._rows, self._torn = self._merged(used)
        if not task.examples[self.keyed_by].isin(self._rows.index).any():
            raise AssayError(
                f"recorded must hold a row for an example of the task at least; {path} has none for its {len(task.examples)} examples, by its column "
                f"{self._join!r}. Name the file that belongs to the task, or give the task's id column with -P id_column=..."
            )
        self.name = f"{path.name} ({self.draws[0]}{f' and {len(self.draws) - 1} more' if len(self.draws) > 1 else ''})"
        content = hashlib.sha256(
            self._table[[self._join, *used]]
            .astype(str)
            .to_csv(index=False)
            .encode("utf-8", "surrogatepass")
        ).hexdigest()[:16]
        self.identity: Mapping[str, str] = {
            "engine": "recorded",
            "file": content,
            "columns": ",".join(self.draws),
        }

    def prompts(self, n_draws: int) -> list[Prompt]:
        """What stands for a prompt: nothing was asked, the labels are the answers."""
        if n_draws > len(self.draws):
            raise AssayError(
                f"ensemble_size must be at most {len(self.draws)}, the number of recorded draws ({', '.join(self.draws[:5])}); got {n_draws}. "
                "Lower it, or name more columns with -P recorded_columns=..."
            )
        return [
            Prompt(draw, f"recorded: {name}", "", tuple(self._task.label_set))
            for draw, name in enumerate(self.draws[:n_draws])
        ]

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        name, n = self.draws[prompt.draw], len(items)
        found = self._rows.reindex(items)
        absent = ~pd.Index(items).isin(self._rows.index)
        columns = (
            [name]
            if name in self._rows.columns
            else [f"{name}.{label}" for label in self._task.label_set]
        )
        torn = (
            self._torn[columns].any(axis=1).reindex(items, fill_value=False).to_numpy()
            if len(self._torn)
            else np.zeros(n, dtype=bool)
        )
        values, mass = np.full((n, len(self._task.label_set)), np.nan), np.full(n, np.nan)
        if columns == [name]:
            label, error = self._labels(found[name])
        else:
            values = _probabilities(found, name, self._task.label_set)
            unknown = np.asarray(np.isnan(values).any(axis=1) | torn)
            label = np.where(
                unknown, -1, np.where(np.isnan(values), -np.inf, values).argmax(axis=1)
            )
            error = ["missing: a null" if null else None for null in unknown]
            values[unknown] = np.nan
        label[torn] = -1
        reasons = [
            _ABSENT if gone else _TORN if both else why
            for gone, both, why in zip(absent, torn, error, strict=True)
        ]
        zeros = np.zeros(n, dtype=np.int64)
        return Answers(
            values, label, mass, mass.copy(), zeros.astype(bool), zeros, reasons, generated=0
        )

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        return Size(0, np.zeros(len(items), dtype=np.int64), 0, exact=True)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""

    def _labels(self, column: pd.Series) -> tuple[np.ndarray, list[str | None]]:
        """Index of every label, -1 and the reason where there is none."""
        label_set = self._task.label_set
        known = {
            value: as_label(value, label_set, self._task.values)
            for value in column.dropna().unique()
        }
        label = [
            -1 if pd.isna(value) or (name := known[value]) is None else label_set.index(name)
            for value in column
        ]
        error = [
            None
            if index >= 0
            else "missing: a null"
            if pd.isna(value)
            else f"unparsed: {str(value)[:60]}"
            for index, value in zip(label, column, strict=True)
        ]
        return np.array(label, dtype=np.int64), error

    def _key(self, path: Path) -> tuple[str, str]:
        """The file's column to join by, and what the examples are joined by."""
        for column in ("example_id", self._task.columns.get("id", "")):
            if column and column in self._table.columns:
                return column, "example_id"
        for column in (self._task.columns["text"], "text"):
            if column in self._table.columns:
                return column, "text"
        raise AssayError(
            f"recorded file {path.name} must have a column example_id, {self._task.columns.get('id') or 'the id column'} or "
            f"{self._task.columns['text']!r} to join it to the examples by; it has {', '.join(map(str, self._table.columns[:10]))}."
        )

    def _merged(self, used: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        """One row for each key, and where its rows say different things: a null says nothing."""
        table = self._table[list(used)].assign(**{_KEY: self._table[self._join].astype(str)})
        if not table[_KEY].duplicated().any():
            return table.set_index(_KEY), pd.DataFrame()
        groups = table.groupby(_KEY, sort=False)
        return groups.first(), groups.nunique() > 1


def _columns(table: pd.DataFrame, wanted: str, label_set: Sequence[str]) -> list[str]:
    """The draws that ``wanted`` names: label columns and names of groups of probability columns, ``*`` expanded in the file's order."""
    known = [str(column) for column in table.columns]
    groups = {
        column: column.removesuffix(f".{label_set[0]}")
        for column in known
        if column.endswith(f".{label_set[0]}")
    }
    whole = {
        f"{name}.{label}": name
        for name in groups.values()
        if all(f"{name}.{label}" in known for label in label_set)
        for label in label_set
    }
    draws = {column: whole.get(column, column) for column in known}
    named: list[str] = []
    for part in (one.strip() for one in (wanted or "label").split(",")):
        if "*" in part:
            found = [
                draw
                for column, draw in draws.items()
                if fnmatch.fnmatchcase(column, part) or fnmatch.fnmatchcase(draw, part)
            ]
        else:
            found = [part] * (part in known or part in whole.values())
        if not found:
            raise unknown_value(
                "recorded_columns",
                part,
                known,
                f"A group of probabilities needs the columns {part}.{label_set[0]} and so on.",
            )
        named += [draw for draw in dict.fromkeys(found) if draw not in named]
    return named


def _probabilities(rows: pd.DataFrame, name: str, label_set: Sequence[str]) -> Floats:
    """Natural log probabilities out of the columns ``name.<label>``, which hold probabilities, or logs where the name says so."""
    values = rows[[f"{name}.{label}" for label in label_set]].to_numpy(dtype=np.float64)
    if not name.endswith(LOG):
        if np.nanmin(values, initial=0.0) < 0:
            raise AssayError(
                f"recorded columns {name}.* must hold probabilities; {np.nanmin(values):g} is negative. Name them ...{LOG} if they are logs."
            )
        with np.errstate(divide="ignore"):
            values = np.log(values)
    total = np.exp(values).sum(axis=1)
    off = ~np.isnan(total) & (np.abs(total - 1) > 0.01)
    if off.any():
        raise AssayError(
            f"recorded columns {name}.* must sum to 1 in every row; got {total[off][0]:.4g}. Normalise them first."
        )
    return values - np.log(total)[:, None]
