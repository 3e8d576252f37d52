"""Whether the cells of a column hold several labels each: as lists, or with a separator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import pandas as pd

from project.config.label_type import USUAL_SEPARATOR
from project.data.one_label import ANSWERS, names_in, says_none
from project.data.pool_labels import NO_LABEL

_SEPARATORS = (USUAL_SEPARATOR, "|", ",")
_MAX_CELL = 200  # characters of a cell in the mean, above which it is a text
_MAX_NAME = 60  # characters of a label
_MAX_LABELS = 200
_FEW_LABELS = 50  # more need ten cells each in the mean
_MAX_LONE = 0.1  # of the labels in cells with several, that stand in one value alone
_MAX_TIED = 0.25  # of them, that never stand alone, and always or never come first
_MIN_SHARE = 0.02  # of the cells with several labels, from which these are no mistakes
_ENOUGH = 20  # such cells, that are no mistakes whatever their share
_MIN_OF_COMMAS = 3  # labels, of sets with commas between them


class SetFacts(NamedTuple):
    """What the cells of a column hold as sets of labels.

    Attributes
    ----------
    separator
        What stands between the labels of a cell; "" for lists and mappings.
    counts
        Cells with each label, the most frequent first.
    n_several
        Cells with several labels.
    example
        One of them.
    doubt
        Why the cells may be something else; "" where they are taken for sets.
    """

    separator: str
    counts: dict[str, int]
    n_several: int
    example: str
    doubt: str = ""


def set_facts(values: pd.Series, *, are_lists: bool) -> SetFacts | None:
    """The sets in a column; None where no cell, or no small vocabulary, speaks for several labels.

    Parameters
    ----------
    values
        The cells that are not blank.
    are_lists
        Whether they are lists or mappings, or texts that write such.
    """
    if are_lists:
        return _of_lists(values)
    texts = {str(text): int(n) for text, n in values.map(str).str.strip().value_counts().items()}
    n_characters = sum(n * len(text) for text, n in texts.items())
    if n_characters > _MAX_CELL * len(values):
        return None
    found = [facts for mark in _SEPARATORS if (facts := _separated(texts, mark)) is not None]
    return max(found, key=lambda facts: (not facts.doubt, facts.n_several), default=None)


def sets_with(values: pd.Series, separator: str) -> SetFacts:
    """The sets in a column of which the user says that it holds some.

    Parameters
    ----------
    values
        The cells that are not blank.
    separator
        What stands between the labels of a cell that is no list.
    """
    sets = [_names(cell, separator) for cell in values]
    several = [number for number, names in enumerate(sets) if len(set(names)) > 1]
    example = str(values.iloc[several[0]]) if several else ""
    counts = Counter(name for names in sets for name in set(names))
    return SetFacts(separator, dict(counts.most_common()), len(several), example)


def _names(cell: object, separator: str) -> list[str]:
    """The labels of a cell; none where it says so."""
    names = names_in(cell, separator) or []
    return [] if says_none(names) else names


def _of_lists(values: pd.Series) -> SetFacts | None:
    facts = sets_with(values, USUAL_SEPARATOR)
    if not facts.n_several or not _are_labels(facts.counts):
        return None
    return facts._replace(separator="", doubt=_doubt(facts.n_several, len(values), facts.counts))


def _are_labels(counts: Mapping[str, int]) -> bool:
    """Whether parts of cells can be labels: few, short, and each of them in several cells."""
    n_each = 2 if len(counts) <= _FEW_LABELS else 10
    return (
        len(counts) <= min(_MAX_LABELS, sum(counts.values()) / n_each)
        and all(len(name) <= _MAX_NAME and name.isprintable() for name in counts)
        # Lists that cannot be read begin so.
        and not any(name.startswith(("[", "{")) for name in counts)
        and len(counts) > 1
    )


def _doubt(n_several: int, n_cells: int, names: Collection[str]) -> str:
    """Why cells with several parts may be no sets of labels, whatever is between them."""
    if n_several < min(_ENOUGH, _MIN_SHARE * n_cells):
        return f"only {n_several:,} of {n_cells:,} cells do"
    answers = [name for name in names if name.casefold() in ANSWERS]
    return f"{answers[0]!r} is no name of a label" if answers else ""


def _separated(texts: Mapping[str, int], separator: str) -> SetFacts | None:
    """The sets with one separator.

    A part must stand in two different values: free text and a class whose name holds the separator
    do not. Parts of a path, or of a place, mostly keep their position and need each other: whether
    these are sets is in doubt.

    Parameters
    ----------
    texts
        How often each value occurs.
    separator
        The separator.
    """
    sets = {
        text: names
        for text in texts
        if text.casefold() not in NO_LABEL and (names := _names(text, separator))
    }
    joined = {text: names for text, names in sets.items() if len(set(names)) > 1}
    counts: Counter[str] = Counter()
    within: Counter[str] = Counter()  # cells with several labels
    for text, names in sets.items():
        counts.update(dict.fromkeys(names, texts[text]))
        if text in joined:
            within.update(dict.fromkeys(names, texts[text]))
    if not joined or not _are_labels(counts):
        return None
    n_values = Counter(name for names in sets.values() for name in set(names))
    lone = sum(n for name, n in within.items() if n_values[name] < 2)
    if lone > _MAX_LONE * within.total():
        return None
    n_several = sum(texts[text] for text in joined)
    doubt = _doubt(n_several, sum(texts[text] for text in sets), counts) or _doubt_of_places(
        [*sets.values()], [*joined.values()], within, separator
    )
    example = max(joined, key=lambda text: texts[text])
    return SetFacts(separator, dict(counts.most_common()), n_several, example, doubt)


def _doubt_of_places(
    sets: Sequence[Sequence[str]],
    joined: Sequence[Sequence[str]],
    within: Counter[str],
    separator: str,
) -> str:
    """Why the parts may belong together, judged by where they stand; "" if they are free."""
    alone = {names[0] for names in sets if len(names) == 1}
    first = {names[0] for names in joined}
    later = {name for names in joined for name in names[1:]}
    tied = {name: n for name, n in within.items() if name not in alone | (first & later)}
    if sum(tied.values()) > _MAX_TIED * within.total():
        often = max(tied, key=lambda name: tied[name])
        return f"{often!r} never stands alone"
    is_varied = len({frozenset(names) for names in joined}) > 1 and bool(first & later)
    if separator == "," and not (is_varied and len(within) >= _MIN_OF_COMMAS):
        return "names may have commas, too"
    return ""
