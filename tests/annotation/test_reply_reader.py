"""Replies in words: what is plainly one label is read, all else is no label and is counted."""

import pytest

from project.annotation.reading.reader import ReplyReader, unparsed

SENTIMENT = ("negative", "positive", "neutral")
STARS = ("1", "2", "3", "4", "5")
LETTERS = tuple("ABCDEFGHIJ")
CHINESE = ("正面", "负面", "中性")


def label_of(text, labels, *, is_cut=False):
    """The label that is read, None if there is none."""
    index = ReplyReader.of_labels(labels, {}).read(text, is_cut=is_cut)
    return labels[index] if index >= 0 else None


@pytest.mark.parametrize(
    "text",
    [
        "Label: Positive.",
        "The answer is positive.",
        "Sentiment: positive",
        "sentiment=positive",
        "answer -> POSITIVE",
        "The sentiment of this text is positive.",
        "This is a positive review of the film.",
        "I would classify this text as positive.",
        "Sure! The answer is: **Positive**.",
        "Positive is the best label.",
        "What is the sentiment? Positive",
        "It's positive.",
        "Positive because it says so",
        "Positive: the reviewer liked it a lot",
        "Positive. The reviewer does not complain.",
        "positive\n\nExplanation: 3 actors are praised",
        "The reviewer liked it.\n\nSentiment: positive",
        "Label: positive\nConfidence: 0.9",
        "Positive (90% confidence)",
        "Positive 😊",
        "✅ positive…",
        "ｐｏｓｉｔｉｖｅ。",
        "Etiqueta: positive",
        "La réponse est positive.",
        "Die Antwort ist positive.",
    ],
)
def test_a_sentence_that_says_one_label_is_read(text):
    assert label_of(text, SENTIMENT) == "positive"


@pytest.mark.parametrize("quotes", ['""', "''", "“”", "‘’", "„“", "«»", "‹›", "「」", "【】", "``"])
def test_quotes_of_any_kind_around_a_label_are_left_out(quotes):
    assert label_of(f"{quotes[0]}Positive{quotes[1]}.", SENTIMENT) == "positive"
    assert label_of(f"Label: {quotes[0]}positive{quotes[1]}", SENTIMENT) == "positive"


@pytest.mark.parametrize(
    "text",
    [
        "**Positive**",
        "# Positive",
        "- positive",
        "1. positive",
        "> positive",
        "_positive_",
        "**Sentiment:** `positive`",
        "### Answer\n**Positive**\n\n**Explanation:** praise",
        "```\npositive\n```",
        "<answer>positive</answer>",
        "$\\boxed{\\text{positive}}$",
        "positive<|im_end|>",
        "positive</s>",
    ],
)
def test_markup_around_a_label_is_left_out(text):
    assert label_of(text, SENTIMENT) == "positive"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<think>negative? no, neutral</think>Positive", "positive"),
        ("it may be negative\n</think>\n\nLabel: positive", "positive"),
        ("<|channel|>analysis<|message|>negative<|channel|>final<|message|>positive", "positive"),
        ("<think>positive", None),
        ("<think>It is positive.</think>", None),
        ("</think>positive<think>", None),
    ],
)
def test_only_what_stands_outside_of_thoughts_is_read(text, label):
    assert label_of(text, SENTIMENT) == label


@pytest.mark.parametrize(
    "text",
    [
        '{"label": "positive"}',
        '["positive"]',
        "['positive']",
        "{'sentiment': 'positive', 'confidence': 0.9}",
        '{"sentiment":"positive","confidence":0.9}',
        '[{"label": "POSITIVE", "score": 0.99}]',
        '```json\n{"label": "positive"}\n```',
        'Here is the JSON: {"result": {"label": "Positive."}}',
        '{"reasoning": "He liked it.", "label": "positive"}',
        '"\\u0070ositive"',
    ],
)
def test_json_with_one_label_is_read(text):
    assert label_of(text, SENTIMENT) == "positive"


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        '{"label": null}',
        '["positive", "negative"]',
        '["positive", "positive"]',
        '{"positive": 0.2, "negative": 0.7}',
        '{"positive": true}',
        '{"label": "positive", "label": "negative"}',
        '{"label": "positive", "alternatives": ["neutral"]}',
        '{"label": "positive", "explanation": "Not negative."}',
        '{"label": "positive", "explanation": "It is not positive."}',
        '{"label": "unknown", "previous": "positive"}',
        '{"negative": {"word": "positive"}}',
        '{"label": "positive"}\n{"label": "negative"}',
    ],
)
def test_json_with_several_labels_or_values_of_labels_is_no_label(text):
    assert label_of(text, SENTIMENT) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I don't know",
        "Positive: 0.2, Negative: 0.7",
        "positive: 0.7",
        "Positive (0.9)",
        "positive\n0.9",
        "0.9 positive",
        "positive=no",
        "positive: false",
        "positive: low",
        "positive? no",
        "positive?",
        "Is it positive?",
        "not positive",
        "The answer isn’t positive.",
        "anything but positive",
        "non-positive",
        "positive-ish",
        "positively",
        "positive or negative",
        "positive/negative",
        "positive/mixed",
        "positive, mixed",
        "positive, not negative",
        "positive, not",
        "Positive. Actually no.",
        "Positive (negative also possible)",
        "positive\nnegative",
        "positive → negative",
        "positive\nThe text is not positive at all.",
        "Label: unknown\nTone: positive",
        "~~positive~~",
        "Options: positive",
        "If positive, then good",
        "The critics were positive",
        "不是 positive",
        "positive 没有",
        "<negative>0.9</negative><positive>0.1</positive>",
        "positive <not negative>",
        "```negative\npositive```",
    ],
)
def test_a_reply_with_another_label_a_value_or_a_denial_is_no_label(text):
    assert label_of(text, SENTIMENT) is None


@pytest.mark.parametrize(
    "text", ["4", "4.", "(4)", "Rating: 4", "The answer is 4.", "4 stars", "４", '{"rating": 4}']
)
def test_a_number_that_is_a_label_is_read(text):
    assert label_of(text, STARS) == "4"


@pytest.mark.parametrize(
    "text",
    [
        *("4.5", "4,5", "4/5", "4 / 10", "4 out of 10", "4-6", "4 to 6", "4%", "4½", "4²", "4th"),
        *("-4", "- 4", "−4", "+4", ">4", "~4", "$4", ".4", "0.4", "4.0", "14", "LABEL_4"),
        *(
            "about 4",
            "under 4 stars",
            "above 4",
            "[4, 5]",
            '{"label": 4, "score": 5}',
            "Confidence: 4",
        ),
    ],
)
def test_a_part_of_another_number_is_no_label(text):
    assert label_of(text, STARS) is None


def test_signs_belong_to_labels_that_have_them():
    assert label_of("-1", ("-1", "0", "1")) == "-1"
    assert label_of("The label is −1.", ("-1", "0", "1")) == "-1"
    assert label_of("-1", STARS) is None
    assert label_of("The language is C++.", ("C", "C++")) == "C++"
    assert label_of("C++", ("C", "Java")) is None
    assert label_of("👎", ("👍", "👎")) == "👎"


@pytest.mark.parametrize("text", ["B", "(B)", "B)", "B.", "b", "Option B", "**B**", "Answer: (b)"])
def test_a_letter_is_read(text):
    assert label_of(text, LETTERS) == "B"


@pytest.mark.parametrize(
    "text",
    [
        "I'd say B",
        "I think B",
        "I am not sure",
        "A house",
        "B, A",
        "A/B",
        "B+",
        "not B",
        "B\nA too",
    ],
)
def test_a_letter_in_other_words_is_no_label(text):
    assert label_of(text, LETTERS) is None


def test_an_article_behind_an_answer_is_no_letter():
    assert label_of("B. A bad film is described.", LETTERS) == "B"
    assert label_of("Both:\nA and B", LETTERS) is None


def test_a_letter_and_the_name_of_its_class_are_one_label():
    reader = ReplyReader.of_prompt((" A", " B"), ("positive", "negative"))

    for text in ("B. Negative", "(B) Negative", "B: Negative", "Negative (B)", "Negative"):
        assert reader.read(text) == 1
    assert reader.read("B. Positive") == -1
    # The name 1 belongs to the number 0, so the names are not known to the reader.
    assert ReplyReader.of_prompt(("0", "1"), ("1", "2")).read("1") == 1


def test_a_label_that_begins_like_another_one_is_told_apart():
    labels = ("books", "books and more", "not relevant", "relevant")

    for label in labels:
        assert label_of(f"The label is {label.upper()}.", labels) == label
    assert label_of("bookshelf", labels) is None
    assert label_of("not_relevant", labels) == "not relevant"
    assert label_of("non toxic", ("toxic", "non-toxic")) == "non-toxic"
    assert label_of("non-toxic", ("toxic", "clean")) is None


def test_words_of_a_label_may_be_joined_and_words_of_a_reply_are_not():
    assert label_of("NonToxic.", ("toxic", "non-toxic")) == "non-toxic"
    assert label_of("label_1", ("label 1", "label 2")) == "label 1"
    assert label_of("label -1", ("label 1", "label 2")) is None
    assert label_of("1 0", ("1", "0", "10")) is None
    assert label_of("A B", ("A", "B", "AB")) is None


def test_case_matters_only_where_it_tells_labels_apart():
    labels = ("US", "us", "other")

    assert [label_of(text, labels) for text in ("US", "us", "Us", "OTHER")] == [
        *("US", "us", None, "other")
    ]
    assert label_of("Label: MASSE", ("Maße", "Gewicht")) == "Maße"
    assert label_of("KİŞİSEL.", ("Kişisel", "ılık")) == "Kişisel"
    assert label_of("ILIK", ("Kişisel", "ılık")) == "ılık"


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("答案是正面。", "正面"),
        ("这条评论的情感是正面的。", "正面"),
        ("情感：“负面”", "负面"),
        ("正面，因为演员很好。", "正面"),
        ("不是正面", None),
        ("正面和负面", None),
        ("正面：否", None),
        ("正面：0.9", None),
        ("可能是正面", None),
        ("正面吗？", None),
    ],
)
def test_scripts_without_spaces_are_read(text, label):
    assert label_of(text, CHINESE) == label


def test_values_of_the_card_stand_for_labels_in_replies_too():
    reader = ReplyReader.of_labels(SENTIMENT, {"pos": "positive"})

    assert reader.read("Label: POS.") == 1
    assert reader.read("pos or neg") == -1


def test_a_long_reply_is_read_in_a_moment_or_not_at_all():
    long = 50_000
    for text in ("a ", "{", "[", "<", "positive ", "<think>", "I. ", "4", '{"a":'):
        assert label_of(text * long, (*SENTIMENT, "a", "I")) is None


def test_the_error_of_a_reply_shows_how_it_begins():
    assert unparsed("It is\n" + "so " * 100) == "unparsed: It is " + ("so " * 100)[:54]
    assert unparsed(" \n") == "missing: the reply is empty"
