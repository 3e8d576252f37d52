"""Readout modes that a server seems to support and that would give wrong numbers are not used."""

import numpy as np

from tests.helpers.faulty_server import ALLOWED, BIASED, LISTED
from tests.helpers.label_readings import first_label_tokens
from tests.helpers.serving import TEXTS, prompt_of, task_prompt


def test_a_server_that_fails_at_unknown_fields_is_read_in_a_simpler_mode(
    serve, vocabulary, tiny_llm, small_task
):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={LISTED})
    answer = server.answer
    server.answer = lambda path, body: (
        (500, {"error": "KeyError"}) if body.get("logprob_token_ids") else answer(path, body)
    )

    annotator.read(task_prompt(small_task, "name"), TEXTS[:2])

    assert "20 most probable" in annotator.capability


def test_replies_are_not_constrained_if_labels_differ_at_several_tokens(
    serve, vocabulary, tiny_llm
):
    # A reply that is constrained at each of several tokens has another distribution than the
    # model's own.
    _, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={ALLOWED, BIASED}, favoured=range(0, 600, 7)
    )
    prompt = prompt_of((" kettle on", " kettle off", " garden"))
    nodes = annotator._prompt_tokens(None, 1).trie(prompt).nodes
    assert sum(len(node.tokens) > 1 for node in nodes) > 1

    annotator.read(prompt, TEXTS[:2])

    assert "20 most probable" in annotator.capability


def test_log_probabilities_from_before_a_constraint_are_not_used_as_constrained_ones(
    serve, vocabulary, tiny_llm, small_task
):
    prompt = task_prompt(small_task, "name")
    _, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={ALLOWED, BIASED}, before_constraint=True
    )

    answers = annotator.read(prompt, TEXTS)

    assert annotator.capability == (
        "log probabilities of the 20 most probable tokens only; "
        "labels that are not among them are censored"
    )
    assert answers.log_probabilities.shape == (len(TEXTS), 4)


def test_label_tokens_that_are_listed_by_chance_do_not_count_as_exact(
    serve, vocabulary, tiny_llm, small_task
):
    prompt = task_prompt(small_task, "name")
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={LISTED}, min_listed=20, boost=9.0
    )
    server.favoured = first_label_tokens(annotator, prompt)

    answers = annotator.read(prompt, TEXTS)

    assert "20 most probable" in annotator.capability
    assert not np.isnan(answers.log_probabilities).any()
