"""What the labels of a task are to one another."""

from __future__ import annotations

NOMINAL = "nominal"  # names without an order
ORDINAL = "ordinal"  # steps of a scale, in the order of the card
MULTI = "multi"  # a text may have several labels, or none
LABEL_TYPES = (NOMINAL, ORDINAL, MULTI)
MIN_ORDERED = 3
"""Fewest labels of an ordinal task: the order of two says nothing."""
MAX_ORDERED = 50
"""Most labels of an ordinal task; the statistics hold a number for every pair of labels."""
USUAL_SEPARATOR = ";"
"""Between the labels of a cell, where a card does not say."""
MAX_SEPARATOR = 5
"""Most characters between the labels of a cell."""


def check_steps(label_type: str, n: int) -> None:
    """Raise ValueError for an ordinal task whose ``n`` labels are too few or too many."""
    if label_type == ORDINAL and not MIN_ORDERED <= n <= MAX_ORDERED:
        raise ValueError(
            f"'label_type: ordinal' needs {MIN_ORDERED} to {MAX_ORDERED} labels: the order of two "
            f"says nothing, and longer scales are numbers; 'labels' has {n}. Leave 'label_type' "
            "out, or merge labels."
        )
