"""Prompts as token ids: what is read of label tokens is exact, or censored with a valid bound."""

import numpy as np
import pytest

from project.stats.information import log_normalise
from tests.helpers.faulty_server import ALLOWED, BIASED, EXACT, LISTED
from tests.helpers.label_readings import exact_classes, first_label_tokens
from tests.helpers.serving import TEXTS, prompt_of, task_prompt


@pytest.mark.parametrize("style", ["name", "integer"])
def test_exact_log_probabilities_of_label_tokens_give_the_exact_distribution(
    serve, vocabulary, tiny_llm, small_task, style
):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={EXACT})
    prompt = task_prompt(small_task, style)

    answers = annotator.read(prompt, TEXTS)

    expected = exact_classes(server, annotator, prompt, TEXTS)
    assert answers.log_probabilities == pytest.approx(log_normalise(expected))
    assert answers.label.tolist() == expected.argmax(axis=1).tolist()
    assert answers.label_mass == pytest.approx(np.exp(expected).sum(axis=1))
    assert np.isnan(answers.log_bound).all()
    assert annotator.capability == "exact log probabilities of the label tokens (logprob_token_ids)"
    assert annotator.notes == [f"server: {annotator.capability}"]


@pytest.mark.parametrize(
    "answers_of", [(" books", " clothing", " electronics"), (" bookA", " bookB", " bookC")]
)  # the second three begin alike
@pytest.mark.parametrize(
    ("can", "field"), [({ALLOWED}, "allowed_token_ids"), ({BIASED}, "logit_bias")]
)
def test_constrained_replies_give_the_distribution_without_the_label_mass(
    serve, vocabulary, tiny_llm, can, field, answers_of
):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can=can)
    prompt = prompt_of(answers_of)

    answers = annotator.read(prompt, TEXTS)

    assert field in annotator.capability
    assert answers.log_probabilities == pytest.approx(
        log_normalise(exact_classes(server, annotator, prompt, TEXTS))
    )
    assert np.isnan(answers.label_mass).all()
    assert answers.error == [None] * len(TEXTS)
    # The tokens with which all labels begin are not requested.
    assert {len(body[field]) for body in server.posts[-2:]} == {3}


def test_unlisted_labels_are_censored_with_a_valid_bound(serve, vocabulary, tiny_llm, small_task):
    prompt = task_prompt(small_task, "name")
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={LISTED})
    server.favoured = first_label_tokens(annotator, prompt)

    answers = annotator.read(prompt, TEXTS)

    expected = exact_classes(server, annotator, prompt, TEXTS)
    unknown = np.isnan(answers.log_probabilities)
    some = unknown.any(axis=1) & ~unknown.all(axis=1)
    assert some.sum() > 3
    assert (~unknown).all(axis=1).sum() > 1
    for row in np.flatnonzero(some | ~unknown.any(axis=1)):
        known = ~unknown[row]
        assert answers.log_probabilities[row, known] == pytest.approx(
            expected[row, known] - np.logaddexp.reduce(expected[row, known])
        )
        assert answers.label_mass[row] == pytest.approx(np.exp(expected[row, known]).sum())
        assert answers.label[row] == expected[row].argmax()
    largest_unknown = expected.max(axis=1, where=unknown, initial=-np.inf)
    bound = np.where(unknown.any(axis=1), answers.log_bound, np.inf)
    assert (largest_unknown <= bound).all()
    assert [error is not None for error in answers.error] == (answers.label == -1).tolist()


@pytest.mark.parametrize(
    "limits", [{"strict": True}, {"strict": True, "max_listed": 5}, {"token_ids": False}]
)
def test_servers_with_only_the_standard_protocol_are_read_by_the_text_of_tokens(
    serve, vocabulary, tiny_llm, small_task, limits
):
    prompt = task_prompt(small_task, "name")
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={LISTED}, **limits)
    server.favoured = first_label_tokens(annotator, prompt)

    answers = annotator.read(prompt, TEXTS)

    assert f"the {limits.get('max_listed', 20)} most probable" in annotator.capability
    answered = answers.label >= 0
    assert answered.sum() > 8
    expected = exact_classes(server, annotator, prompt, TEXTS)[answered].argmax(axis=1)
    assert answers.label[answered].tolist() == expected.tolist()
