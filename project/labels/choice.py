"""The examples that an arm has chosen, why, and with which probability."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Floats, Mask

# These reasons stand in labels tables of the store and cannot change.
AUDIT = "audit"
"""The reason of examples that are chosen at random to fit an error model to."""
NOT_SELECTED = "annotated"


class Selection(NamedTuple):
    """The chosen examples, ``(n,)`` each.

    Attributes
    ----------
    selected
        Whether an example is chosen.
    reasons
        Why, in a few words for a reader of the labels table.
    inclusion_probability
        The probability of the random draw that takes the example, for unbiased estimates; nan where
        something else than chance decides about it. The chosen examples with a number are a
        probability sample of all examples: with their inverses as weights they estimate without
        bias. A choice that takes all examples, or none, has the probability 1, or 0.
    error_probability
        The probability that the LLM's label is wrong, where the arm estimates it.
    chance
        Why an arm that learns from an audit chose at random all the same; "" if it did not.
    """

    selected: Mask
    reasons: npt.NDArray[np.object_]
    inclusion_probability: Floats
    error_probability: Floats | None = None
    chance: str = ""


def by_rule(selected: Mask, reason: str) -> Selection:
    """A selection without chance: no weights make the chosen examples stand for the others."""
    return Selection(selected, reasons_of(selected, reason), rule_probability(selected))


def reasons_of(selected: Mask, reason: str) -> npt.NDArray[np.object_]:
    """``reason`` for the chosen examples ``(n,)``, and that of all others for these."""
    return np.where(selected, reason, NOT_SELECTED).astype(object)


def rule_probability(selected: Mask) -> Floats:
    """Inclusion probabilities ``(n,)`` of a choice without chance.

    1 where it takes all examples and 0 where it takes none. Else nan and not 1 and 0: the inverse
    of 1 would weigh the chosen examples as if nothing had been left out.
    """
    if selected.all() or not selected.any():
        return selected.astype(np.float64)
    return np.full(len(selected), np.nan)
