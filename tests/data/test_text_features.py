"""Features of texts: what each counts, in English and German, and on texts without words."""

import pytest

from project.data.text_features import FEATURES, text_features

HARD = (
    "He said: \"I don't think that the man who left, although it might rain, will never come "
    'again." Good? See https://example.org &amp; @ann :) <b>NOW</b> 2020'
)


def test_every_feature_counts_what_its_name_says():
    (found, *_) = text_features([HARD, "a plain text", "another plain text"]).to_dict("records")

    assert found["negations"] == 2  # don't, never
    assert found["clauses"] == 3  # that, who, although
    assert found["questions"] == 1
    assert found["quotations"] == 2
    assert found["hedges"] == 1
    assert found["premises"] == 1
    assert found["sentiment"] == 1
    assert found["emoji"] == 1
    assert found["markup"] == 3
    assert found["addresses"] == 2
    assert found["longest_sentence"] == 18
    assert found["digits"] == pytest.approx(4 / len(HARD))
    assert 0 < found["capitals"] < 0.1


def test_rare_and_common_words_depend_on_all_texts():
    texts = ["the cat sat", "the dog sat", "xylophone quartz"]

    found = text_features(texts)

    assert found["rare_words"].tolist() == pytest.approx([1 / 3, 1 / 3, 1])
    assert found["common_words"].tolist() == [1, 1, 1]


def test_german_markers_are_counted_too():
    text = "Ich glaube nicht, dass er kommt, weil er vielleicht schon wieder krank ist."

    (found,) = text_features([text]).to_dict("records")

    assert (found["negations"], found["clauses"], found["hedges"]) == (1, 2, 1)
    assert found["premises"] == 2


def test_texts_without_words_and_odd_ones_have_features_all_the_same():
    found = text_features(["", "   ", "\u4f60\u597d", "12345", "\U0001f600" * 3])

    assert list(found.columns) == list(FEATURES)
    assert not found.isna().any().any()
    assert found["emoji"].tolist() == [0, 0, 0, 0, 3]
    assert found["words"].tolist() == [0, 0, 1, 0, 0]
    assert text_features([]).shape == (0, len(FEATURES))


def test_of_equally_frequent_words_the_first_in_the_alphabet_are_the_common_ones():
    words = [first + second for first in "abcdefghijkl" for second in "abcdefghij"]

    shares = text_features([*words, "zz"])["common_words"]

    assert list(shares) == [1.0] * 100 + [0.0] * 21
