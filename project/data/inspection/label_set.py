"""The classes in a file: which values are labels, which are spellings, and which are no label."""

from __future__ import annotations

import difflib
import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from project.data.card_errors import MAX_NAME
from project.data.inspection.column_facts import ColumnFacts
from project.data.label_names import as_label, folded_name
from project.data.pool_labels import NO_LABEL

_MIN_SHARE = 0.02  # of an LLM's answers, from which a value that no person gave is a class
_MIN_SIMILARITY = 0.85  # of two names that may be one
_MIN_LETTERS = 3  # of a name that may be short for another
_NEGATIONS = ("not", "non", "no", "un", "ir", "im", "in", "il", "dis", "anti", "a", "nicht")
_CLASSES_TOO = ("none",)  # written for "no label" and for a class of its own
_NO_ANSWER = {"unclear", "unknown", "unsure", "not sure", "error", "invalid", "refused", "other?"}
_NO_ANSWER |= {"cannot tell", "can't tell", "cannot say", "unparsed", "unklar", "keine angabe"}
"""What LLMs say, or programs write for them, where they give no class."""


class LabelSet(NamedTuple):
    """The classes of a task, as a file shows them.

    Attributes
    ----------
    labels
        The classes in order; empty if the file shows none.
    counts
        Human labels of each class.
    values
        The class for each spelling that the loaders would not read as it.
    spellings
        Every spelling that counts as another one's class, by itself: for the user to see.
    similar
        Pairs of classes whose names are nearly equal.
    no_label
        Values of the label column that stand for no label, with how often.
    unknown
        Values of the label column that are none of the classes that the user named.
    foreign
        By column of an LLM's labels: values that are no class, with how often.
    only_llm
        Classes that no person gave.
    left_out
        Labels with a column of their own that has one answer for all texts, each with it.
    """

    labels: tuple[str, ...] = ()
    counts: Mapping[str, int] = {}
    values: Mapping[str, str] = {}
    spellings: Mapping[str, str] = {}
    similar: tuple[tuple[str, str], ...] = ()
    no_label: Mapping[str, int] = {}
    unknown: Mapping[str, int] = {}
    foreign: Mapping[str, Mapping[str, int]] = {}
    only_llm: tuple[str, ...] = ()
    left_out: Mapping[str, str] = {}

    @property
    def are_numbers(self) -> bool:
        """Whether all classes are numbers, whose meaning an LLM cannot know."""
        return bool(self.labels) and all(re.fullmatch(r"-?\d+", label) for label in self.labels)


def find_labels(
    human: ColumnFacts | None,
    llm: Sequence[ColumnFacts],
    named: Sequence[str] = (),
    *,
    adds_llm: bool = True,
) -> LabelSet:
    """The classes of a task.

    Parameters
    ----------
    human
        The column with people's labels, if there is one.
    llm
        The columns with labels of LLMs.
    named
        The classes that the user names; empty: those that occur.
    adds_llm
        Whether a class that LLMs alone gave is one, unless it is rare.
    """
    of_people = dict(human.counts) if human else {}
    no_label = {value: n for value, n in of_people.items() if _is_no_label(value, named)}
    of_people = {value: n for value, n in of_people.items() if value not in no_label}
    class_of = {} if named else _one_spelling(of_people)
    labels = list(dict.fromkeys(named)) or sorted(set(class_of.values()), key=_order)
    only_llm: list[str] = []
    if not named and adds_llm:
        only_llm = _only_of_llm(llm, labels, has_people=bool(of_people))
        labels = sorted([*labels, *only_llm], key=_order)
    labels = [label for label in labels if len(label) <= MAX_NAME]
    values = {
        value: own
        for value, own in class_of.items()
        if own in labels and as_label(value, labels, {}) != own
    }
    counts, unknown = _counted(of_people, labels, values)
    return LabelSet(
        labels=tuple(labels),
        counts=counts,
        values=values,
        spellings={value: own for value, own in class_of.items() if value != own},
        similar=tuple(_similar(labels, {**_answers(llm), **counts})),
        no_label=no_label,
        unknown=unknown,
        foreign={column.name: foreign_values(column, labels, values) for column in llm},
        only_llm=tuple(only_llm),
    )


def _counted(
    of_people: Mapping[str, int], labels: Sequence[str], values: Mapping[str, str]
) -> tuple[dict[str, int], dict[str, int]]:
    """How often people gave each label, and the values that are none."""
    counts = dict.fromkeys(labels, 0)
    unknown = {}
    for value, n in of_people.items():
        own = as_label(value, labels, values)
        if own is None:
            unknown[value] = n
        else:
            counts[own] += n
    return counts, unknown


def _is_no_label(value: str, named: Sequence[str]) -> bool:
    """Whether a value stands for no label; ``none`` may be a class."""
    word = value.casefold()
    return word in NO_LABEL and word not in _CLASSES_TOO and value not in named


def _order(label: str) -> tuple[int, float, str]:
    """Numbers in their order, then names in the alphabet's."""
    if re.fullmatch(r"-?\d+", label):
        return 0, float(label), label
    return 1, 0.0, label


def _one_spelling(counts: Mapping[str, int]) -> dict[str, str]:
    """The most frequent spelling for each value; case, spaces, hyphens make no other class."""
    best: dict[str, str] = {}
    for value in sorted(counts, key=lambda value: (-counts[value], value)):
        best.setdefault(_loose(value), value)
    return {value: best[_loose(value)] for value in counts}


def _loose(value: str) -> str:
    """A name without differences of case, spaces, hyphens and underscores; numbers keep theirs."""
    if any(letter.isdigit() for letter in value):
        return folded_name(value)
    return re.sub(r"[\s_-]+", " ", folded_name(value)).strip()


def _only_of_llm(
    llm: Sequence[ColumnFacts], labels: Sequence[str], *, has_people: bool
) -> list[str]:
    """Classes that LLMs gave and no person, as far as they are not rare."""
    found: Counter[str] = Counter()
    for column in llm:
        for value, n in column.counts.items():
            is_frequent = not has_people or n >= _MIN_SHARE * column.n_filled
            is_answer = not _is_no_label(value, ()) and value.casefold() not in _NO_ANSWER
            if is_frequent and is_answer and as_label(value, labels, {}) is None:
                found[value] += n
    spelled = _one_spelling(found)
    known = {_loose(label) for label in labels}
    return [own for own in dict.fromkeys(spelled.values()) if _loose(own) not in known]


def foreign_values(
    column: ColumnFacts, labels: Sequence[str], values: Mapping[str, str]
) -> dict[str, int]:
    """The values of an LLM's column that are no class."""
    return {
        value: n for value, n in column.counts.items() if as_label(value, labels, values) is None
    }


def _answers(llm: Sequence[ColumnFacts]) -> dict[str, int]:
    """How often LLMs gave each value."""
    found: Counter[str] = Counter()
    for column in llm:
        found.update(column.counts)
    return dict(found)


def _similar(labels: Sequence[str], counts: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of names that may be two writings of one class; the more frequent one stands second."""
    pairs = []
    for first, second in itertools.combinations(labels, 2):
        short, long = sorted((first, second), key=len)
        a, b = folded_name(short), folded_name(long)
        if any(letter.isdigit() for letter in a + b) or len(a) < _MIN_LETTERS:
            continue
        is_negation = any(b == f"{word}{gap}{a}" for word in _NEGATIONS for gap in ("", " ", "-"))
        is_short_form = b.startswith(a) and " " not in b
        matcher = difflib.SequenceMatcher(None, a, b)
        is_near = matcher.quick_ratio() >= _MIN_SIMILARITY <= matcher.ratio()
        if not is_negation and (is_short_form or (is_near and len(a) > _MIN_LETTERS)):
            rare, frequent = sorted((long, short), key=lambda label: counts.get(label, 0))
            pairs.append((rare, frequent))
    return pairs
