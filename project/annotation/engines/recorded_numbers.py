"""The numbers in probability columns of recorded labels, in whichever way a file writes them."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd

from project.annotation.engines.recorded_columns import (
    LOG_SUFFIX,
    MAX_SUM_ERROR,
    is_group,
    probability_columns,
)
from project.stats.types import Floats
from project.support.errors import AssayError


def with_numbers(
    table: pd.DataFrame, draws: Collection[str], label_set: Sequence[str]
) -> pd.DataFrame:
    """The table with numbers in the probability columns of every draw that has some.

    What the texts in them mean is decided for all columns of a group together: with a decimal
    comma, or in percent, written with a sign or summing to 100.

    Raises
    ------
    AssayError
        If a cell is no number, or is written in another way than the others.
    """
    columns: dict[str, Floats] = {}
    for name in draws:
        if is_group(name, table.columns):
            names = probability_columns(name, label_set)
            columns |= zip(names, _numbers(table[names], name).T, strict=True)
    return table.assign(**columns)


def _numbers(cells: pd.DataFrame, name: str) -> Floats:
    """The numbers in the columns of a group ``(n_rows, n_classes)``, nan for null."""
    is_log = name.endswith(LOG_SUFFIX)
    if not all(pd.api.types.is_numeric_dtype(dtype) for dtype in cells.dtypes):
        cells = _parsed(cells.reset_index(drop=True), name, may_be_percent=not is_log)
    values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    total = values.sum(axis=1)
    known = total[~np.isnan(total)]
    if not is_log and len(known) and np.abs(known - 100).max() <= 100 * MAX_SUM_ERROR:
        return values / 100
    return values


def _parsed(cells: pd.DataFrame, name: str, *, may_be_percent: bool) -> pd.DataFrame:
    """Cells that hold texts as numbers; all of them must be written in the same way."""
    texts = cells.astype(object).map(_written)
    has_sign = _marked(texts, "%")
    if may_be_percent and has_sign.to_numpy().any():
        _check_all(texts, has_sign, name, "percent signs")
        texts = texts.map(lambda text: f"{text[:-1].strip()}e-2", na_action="ignore")
    has_comma = _marked(texts, ",")
    if has_comma.to_numpy().any():
        _check_all(texts, ~_marked(texts, "."), name, "decimal commas")
        texts = texts.map(lambda text: text.replace(",", "."), na_action="ignore")
    numbers = texts.apply(pd.to_numeric, errors="coerce")
    _check_all(cells.astype(object).map(_written), numbers.notna(), name, "numbers")
    return numbers


def _written(cell: object) -> str | None:
    """A cell as text; None for null, also where the file writes it as NaN."""
    text = "" if cell is None or cell is pd.NA else str(cell).strip()
    return None if text.casefold() in ("", "nan") else text


def _marked(texts: pd.DataFrame, mark: str) -> pd.DataFrame:
    """Which cells hold a mark; null cells hold none."""
    return texts.map(lambda text: isinstance(text, str) and mark in text)


def _check_all(texts: pd.DataFrame, is_right: pd.DataFrame, name: str, rule: str) -> None:
    """Raise AssayError for the first cell, null ones left out, that is not as it should be."""
    rows, columns = np.nonzero((texts.notna() & ~is_right).to_numpy())
    if len(rows):
        raise AssayError(
            f"recorded columns {name}.* must hold {rule} in every cell or in none; row "
            f"{rows[0] + 1} has {texts.iloc[rows[0], columns[0]]!r} in "
            f"{texts.columns[columns[0]]!r}. Write all of them as numbers such as 0.25."
        )
