"""Reading a server's responses: listed tokens, censored labels, sampled labels. No server."""

import math
from collections.abc import Iterable

import numpy as np
import pytest

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.openai.choices import choices
from project.annotation.engines.openai.faults import MalformedResponse
from project.annotation.engines.openai.parsing import (
    all_log_probabilities_of,
    listed_tokens,
    log_probabilities_of,
    read_codes,
)
from project.annotation.engines.openai.readouts import censored_answers, sampled_answers
from project.annotation.reading.reader import ReplyReader

LOG, NAN = math.log, math.nan


def answers_of(classes, bounds, n_listed=20):
    """Censored answers from log probabilities and bounds, ``(n, n_classes)`` each."""
    n = len(classes)
    return censored_answers(
        np.array(classes, dtype=float),
        np.array(bounds, dtype=float),
        n_listed=n_listed,
        truncated=np.zeros(n, bool),
        prompt_tokens=np.full(n, 9),
    )


def completion(listed, sampled=None):
    """A choice of the completions endpoint that lists these tokens."""
    return {
        "logprobs": {"tokens": [sampled or max(listed, key=listed.get)], "top_logprobs": [listed]}
    }


def chat_choice(*listed):
    """A choice of the chat endpoint that lists these tokens, the first of which was sampled."""
    token = {"token": listed[0]["token"], "top_logprobs": list(listed)}
    return {"logprobs": {"content": [token]}}


def test_known_classes_are_normalised_over_one_another_and_censored_classes_keep_their_bound():
    answers = answers_of([[LOG(0.5), NAN, LOG(0.25)]], [[NAN, LOG(0.01), NAN]])

    assert np.exp(answers.log_probabilities[0]) == pytest.approx([2 / 3, NAN, 1 / 3], nan_ok=True)
    assert (answers.label[0], answers.error[0]) == (0, None)
    assert answers.label_mass[0] == pytest.approx(0.75)
    assert answers.log_bound[0] == pytest.approx(LOG(0.01))


def test_a_text_whose_classes_are_all_known_has_no_bound():
    assert np.isnan(answers_of([[LOG(0.5), LOG(0.1)]], [[LOG(0.9), LOG(0.9)]]).log_bound[0])


def test_a_text_without_a_listed_label_has_no_answer():
    answers = answers_of([[NAN, NAN]], [[LOG(0.01), LOG(0.02)]])

    assert (answers.label[0], answers.error[0]) == (
        -1,
        "none of the labels among the 20 listed tokens",
    )
    assert answers.label_mass[0] == 0
    assert answers.log_bound[0] == pytest.approx(LOG(0.02))


def test_a_text_has_no_answer_if_a_censored_label_could_be_the_most_probable():
    answers = answers_of([[LOG(0.01), NAN]], [[NAN, LOG(0.02)]])

    assert (answers.label[0], answers.error[0]) == (
        -1,
        "a label that is not among the 20 listed tokens could be the most probable",
    )
    assert np.isnan(answers.log_probabilities).all()


def test_labels_that_begin_with_an_unlisted_token_are_censored():
    # Labels "1", "10" and "2". At the root, token 2 is listed (0.4) and token 1 is not (at most
    # 0.1). After token 1, "0" has probability 0.5 and the end of the reply 0.3.
    trie = LabelTrie([(1,), (1, 3), (2,)], ("1", "10", "2"), ends=(0,))
    reads, bounds = np.array([[NAN, LOG(0.4), LOG(0.5), LOG(0.3)]]), np.log([[0.1, 0.2]])

    assert trie.classes(reads)[0] == pytest.approx([NAN, NAN, LOG(0.4)], nan_ok=True)
    assert np.exp(trie.upper_bounds(reads, bounds))[0] == pytest.approx([0.1 * 0.3, 0.1 * 0.5, 0.4])


def test_unlisted_end_tokens_are_ignored_if_another_end_token_is_listed():
    trie = LabelTrie([(1,), (1, 3)], ("1", "10"), ends=(0, 8))  # reads: 1 | 3, 0, 8
    half = np.array([[LOG(0.5), LOG(0.2), LOG(0.6), NAN]])

    assert np.exp(trie.classes(half))[0] == pytest.approx([0.5 * 0.6, 0.5 * 0.2])
    assert np.isnan(trie.classes(np.array([[LOG(0.5), LOG(0.2), NAN, NAN]]))[0, 0])


def exact_classes(trie, distributions):
    """Log probabilities of the labels from a distribution over the vocabulary for each node."""
    reads = [
        LOG(p[token])
        for node, p in zip(trie.nodes, distributions, strict=True)
        for token in node.tokens
    ]
    return trie.classes(np.array([reads]))


def listed_classes(trie, distributions, n_listed):
    """Log probabilities and bounds of the labels where only ``n_listed`` tokens are listed."""
    reads = []
    bounds = []
    for node, p in zip(trie.nodes, distributions, strict=True):
        top = np.argsort(-p)[:n_listed]
        choice = completion({f"token_id:{token}": LOG(p[token]) for token in top})
        listed = listed_tokens(choice, n_listed)
        reads += log_probabilities_of(listed, node.tokens, {})
        bounds.append(listed[-1].log_probability)
    return trie.classes(np.array([reads])), trie.upper_bounds(np.array([reads]), np.array([bounds]))


def test_no_censored_label_is_more_probable_than_its_bound():
    rng = np.random.default_rng(0)
    n_censored = 0
    trie = LabelTrie(
        [(1,), (1, 3), (2,), (5, 6), (5, 7)], ("1", "10", "2", "a b", "a c"), ends=(0,)
    )
    for _ in range(200):
        distributions = [rng.dirichlet(np.full(30, 0.2)) + 1e-12 for _ in trie.nodes]
        exact = exact_classes(trie, distributions)
        classes, bounds = listed_classes(trie, distributions, 8)

        assert (exact <= bounds + 1e-9).all()
        answers = answers_of(classes, bounds, 8)
        unknown = np.isnan(classes[0])
        assert not unknown.any() or exact[0, unknown].max() <= answers.log_bound[0] + 1e-9
        assert answers.label[0] in (-1, exact[0].argmax())
        n_censored += int(unknown.any())
    assert n_censored > 50


def test_the_probabilities_of_a_code_with_and_without_a_space_are_added():
    listed = listed_tokens(
        completion(
            {" A": LOG(0.4), "A": LOG(0.2), "B": LOG(0.1), " the": LOG(0.05), "AB": LOG(0.04)}
        ),
        20,
    )

    reading = read_codes(listed, ["A", "B", "C"])
    assert np.exp(reading.log_probabilities) == pytest.approx([0.6, 0.1, NAN], nan_ok=True)
    # "C" and " C" could each have just a little less than the last token of the list.
    assert reading.log_bound == pytest.approx(LOG(2 * 0.04))


def test_a_sampled_token_at_the_end_of_a_list_is_left_out():
    listed = {"rare": -9.0, "A": -0.5, "B": -2.0}

    def texts(sampled, n_listed=0):
        return [token.text for token in listed_tokens(completion(listed, sampled), n_listed)]

    assert texts("rare", 20) == ["A", "B"]
    assert texts("A", 20) == ["A", "B", "rare"]
    assert texts("rare") == ["A", "B", "rare"]


def test_lists_of_the_chat_and_the_completions_endpoint_are_read_alike():
    chat = chat_choice({"token": "A", "logprob": -0.5}, {"token": "B", "id": 7, "logprob": -2.0})

    assert listed_tokens(chat, 20) == [("A", None, -0.5), ("B", 7, -2.0)]
    assert listed_tokens(completion({"token_id:5": -0.5, "B": -9999.0})) == [
        ("token_id:5", 5, -0.5),
        ("B", None, -math.inf),
    ]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "no log probabilities"),
        ({"logprobs": None}, "no log probabilities"),
        ({"logprobs": {"content": []}}, "no log probabilities"),
        (completion({"A": "high"}, "A"), "a log probability that is not a number of at most 0"),
        (completion({"A": NAN}, "A"), "a log probability that is not a number of at most 0"),
        (completion({"A": 0.5}, "A"), "a log probability that is not a number of at most 0"),
        (completion({"A": -0.1, "B": -0.1}), "add up to more than 1"),
    ],
)
def test_lists_without_valid_log_probabilities_are_malformed(choice, message):
    with pytest.raises(MalformedResponse, match=message):
        listed_tokens(choice, 20)


def test_log_probabilities_of_other_tokens_than_the_requested_ones_are_malformed():
    listed = listed_tokens(completion({"token_id:5": -0.5, "token_id:6": -2.0}))
    impossible = listed_tokens(completion({"token_id:5": -9999.0, "token_id:9": -0.1}))

    assert all_log_probabilities_of(listed, (6, 5), {}, constrained=False) == [-2.0, -0.5]
    with pytest.raises(MalformedResponse, match="other tokens than the requested ones"):
        all_log_probabilities_of(listed, (5, 7), {}, constrained=False)
    with pytest.raises(MalformedResponse, match="from before the reply was constrained"):
        all_log_probabilities_of(listed, (5, 6), {}, constrained=True)
    with pytest.raises(MalformedResponse, match="probability 0 for all of the requested tokens"):
        all_log_probabilities_of(impossible, (5,), {}, constrained=False)


def test_choices_are_sorted_and_counted():
    data = {"choices": [{"index": 1, "text": "b"}, {"index": 0, "text": "a"}]}

    assert [choice["text"] for choice in choices(data, 2)] == ["a", "b"]
    with pytest.raises(MalformedResponse, match="2 choices where 3 were requested"):
        choices(data, 3)
    with pytest.raises(MalformedResponse, match="no choices but an error: out of credit"):
        choices({"error": {"message": "out of credit"}}, 1)


JUNK: list[object] = [
    *(None, 0, -1, True, "x", "", [], {}, [[]], [None], {"a": 1}, 1e308),
    math.inf,
]


def paths_in(node, path=()):
    """The path of every value in nested lists and mappings."""
    yield path
    children: Iterable[tuple[object, object]] = ()
    if isinstance(node, dict):
        children = node.items()
    elif isinstance(node, list):
        children = enumerate(node)
    for key, child in children:
        yield from paths_in(child, (*path, key))


def with_value_at(node, path, value):
    """A copy of nested lists and mappings with another value at ``path``."""
    if not path:
        return value
    copy = dict(node) if isinstance(node, dict) else list(node)
    copy[path[0]] = with_value_at(copy[path[0]], path[1:], value)
    return copy


def test_any_response_is_read_or_malformed():
    """Valid responses in which one part after another is replaced by something else."""
    chat = chat_choice({"token": "A", "logprob": -0.5}, {"token": "B", "logprob": -2.0})
    message = {"message": {"content": "A"}}
    n_read = 0
    n_malformed = 0
    for choice in (completion({"A": -0.5, "B": -2.0}), chat, message, {"text": "A"}):
        data = {
            "choices": [{"index": 0, **choice}, {"index": 1, **choice}],
            "usage": {"prompt_tokens": 3},
        }
        for path in paths_in(data):
            for value in JUNK:
                try:
                    for changed in choices(with_value_at(data, path, value), 2):
                        read_codes(listed_tokens(changed, 20), ["A", "C"])
                    n_read += 1
                except MalformedResponse:
                    n_malformed += 1
    assert n_read > 50
    assert n_malformed > 500


def test_a_reply_that_is_cut_is_no_label_if_another_one_may_begin_so():
    reader = ReplyReader({"books": 0, "books and more": 1})

    assert reader.read("books") == 0
    assert reader.read("books", is_cut=True) == -1
    assert reader.read("books and more", is_cut=True) == 1


def test_the_most_frequent_sample_is_the_label_and_ties_go_to_the_first_class():
    samples = np.array([[2, 2, 1], [2, 0, -1], [-1, -1, -1]])
    answers = sampled_answers(samples, 3, truncated=np.zeros(3, bool), prompt_tokens=np.full(3, 9))

    assert answers.label.tolist() == [2, 0, -1]
    assert answers.error == [None, None, "none of the samples is a label"]
    assert np.isnan(answers.log_probabilities).all()
    assert np.isnan(answers.label_mass).all()
    assert answers.repeats is not None
    assert answers.repeats.tolist() == samples.tolist()
