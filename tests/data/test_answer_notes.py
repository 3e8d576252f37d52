"""The reasons why answers have no label, with counts and an example of each."""

import pandas as pd

from project.data.answer_notes import reasons_sentence

ANSWERS = pd.DataFrame(
    {
        "example_id": list("abcdefghij"),
        "label": ["x", *[None] * 9],
        "error": [
            *(None, "unparsed: maybe", "unparsed: x, not y", "unparsed: maybe"),
            *("missing: a null", "the filter", "the filter", "missing: another", "b", None),
        ],
    }
)


def test_the_three_commonest_reasons_are_named_with_counts_and_examples():
    assert reasons_sentence(ANSWERS, quotes=True) == (
        "Why: 3 replies are not plainly one label (such as 'maybe', 2 times; text b); 2 the filter "
        "(such as text f); 1 a null (such as text e); 3 for other reasons."
    )


def test_replies_are_not_quoted_where_texts_must_not_be_shown():
    sentence = reasons_sentence(ANSWERS, quotes=False)

    assert "3 replies are not plainly one label (such as that to text b)" in sentence
    assert "maybe" not in sentence


def test_nothing_is_said_where_every_answer_has_a_label():
    assert reasons_sentence(ANSWERS.head(1), quotes=True) == ""
