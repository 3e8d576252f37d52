"""Numbers in a file of recorded labels: indices, labels, or counted in a way that is not known."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from project.annotation.engines.recorded_indices import holds_indices
from project.support.errors import AssayError

STARS = ("1", "2", "3", "4", "5")
ROWS = 60


def holds(numbers, label_set, values=None, gold=None):
    """Whether ``numbers`` are indices; the gold labels are those of the indices 0, 1, ..."""
    gold = gold or [label_set[row % len(label_set)] for row in range(ROWS)]
    keys = [f"id{row}" for row in range(ROWS)]
    examples = pd.DataFrame({"example_id": keys, "gold_label": gold})
    task: Any = SimpleNamespace(label_set=label_set, values=values or {}, examples=examples)
    return holds_indices(pd.Series(numbers, index=keys, name="llm"), task, "example_id")


@pytest.mark.parametrize(
    ("label_set", "values"),
    [
        (STARS, {}),
        (("bad", "good"), {"1": "bad", "2": "good"}),
        (("LABEL_1", "LABEL_2"), {}),
    ],
)
def test_numbers_some_of_which_are_no_label_are_refused_whole(label_set, values):
    numbers = [row % len(label_set) for row in range(ROWS)]

    with pytest.raises(AssayError, match="rows hold another number, the first is '0'"):
        holds(numbers, label_set, values)


def test_a_few_numbers_that_are_no_label_are_left_to_be_counted():
    numbers = [row % 5 + 1 for row in range(ROWS)]
    assert not holds([*numbers[:-1], 10], STARS)


def test_a_weak_llm_may_agree_better_in_another_order_by_chance():
    gold = ["ab"[row % 2] for row in range(ROWS)]
    chance = [row % 2 if row < ROWS / 2 - 2 else 1 - row % 2 for row in range(ROWS)]

    assert holds(chance, ("a", "b"), gold=gold)
    with pytest.raises(AssayError, match="in 0 rows, and in 60 in another order"):
        holds(1 - np.arange(ROWS) % 2, ("a", "b"), gold=gold)
