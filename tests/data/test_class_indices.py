"""Labels in the data: names first, and numbers only where a whole column shows what they are."""

import unicodedata

import numpy as np
import pandas as pd
import pytest

from project.data.class_indices import are_indices
from project.data.label_names import as_label
from project.support.errors import AssayError

NAMES = ("cat", "dog", "eel")
STARS = ("1 star", "2 stars", "3 stars")


def found(values, labels=NAMES, mapped=None):
    return are_indices(pd.Series(values), labels, mapped or {}, "the column")


@pytest.mark.parametrize(
    "values", [[0, 1, 2, 0], ["0", "2"], [0.0, None, 1.0], np.array([0, 1], np.float32)]
)
def test_numbers_from_0_are_indices(values):
    assert found(values)


@pytest.mark.parametrize(
    "values", [[1, 2, 3], [1, 2], ["1", "3"], [0, 3], [2.0, 1.0], np.array([1, 2], np.float32)]
)
def test_numbers_that_may_be_counted_from_1_are_refused_with_the_way_out(values):
    with pytest.raises(AssayError, match=r"numbers .*under 'values' .*: cat"):
        found(values)


@pytest.mark.parametrize("values", [["cat", "1"], [], [None], [0.5, 1], ["-1", "0"]])
def test_a_column_that_is_not_all_whole_numbers_has_no_index(values):
    assert not found(values)


def test_mapped_values_and_labels_with_digits_are_no_indices():
    assert not found([1, 2, 3], mapped={"1": "cat"})
    assert not found([0, 1, 2], labels=STARS)


@pytest.mark.parametrize("value", ["US", "us", " US ", "us\n"])
def test_labels_that_differ_in_case_alone_are_kept_apart(value):
    assert as_label(value, ("US", "us", "other"), {}) == value.strip()


def test_an_ambiguous_spelling_is_no_label_and_a_clear_one_is():
    assert as_label("Us", ("US", "us", "other"), {}) is None
    assert as_label("OTHER", ("US", "us", "other"), {}) == "other"
    assert as_label("MASSE", ("Maße", "Gewicht"), {}) == "Maße"
    assert as_label("Masse", ("Maße", "Masse"), {}) == "Masse"
    decomposed = unicodedata.normalize("NFD", "Ärger")
    assert as_label(decomposed, ("Ärger", "Freude"), {}) == "Ärger"


def test_a_mapped_value_and_its_label_in_another_case_are_one():
    assert as_label("POS", ("positive", "negative"), {"pos": "positive"}) == "positive"


@pytest.mark.parametrize("value", [1.0, np.float32(1.0), np.int64(1), "1", "1.0", "1.00"])
def test_a_number_is_read_in_every_type(value):
    assert as_label(value, ("a", "b"), {"1": "b"}) == "b"
    assert as_label(value, ("a", "b"), {}, indices=True) == "b"
    assert as_label(value, ("a", "b"), {}) is None
    assert as_label(value, ("1.0", "2.0"), {}) == "1.0"
    assert as_label(value, ("1", "2"), {}) == "1"


def test_a_number_that_is_not_whole_is_no_label():
    assert as_label("1.5", ("1", "2"), {}) is None
    assert as_label(1.5, ("a", "b"), {}, indices=True) is None
    assert [as_label(text, ("1", "1.0"), {}) for text in ("1", "1.0")] == ["1", "1.0"]
