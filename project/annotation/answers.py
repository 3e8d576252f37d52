"""The answers table: one row for each distinct text that was read, before calibration.

It is what shards on disk hold, and what can be read back from the annotations of a finished run.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from project.annotation.engines.base import Answers
from project.data.tables import (
    RAW_LOG_PROBABILITY,
    class_columns,
    codes,
    with_class_columns,
)
from project.stats.types import Floats, Mask
from project.support.errors import AssayError

ANSWER_KEY = "answer_key"
"""Column with the key of the text, or of the example id, that the answer belongs to."""
SAMPLING = "sampling"
"""Column of answers that an engine sampled: how often and at which temperature."""
RAW_LABEL = "raw_label"
"""Column of an annotations table with the label before calibration."""

_TYPES = {
    ANSWER_KEY: "str",
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
# Runs of older versions lack the first two; only sampled answers have the third.
_OPTIONAL = ("requests", "generated_tokens", SAMPLING)
_AMOUNTS = ("label_mass", "prompt_tokens", "requests", "generated_tokens", "seconds")


def answers_table(
    item_keys: Sequence[str], answers: Answers, label_set: Sequence[str], seconds: float
) -> pd.DataFrame:
    """The answers of an engine as a table.

    Parameters
    ----------
    item_keys
        Key of each text, ``(n,)``.
    answers
        Answers to these ``n`` texts; column ``answer`` is the class index, -1 for no label.
    label_set
        The classes, in the order of the answers.
    seconds
        How long all ``n`` answers took together; each row gets the same share.
    """
    n = len(item_keys)
    columns: dict[str, object] = {
        ANSWER_KEY: list(item_keys),
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


def sampled_rows(table: pd.DataFrame) -> Mask:
    """Mask ``(n,)`` of the rows whose label an engine sampled, without probabilities."""
    if "repeats" not in table:
        return np.zeros(len(table), dtype=bool)
    return np.asarray(table["repeats"].notna(), dtype=bool)


def raw_answers(table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """The answers table from which an annotations table was made, checked.

    The annotations hold the raw answers beside the calibrated ones, so this selects and copies.
    Raises AssayError if a column is missing or holds impossible values.
    """
    table = table.drop_duplicates(ANSWER_KEY) if ANSWER_KEY in table else table
    # Runs of older versions lack these columns.
    optional = [name for name in ("requests", "generated_tokens", "seconds") if name in table]
    columns = [ANSWER_KEY, "label_mass", "log_bound", "truncated", "prompt_tokens", *optional]
    columns += ["error", *(RAW_LOG_PROBABILITY + label for label in label_set)]
    if SAMPLING in table:
        columns += ["repeats", SAMPLING]
    if missing := [name for name in columns if name not in table]:
        raise AssayError(f"the annotations lack the columns {', '.join(missing)}.")
    answer = (
        _class_index(table[RAW_LABEL], label_set)
        if RAW_LABEL in table
        else _answer_of_old_run(table, label_set)
    )
    seconds = table.get("seconds", 0.0)
    selected = table[columns].assign(answer=answer.astype(np.int32), seconds=seconds)
    if SAMPLING in table:
        # Repeats without sampling were drawn from a distribution; no engine answered them.
        selected["repeats"] = selected["repeats"].where(selected[SAMPLING].notna(), None)
    return checked_answers(selected, label_set)


def _class_index(labels: pd.Series, label_set: Sequence[str]) -> npt.NDArray[np.int64]:
    """Index of every label, -1 for null. Raises AssayError for a label of another label set."""
    unknown = labels[labels.notna() & ~labels.isin(label_set)]
    if len(unknown):
        raise AssayError(
            f"the annotations hold a {RAW_LABEL} that is none of the task's labels: "
            f"{str(unknown.iloc[0])[:100]!r}."
        )
    return codes(labels, label_set)


def _answer_of_old_run(table: pd.DataFrame, label_set: Sequence[str]) -> npt.NDArray[np.int64]:
    """The raw answers of a run that logged only calibrated labels.

    Where raw probabilities are known, calibration may have changed the label: the answer is their
    argmax. Where none is known, nothing could be calibrated.
    """
    values = class_columns(table, label_set, RAW_LOG_PROBABILITY)
    is_unknown = np.isnan(values)
    most_probable = np.where(is_unknown, -np.inf, values).argmax(axis=1)
    return np.where(is_unknown.all(axis=1), codes(table["label"], label_set), most_probable)


def checked_answers(table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """A copy of an answers table from another source, with the columns and types of ours.

    Raises AssayError if a column is missing, has another type or holds impossible values.
    """
    try:
        columns = {
            name: table[name].astype(dtype)
            for name, dtype in _TYPES.items()
            if name in table or name not in _OPTIONAL
        }
        checked = pd.DataFrame(columns)
        if SAMPLING in table:
            checked["repeats"] = [
                [int(index) for index in repeats] if np.iterable(repeats) else None
                for repeats in table["repeats"]
            ]
        values = class_columns(table, label_set, RAW_LOG_PROBABILITY)
    except (ValueError, TypeError, KeyError, OverflowError, pa.ArrowException) as error:
        raise _invalid(" ".join(str(error).split())[:200]) from None
    _check_values(checked, values, len(label_set))
    return with_class_columns(checked, values, label_set, RAW_LOG_PROBABILITY)


def _check_values(table: pd.DataFrame, values: Floats, n_classes: int) -> None:
    """Raise AssayError for impossible class indices, amounts and probabilities."""
    outside = ~table["answer"].between(-1, n_classes - 1).to_numpy()
    if outside.any():
        raise _invalid_cell(table["answer"], outside, f"in -1 to {n_classes - 1}")
    for name in _AMOUNTS:
        if name in table:
            amounts = table[name]
            valid = ((amounts >= 0) & (amounts < np.inf)) | amounts.isna()
            if not valid.all():
                raise _invalid_cell(amounts, ~valid.to_numpy(), "finite and >= 0")
    # A censored class is unknown; the others are normalised without it, so that they sum to 1.
    known = values[~np.isnan(values).all(axis=1)]
    with np.errstate(over="ignore"):
        total = np.nansum(np.exp(known), axis=1)
    if not np.allclose(total, 1.0, atol=1e-4):
        raise _invalid(f"the probabilities of columns {RAW_LOG_PROBABILITY}* must sum to 1")
    for repeats in table.get("repeats", ()):
        if repeats and not all(-1 <= index < n_classes for index in repeats):
            raise _invalid(f"column repeats must hold class indices; one row has {repeats[:10]}")


def _invalid_cell(column: pd.Series, is_wrong: npt.NDArray[np.bool_], rule: str) -> AssayError:
    row = int(np.flatnonzero(is_wrong)[0])
    return _invalid(f"column {column.name} must be {rule}; row {row} has {column.iloc[row]:g}")


def _invalid(reason: str) -> AssayError:
    return AssayError(f"not a valid answers table: {reason.rstrip('.')}.")
