"""Log probabilities of labels by definition, from the model of a test's server."""

import numpy as np

from tests.helpers.serving import LETTERS


def exact_classes(server, annotator, prompt, texts):
    """Log probabilities of the labels by definition, from the server's model, text by text."""
    tokens = annotator._prompt_tokens(None, 1)
    trie = tokens.trie(prompt)
    fitted = tokens.fit(prompt, texts)
    reads = [
        [
            server.log_probabilities([*fitted.prefix, *suffix, *node.path])[token]
            for node in trie.nodes
            for token in node.tokens
        ]
        for suffix in fitted.suffixes
    ]
    return trie.classes(np.array(reads))


def first_label_tokens(annotator, prompt):
    """The tokens with which the labels begin."""
    return list(annotator._prompt_tokens(None, 1).trie(prompt).nodes[0].tokens)


def exact_codes(server, text, codes, prompt):
    """Log probabilities of ``codes``, with and without a space, after a prompt as text."""
    logs = server.log_probabilities(prompt.messages(text) if prompt.chat else prompt.render(text))
    return np.array(
        [np.logaddexp(logs[LETTERS.index(code)], logs[LETTERS.index(f" {code}")]) for code in codes]
    )
