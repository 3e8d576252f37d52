"""The label trie: the probability of every label from the fewest reads."""

import numpy as np
import pytest

from project.annotation.engines.label_trie import LabelTrie, Node
from project.support.errors import AssayError


def test_labels_that_differ_in_their_first_token_need_one_read_each():
    trie = LabelTrie([(4, 7), (5,), (6, 1)], ("a b", "c", "d"), ends=(0,))

    assert trie.nodes == [Node((), (4, 5, 6))]
    assert trie.depth == 0
    assert trie.classes(np.log([[0.5, 0.2, 0.1]])) == pytest.approx(np.log([[0.5, 0.2, 0.1]]))


def test_tokens_that_all_labels_share_are_read_too():
    # a space (9) and then the digits 4 and 5, as many tokenizers write " 0" and " 1"
    trie = LabelTrie([(9, 4), (9, 5)], (" 0", " 1"), ends=())

    assert trie.nodes == [Node((), (9,)), Node((9,), (4, 5))]
    assert np.exp(trie.classes(np.log([[0.5, 0.6, 0.3]])))[0] == pytest.approx([0.3, 0.15])


def test_a_label_that_begins_another_is_read_with_the_end_of_the_reply():
    # "1", "10", "12" and "2"; a reply ends with token 0 or 8
    trie = LabelTrie([(1,), (1, 3), (1, 4), (2,)], ("1", "10", "12", "2"), ends=(0, 8))

    assert trie.nodes == [Node((), (1, 2)), Node((1,), (3, 4, 0, 8))]
    # P(1 first) 0.6, P(2 first) 0.3; after 1: "0" 0.2, "2" 0.1, ends 0.4 and 0.2
    read = np.exp(trie.classes(np.log([[0.6, 0.3, 0.2, 0.1, 0.4, 0.2]])))
    assert read[0] == pytest.approx([0.6 * 0.6, 0.6 * 0.2, 0.6 * 0.1, 0.3])


def test_the_probabilities_of_a_deep_trie_equal_those_of_all_replies_of_a_toy_language():
    """Twelve integers over three tokens, against every reply spelt out."""
    answer_tokens = [tuple(int(digit) for digit in str(number)) for number in range(12)]
    trie = LabelTrie(answer_tokens, tuple(map(str, range(12))), ends=(99,))
    rng = np.random.default_rng(0)
    table = {
        node.path: dict(zip((*range(10), 99), rng.dirichlet(np.ones(11)), strict=True))
        for node in trie.nodes
    }
    reads = np.array(
        [[np.log(table[node.path][token]) for node in trie.nodes for token in node.tokens]]
    )

    for number, read in enumerate(np.exp(trie.classes(reads))[0]):
        expected = table[()][answer_tokens[number][0]]
        if number in (1, 10, 11):
            expected *= table[(1,)][99 if number == 1 else answer_tokens[number][1]]
        assert read == pytest.approx(expected)
    assert len(trie.nodes) == 2


def test_labels_of_the_same_tokens_are_refused_by_name():
    with pytest.raises(
        AssayError, match="labels 'Ja' and 'JA' are the same tokens .*label_style=letter"
    ):
        LabelTrie([(1, 2), (3,), (1, 2)], (" Ja", " nein", " JA"), ends=(0,))


def test_a_label_that_begins_another_is_refused_if_no_token_ends_a_reply():
    with pytest.raises(
        AssayError,
        match="label '1' begins another label, and this model has no token that ends a reply",
    ):
        LabelTrie([(1,), (1, 3)], (" 1", " 10"), ends=())
