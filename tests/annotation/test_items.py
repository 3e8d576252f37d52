"""The distinct texts of a column, however it is held."""

import numpy as np
import pandas as pd
import pytest

from project.annotation.items import DistinctItems, item_keys

TEXTS = ["one", "two", "one", "three", "two", "four"]


def of_several_files():
    """In pieces, as pandas joins the tables of several files."""
    return pd.concat([pd.Series(TEXTS[:2], dtype="str"), pd.Series(TEXTS[2:], dtype="str")])


@pytest.mark.parametrize(
    "column",
    [of_several_files(), pd.Series(TEXTS, dtype="str"), pd.Series(TEXTS, dtype=object)],
    ids=["pieces", "strings", "objects"],
)
@pytest.mark.parametrize("extra", [(), ("two", "none")])
def test_texts_are_found_at_their_first_position(column, extra):
    items = DistinctItems(column, extra)
    distinct = list(dict.fromkeys([*extra, *TEXTS]))

    assert items.values_at(np.arange(len(items))) == distinct
    assert items.values_at(np.array([2, 0])) == [distinct[2], distinct[0]]
    assert items.keys_at(np.arange(len(items))) == item_keys(distinct)
    assert [distinct[index] for index in items.inverse] == TEXTS


def test_a_text_that_utf_8_cannot_hold_is_kept_as_it_is():
    items = DistinctItems(pd.Series(["half \ud83d", "whole"], dtype=object))

    assert items.values_at(np.array([1, 0])) == ["whole", "half \ud83d"]
