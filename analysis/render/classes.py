"""Classes as rows of tables and figures where there are many of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from project.stats.types import Codes, Mask

FEW = 8
"""Most classes that stand beside one another as columns; more become rows."""
MIN_EXAMPLES = 10
"""A class with fewer examples is rare: its score alone says nothing."""

_NAMED = 5  # names of classes in a note


class ClassGroup(NamedTuple):
    """One class, or all rare ones; ``codes`` are its classes, ``n`` its examples."""

    name: str
    codes: tuple[int, ...]
    n: int

    def holds(self, codes: Codes) -> Mask:
        """Which of the class codes ``(n,)`` are of this group."""
        return np.isin(codes, self.codes)


def class_groups(label_set: Sequence[str], sizes: Codes, examples: str) -> list[ClassGroup]:
    """The classes with examples in the order of the label set, the rare ones as one group.

    Rare classes are put together if there are two or more, and more classes than ``FEW``.

    Parameters
    ----------
    label_set
        The classes, in the order of the codes.
    sizes
        Examples of each class ``(n_classes,)``.
    examples
        What the examples are, such as ``test examples``.
    """
    rare = np.flatnonzero((sizes > 0) & (sizes < MIN_EXAMPLES))
    joins = len(rare) > 1 and len(label_set) > FEW
    groups = [
        ClassGroup(str(label_set[int(code)]), (int(code),), int(sizes[code]))
        for code in np.flatnonzero(sizes)
        if not (joins and code in rare)
    ]
    if joins:
        n = int(sizes[rare].sum())
        name = (
            f"{len(rare)} rare classes (fewer than {MIN_EXAMPLES} {examples} each), {n} examples "
            "in all"
        )
        groups.append(ClassGroup(name, tuple(int(code) for code in rare), n))
    return groups


def absent_classes(label_set: Sequence[str], sizes: Codes, examples: str) -> str:
    """A sentence on the classes without examples, which no row shows; empty if there are none."""
    names = [str(label) for label, n in zip(label_set, sizes, strict=True) if not n]
    if not names:
        return ""
    more = ", ..." if len(names) > _NAMED else ""
    some = ", ".join(names[:_NAMED])
    return f"Without {examples}: {len(names)} of {len(label_set)} classes ({some}{more})."
