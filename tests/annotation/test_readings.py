"""What a server's answers mean, without a server: censoring, codes, samples, waiting."""

import asyncio
import datetime
import email.utils
import math

import numpy as np
import pytest

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai.faults import Malformed
from project.annotation.engines.openai.pace import Pace, seconds
from project.annotation.engines.openai.parsing import (
    all_reads,
    censored,
    choices,
    code_reads,
    entries,
    parse_label,
    reply,
    sampled,
    token_reads,
)

LOG, NAN = math.log, math.nan


def answers_of(classes, most, listed=20):
    n = len(classes)
    return censored(
        np.array(classes, dtype=float),
        np.array(most, dtype=float),
        np.zeros(n, bool),
        np.full(n, 9),
        listed,
    )


def completion(listed, sampled=None):
    return {
        "logprobs": {"tokens": [sampled or max(listed, key=listed.get)], "top_logprobs": [listed]}
    }


def test_known_classes_are_normalised_among_themselves_and_censored_ones_keep_their_bound():
    answers = answers_of([[LOG(0.5), NAN, LOG(0.25)]], [[NAN, LOG(0.01), NAN]])

    assert np.exp(answers.log_probabilities[0]) == pytest.approx([2 / 3, NAN, 1 / 3], nan_ok=True)
    assert (answers.label[0], answers.error[0]) == (0, None)
    assert answers.label_mass[0] == pytest.approx(0.75)
    assert answers.log_bound[0] == pytest.approx(LOG(0.01))


def test_a_text_whose_classes_are_all_known_has_no_bound():
    assert np.isnan(answers_of([[LOG(0.5), LOG(0.1)]], [[LOG(0.9), LOG(0.9)]]).log_bound[0])


def test_a_text_none_of_whose_labels_is_listed_has_no_answer():
    answers = answers_of([[NAN, NAN]], [[LOG(0.01), LOG(0.02)]])

    assert (answers.label[0], answers.error[0]) == (
        -1,
        "none of the labels among the 20 listed tokens",
    )
    assert answers.label_mass[0] == 0
    assert answers.log_bound[0] == pytest.approx(LOG(0.02))


def test_there_is_no_answer_where_a_censored_label_could_be_the_most_probable():
    answers = answers_of([[LOG(0.01), NAN]], [[NAN, LOG(0.02)]])

    assert (answers.label[0], answers.error[0]) == (
        -1,
        "a label that is not among the 20 listed tokens could be the most probable",
    )
    assert np.isnan(answers.log_probabilities).all()


def test_labels_below_a_token_that_is_not_listed_are_censored_with_it():
    # "1", "10" and "2"; at the root 2 is listed (0.4) and 1 is not (at most 0.1); behind 1, "0" has 0.5, the end 0.3
    trie = LabelTrie([(1,), (1, 3), (2,)], ("1", "10", "2"), ends=(0,))
    reads, bounds = np.array([[NAN, LOG(0.4), LOG(0.5), LOG(0.3)]]), np.log([[0.1, 0.2]])

    assert trie.classes(reads)[0] == pytest.approx([NAN, NAN, LOG(0.4)], nan_ok=True)
    assert np.exp(trie.most(reads, bounds))[0] == pytest.approx([0.1 * 0.3, 0.1 * 0.5, 0.4])


def test_ends_of_a_reply_that_are_not_listed_count_for_nothing_beside_one_that_is():
    trie = LabelTrie([(1,), (1, 3)], ("1", "10"), ends=(0, 8))  # reads: 1 | 3, 0, 8
    half = np.array([[LOG(0.5), LOG(0.2), LOG(0.6), NAN]])

    assert np.exp(trie.classes(half))[0] == pytest.approx([0.5 * 0.6, 0.5 * 0.2])
    assert np.isnan(trie.classes(np.array([[LOG(0.5), LOG(0.2), NAN, NAN]]))[0, 0])


def test_no_censored_label_is_ever_more_probable_than_its_bound():
    rng, counted = np.random.default_rng(0), 0
    trie = LabelTrie(
        [(1,), (1, 3), (2,), (5, 6), (5, 7)], ("1", "10", "2", "a b", "a c"), ends=(0,)
    )
    for _ in range(200):
        truth = [rng.dirichlet(np.full(30, 0.2)) + 1e-12 for _ in trie.nodes]
        lists = [
            completion({f"token_id:{token}": LOG(p[token]) for token in np.argsort(-p)[:8]})
            for p in truth
        ]
        found = [entries(one, 8) for one in lists]
        reads = np.array(
            [
                [
                    value
                    for node, one in zip(trie.nodes, found, strict=True)
                    for value in token_reads(one, node.tokens, {})
                ]
            ]
        )
        bounds = np.array([[one[-1].value for one in found]])
        exact = trie.classes(
            np.array(
                [
                    [
                        LOG(p[token])
                        for node, p in zip(trie.nodes, truth, strict=True)
                        for token in node.tokens
                    ]
                ]
            )
        )
        classes, most = trie.classes(reads), trie.most(reads, bounds)

        assert (exact <= most + 1e-9).all()
        answers = censored(classes, most, np.zeros(1, bool), np.ones(1, int), 8)
        unknown = np.isnan(classes[0])
        assert not unknown.any() or exact[0, unknown].max() <= answers.log_bound[0] + 1e-9
        assert answers.label[0] in (-1, exact[0].argmax())
        counted += int(unknown.any())
    assert counted > 50


def test_spellings_of_a_code_with_and_without_space_add_up():
    found = entries(
        completion(
            {" A": LOG(0.4), "A": LOG(0.2), "B": LOG(0.1), " the": LOG(0.05), "AB": LOG(0.04)}
        ),
        20,
    )

    row, bound = code_reads(found, ["A", "B", "C"])
    assert np.exp(row) == pytest.approx([0.6, 0.1, NAN], nan_ok=True)
    assert bound == pytest.approx(
        LOG(2 * 0.04)
    )  # "C" and " C" could both just have missed the list


def test_a_sampled_token_at_the_end_of_a_list_is_left_out():
    listed = {"rare": -9.0, "A": -0.5, "B": -2.0}

    assert [one.text for one in entries(completion(listed, sampled="rare"), 20)] == ["A", "B"]
    assert [one.text for one in entries(completion(listed, sampled="A"), 20)] == ["A", "B", "rare"]
    assert [one.text for one in entries(completion(listed, sampled="rare"))] == ["A", "B", "rare"]


def test_lists_of_chats_and_of_completions_read_alike():
    chat = {
        "logprobs": {
            "content": [
                {
                    "token": "A",
                    "top_logprobs": [
                        {"token": "A", "logprob": -0.5},
                        {"token": "B", "id": 7, "logprob": -2.0},
                    ],
                }
            ]
        }
    }

    assert entries(chat, 20) == [("A", None, -0.5), ("B", 7, -2.0)]
    assert entries(completion({"token_id:5": -0.5, "B": -9999.0})) == [
        ("token_id:5", 5, -0.5),
        ("B", None, -math.inf),
    ]


@pytest.mark.parametrize(
    ("choice", "wrong"),
    [
        ({}, "no log probabilities"),
        ({"logprobs": None}, "no log probabilities"),
        ({"logprobs": {"content": []}}, "no log probabilities"),
        (completion({"A": "high"}, "A"), "a log probability that is none"),
        (completion({"A": NAN}, "A"), "a log probability that is none"),
        (completion({"A": 0.5}, "A"), "a log probability that is none"),
        (completion({"A": -0.1, "B": -0.1}), "add up to more than 1"),
    ],
)
def test_lists_that_are_none_are_called_malformed(choice, wrong):
    with pytest.raises(Malformed, match=wrong):
        entries(choice, 20)


def test_reads_of_other_tokens_than_those_asked_for_are_malformed():
    found = entries(completion({"token_id:5": -0.5, "token_id:6": -2.0}))

    assert all_reads(found, (6, 5), {}, constrained=False) == [-2.0, -0.5]
    with pytest.raises(Malformed, match="other tokens than those asked for"):
        all_reads(found, (5, 7), {}, constrained=False)
    with pytest.raises(Malformed, match="not those of the tokens the reply was held to"):
        all_reads(found, (5, 6), {}, constrained=True)
    with pytest.raises(Malformed, match="no probability for any"):
        all_reads(
            entries(completion({"token_id:5": -9999.0, "token_id:9": -0.1})),
            (5,),
            {},
            constrained=False,
        )


def test_choices_are_put_in_order_and_counted():
    data = {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}

    assert [one["text"] for one in choices(data, 2)] == ["a", "b"]
    with pytest.raises(Malformed, match="2 choices where 3 were asked for"):
        choices(data, 3)
    with pytest.raises(Malformed, match="no choices but an error: out of credit"):
        choices({"error": {"message": "out of credit"}}, 1)


def test_whatever_a_server_says_is_read_or_called_malformed():
    """Valid answers with one part after another replaced by something else."""
    chat = {
        "logprobs": {
            "content": [
                {
                    "token": "A",
                    "top_logprobs": [
                        {"token": "A", "logprob": -0.5},
                        {"token": "B", "logprob": -2.0},
                    ],
                }
            ]
        }
    }
    junk: list[object] = [
        None,
        0,
        -1,
        True,
        "x",
        "",
        [],
        {},
        [[]],
        [None],
        {"a": 1},
        1e308,
        math.inf,
    ]

    def places(node, path=()):
        yield path
        for key, child in (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        ):
            yield from places(child, (*path, key))

    def put(node, path, value):
        if not path:
            return value
        copy = dict(node) if isinstance(node, dict) else list(node)
        copy[path[0]] = put(copy[path[0]], path[1:], value)
        return copy

    good, bad = 0, 0
    for choice in (
        completion({"A": -0.5, "B": -2.0}),
        chat,
        {"message": {"content": "A"}},
        {"text": "A"},
    ):
        data = {
            "choices": [{"index": 0, **choice}, {"index": 1, **choice}],
            "usage": {"prompt_tokens": 3},
        }
        for path in places(data):
            for value in junk:
                try:
                    for one in choices(put(data, path, value), 2):
                        assert isinstance(reply(one), str)
                        code_reads(entries(one, 20), ["A", "C"])
                    good += 1
                except Malformed:
                    bad += 1
    assert good > 50
    assert bad > 500


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("books", 0),
        (" Books\n", 0),
        ("\n\n**Books**", 0),
        ("Label: books", 0),
        ("The label is: 'books'.", 0),
        ('"books" because it says so', 0),
        ("bookshelf", -1),
        ("books and more", 1),
        ("I think books", -1),
        ("", -1),
        ("books or household", -1),
        ("household\nbooks", 2),
        ("BOOKS.", 0),
    ],
)
def test_a_reply_is_read_as_the_label_that_it_begins_with(text, label):
    assert parse_label(text, ("books", "books and more", "household")) == label


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("1", 0),
        ("10", 1),
        ("12", -1),
        ("1.", 0),
        ("A", 2),
        ("a", 3),
        ("A house", -1),
        ("A) house", 2),
    ],
)
def test_codes_are_told_apart_by_their_whole_and_by_capitals(text, label):
    assert parse_label(text, ("1", "10", "A", "a")) == label


def test_the_most_frequent_sample_is_the_label_and_ties_go_to_the_first_class():
    answers = sampled(
        np.array([[2, 2, 1], [2, 0, -1], [-1, -1, -1]]), 3, np.zeros(3, bool), np.full(3, 9)
    )

    assert answers.label.tolist() == [2, 0, -1]
    assert answers.error == [None, None, "none of the samples is a label"]
    assert np.isnan(answers.log_probabilities).all()
    assert np.isnan(answers.label_mass).all()
    assert answers.repeats is not None
    assert answers.repeats.tolist() == [[2, 2, 1], [2, 0, -1], [-1, -1, -1]]


def test_retry_after_is_read_as_seconds_and_as_a_date():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)

    assert seconds("2.5") == 2.5
    assert 85 < seconds(email.utils.format_datetime(soon, usegmt=True)) <= 90
    assert [
        seconds(text) for text in (None, "", "soon", "-3", "Thu, 01 Jan 1970 00:00:00 GMT")
    ] == [0] * 5


def test_the_pace_doubles_until_the_server_is_busy_and_then_grows_by_one_in_a_window():
    async def limits():
        pace = Pace(64)
        seen = [pace.limit]
        for window in (4, 8):
            for _ in range(window):
                pace.good()
            seen.append(pace.limit)
        for _ in range(16):  # all sent before the server said so: it is one and the same news
            pace.busy(0)
        seen.append(pace.limit)
        for _ in range(8):
            pace.good()
        return [*seen, pace.limit]

    start, once, twice, halved, after = asyncio.run(limits())
    assert (start, once, twice, halved) == (4, 8, 16, 8)
    assert after == pytest.approx(9, abs=0.1)


def test_the_pace_never_passes_its_limit_and_lets_everybody_in():
    async def most_at_once():
        pace, running, most, done = Pace(3), 0, 0, 0

        async def one():
            nonlocal running, most, done
            async with pace.turn():
                running += 1
                most = max(most, running)
                await asyncio.sleep(0)
                running -= 1
                done += 1
            pace.good()

        await asyncio.gather(*(one() for _ in range(50)))
        return most, done

    assert asyncio.run(most_at_once()) == (3, 50)
