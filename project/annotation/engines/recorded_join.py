"""How the rows of a file of recorded labels are joined to the examples of a task.

Tools change texts and ids on their way: line ends, spaces, Unicode forms, leading zeros. Equal keys
are joined first. The others are joined where they are alike without such differences, and only
where one key of each side is.
"""

from __future__ import annotations

import bisect
import difflib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from project.data.task import Task
from project.data.text_forms import folded_text
from project.stats.types import Mask
from project.support.errors import AssayError
from project.support.files import digest

_KEY = "recorded_key"
_RULES = "2"  # another number for other rules: answers on disk belong to the rules of their time
_MAX_PAIRS = 2  # that nearly match, in an error
_MAX_COMPARED = 50  # examples without a row for which a similar row is looked for
_COMPARED_CHARACTERS = 300
_MIN_SIMILARITY = 0.6
_SHOWN = 50  # characters of a key in an error


class JoinedRows(NamedTuple):
    """The rows of a file by the keys of the examples.

    Attributes
    ----------
    rows
        One row for each key of the file; where it is joined, the key is that of the example.
    repeated
        All rows of the keys that have several.
    n_alike
        How many examples have a row only when differences of form are left out.
    identity
        What the joined keys depend on besides the file: the rules, and the keys that are alike.
    """

    rows: pd.DataFrame
    repeated: pd.DataFrame
    n_alike: int
    identity: str


def join_columns(table: pd.DataFrame, task: Task, file: str) -> tuple[str, str]:
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


def join_to_task(
    table: pd.DataFrame, join_column: str, used: Sequence[str], task: Task, path: Path
) -> JoinedRows:
    """:func:`join_rows` for the examples of a task; AssayError if none of them has a row."""
    keyed_by = join_columns(table, task, path.name)[1]
    keys = task.examples[keyed_by]
    joined = join_rows(table, join_column, used, keys, by_text=keyed_by == "text")
    if not keys.isin(joined.rows.index).any():
        raise AssayError(
            "recorded must hold a row for at least one example of the task; the column "
            f"{join_column!r} of {path} has none of its {len(keys)} examples. Name the file "
            "that belongs to the task, or set id_column to the task's id column."
        )
    return joined


def join_rows(
    table: pd.DataFrame, join_column: str, used: Sequence[str], keys: pd.Series, *, by_text: bool
) -> JoinedRows:
    """The rows of the file by the keys of the examples.

    Parameters
    ----------
    table
        The file.
    join_column, used
        Its column with keys, and those with answers. A null counts as no other answer.
    keys
        The texts or ids of all examples.
    by_text
        Whether keys are texts; else they are ids.
    """
    recorded = table[join_column].astype(str)
    renamed = _alike(recorded, keys, folded_text if by_text else _folded_id)
    keyed = table[list(used)].assign(**{_KEY: [renamed.get(key, key) for key in recorded]})
    n_alike = int(keys.isin(list(renamed.values())).sum())
    is_repeated = keyed[_KEY].duplicated(keep=False)
    keyed = keyed.set_index(_KEY)
    repeated = keyed[is_repeated.to_numpy()]
    # The first answer of each column counts that is not null.
    rows = keyed.groupby(level=0, sort=False).first() if len(repeated) else keyed
    identity = f"{_RULES} {digest([*map(repr, sorted(renamed.items()))])}" if renamed else _RULES
    return JoinedRows(rows, repeated, n_alike, identity)


def _alike(recorded: pd.Series, keys: pd.Series, fold: Callable[[str], str]) -> dict[str, str]:
    """The example's key for each key of the file that equals none and is like one of them alone."""
    distinct = set(recorded)
    wanted = set(keys)
    absent = wanted - distinct
    if not absent:
        return {}
    of_file = {key: fold(key) for key in distinct}
    of_task = {key: fold(key) for key in wanted}
    in_file = Counter(of_file.values())
    in_task = Counter(of_task.values())
    single = {
        folded: key for key, folded in of_file.items() if in_file[folded] == 1 and folded != ""
    }
    return {
        single[of_task[key]]: key
        for key in absent
        if in_task[of_task[key]] == 1 and of_task[key] in single
    }


def _folded_id(name: str) -> str:
    """An id without differences of leading zeros, of 7 and 7.0, of spaces and Unicode form."""
    name = folded_text(name).removeprefix("id:").strip("'\"")
    number = re.fullmatch(r"([0-9]+)(\.0+)?", name)
    return (number[1].lstrip("0") or "0") if number else name


def notes_on_join(file: str, column: str, n_alike: int, n_examples: int) -> list[str]:
    """A note if rows are joined whose keys are not the same; ``column`` holds the keys."""
    if not n_alike:
        return []
    return [
        f"{n_alike} of {n_examples} examples are joined to rows of {file} whose {column} differs "
        "in line ends, spaces, Unicode form, HTML escapes or leading zeros alone."
    ]


def check_absent(
    file: str, keys: pd.Series, has_row: Mask, recorded: Sequence[str], max_percent: float
) -> None:
    """Raise AssayError if the file lacks rows for more than ``max_percent`` of the examples.

    Parameters
    ----------
    file
        Name of the file.
    keys, has_row
        Keys of the examples asked about ``(n,)``, and which of them have a row.
    recorded
        The keys of the file, after joining.
    max_percent
        The largest share in percent.
    """
    n_absent = int((~has_row).sum())
    percent = 100 * n_absent / max(len(keys), 1)
    if percent <= max_percent:
        return
    absent = list(dict.fromkeys(keys[~has_row]))
    known = set(keys)
    pairs = _similar([key for key in recorded if key not in known], absent)
    if pairs:
        shown = "; ".join(f"{_part(key, other)} and {_part(other, key)}" for key, other in pairs)
        found = f"Nearly alike are, of the examples and of the file, {shown}. "
    else:
        found = f"No row is like them; the first is {_part(absent[0], '')}. "
    raise AssayError(
        f"recorded file {file} must have a row for every example that is asked about; it has none "
        f"for {n_absent} of {len(keys)} ({percent:.1f} %), and recorded_missing allows "
        f"{max_percent:g} %. {found}Correct the file, join it by ids with id_column, or set "
        f"recorded_missing={math.ceil(percent)} to leave these examples out of what the LLM labels."
    )


def _similar(unused: Sequence[str], absent: Sequence[str]) -> list[tuple[str, str]]:
    """The two most similar pairs of an example without a row and an unused key of the file.

    Only keys with the longest common beginning or end are compared, so that many are no problem.
    """
    candidates: list[tuple[float, str, str]] = []
    for step in (1, -1):  # forwards and backwards
        ordered = sorted((folded_text(key).casefold()[::step], key) for key in unused)
        for key in absent[:_MAX_COMPARED]:
            folded = folded_text(key).casefold()[::step]
            index = bisect.bisect_left(ordered, (folded, ""))
            for other_folded, other in ordered[max(index - 1, 0) : index + 1]:
                parts = (folded[:_COMPARED_CHARACTERS], other_folded[:_COMPARED_CHARACTERS])
                ratio = difflib.SequenceMatcher(None, *parts, autojunk=False).ratio()
                candidates.append((ratio, key, other))
    pairs: dict[str, str] = {}
    for ratio, key, other in sorted(candidates, key=lambda candidate: -candidate[0]):
        if ratio >= _MIN_SIMILARITY and key not in pairs and len(pairs) < _MAX_PAIRS:
            pairs[key] = other
    return list(pairs.items())


def _part(key: str, other: str) -> str:
    """The characters of a key around its first difference from another one, in quotes."""
    same = (
        len(key)
        if key == other
        else next(
            (
                index
                for index, pair in enumerate(zip(key, other, strict=False))
                if pair[0] != pair[1]
            ),
            min(len(key), len(other)),
        )
    )
    start = max(0, same - _SHOWN // 2) if len(key) > _SHOWN else 0
    part = key[start : start + _SHOWN]
    before = "..." if start else ""
    after = "..." if start + _SHOWN < len(key) else ""
    return f"{before}{part!r}{after}"
