"""Prompts as text or chats: labels from the text of tokens, or from sampled replies."""

import numpy as np
import pytest

from project.support.errors import AssayError
from tests.helpers.faulty_server import LISTED, SAMPLED, Fault
from tests.helpers.label_readings import exact_codes
from tests.helpers.serving import TEXTS, prompt_of


def test_a_server_without_log_probabilities_is_sampled(serve):
    server, annotator = serve(can={SAMPLED}, repeats=20, favoured=[2, 3])  # "B" and " B"
    prompt = prompt_of()

    answers = annotator.read(prompt, TEXTS[:6])

    assert annotator.capability == (
        "no log probabilities; labels are sampled 20 times at temperature 0.6"
    )
    assert answers.repeats.shape == (6, 20)
    assert answers.label.tolist() == [
        np.bincount(row[row >= 0]).argmax() for row in answers.repeats
    ]
    assert answers.repeats.min() == -1  # a sample that is no label
    assert np.isnan(answers.log_probabilities).all()
    assert {body.get("n") for body in server.posts[-12:]} == {16, 4}
    assert {body["temperature"] for body in server.posts[-12:]} == {0.6}
    assert annotator.size(prompt, TEXTS[:6]).requests == 2


def test_a_reply_that_is_no_label_is_the_reason_why_a_text_has_none(serve):
    def reply(data):
        for choice in data["choices"]:
            choice["text"] = "Both:\nA and B"
        return data

    server, annotator = serve(can={SAMPLED}, repeats=2)
    annotator.read(prompt_of(), TEXTS[:1])  # finds out what the server can do
    server.fault_of_all = Fault(change=reply)

    answers = annotator.read(prompt_of(), TEXTS[1:3])

    assert answers.label.tolist() == [-1, -1]
    assert answers.error == ["unparsed: Both: A and B"] * 2


def test_a_server_without_n_gets_one_request_for_each_sample(serve, vocabulary, tiny_llm):
    server, annotator = serve(
        vocabulary,
        tokenizer=tiny_llm,
        can={SAMPLED},
        repeats=3,
        several_samples=False,
        batches=False,
    )

    answers = annotator.read(prompt_of(), TEXTS[:2])

    assert answers.repeats.shape == (2, 3)
    assert all("n" not in body for body in server.posts[-6:])
    assert [error is None for error in answers.error] == (answers.label >= 0).tolist()


def test_a_server_without_log_probabilities_is_an_error_without_repeats(serve):
    _, annotator = serve(can={SAMPLED})

    with pytest.raises(
        AssayError,
        match=r"returns no log probabilities of model, so labels can only be sampled.*repeats=9",
    ):
        annotator.read(prompt_of(), TEXTS[:1])


@pytest.mark.parametrize("chat", [True, False])
def test_without_a_tokenizer_one_character_labels_are_read_from_the_text_of_tokens(serve, chat):
    server, annotator = serve(can={LISTED}, favoured=range(6), context=2048)
    codes = ["A", "B", "C"]
    prompt = prompt_of(codes, chat=chat, system="Be brief." if chat else "")

    answers = annotator.read(prompt, TEXTS)

    answered = [row for row in range(len(TEXTS)) if answers.label[row] >= 0]
    assert len(answered) > 12
    for row in answered:
        exact = exact_codes(server, TEXTS[row], codes, prompt)
        assert answers.label[row] == exact.argmax()
        both = ~np.isnan(answers.log_probabilities[row])
        assert answers.label_mass[row] <= np.exp(exact[both]).sum() + 1e-9
        assert both.all() or exact[~both].max() <= answers.log_bound[row]
    assert answers.prompt_tokens.tolist() == [7] * len(TEXTS)  # as the server counts them
    assert ("control tokens" in " ".join(annotator.notes)) is not chat
    if chat:
        assert server.posts[-1]["messages"][0] == {"role": "system", "content": "Be brief."}


def test_without_a_tokenizer_a_longer_label_is_an_error_that_names_it(serve):
    _, annotator = serve(can={LISTED})

    with pytest.raises(
        AssayError,
        match=r"label 'books' cannot be read.*label_style=letter.*annotator_tokenizer",
    ):
        annotator.read(prompt_of((" A", " books")), TEXTS[:1])


def test_a_chat_server_with_max_completion_tokens_is_read(serve):
    server, annotator = serve(can={LISTED}, favoured=range(6))
    answer = server.answer

    def modern(path, body):
        if "max_tokens" in body or body["temperature"] != 1:
            return 400, {
                "error": {"message": "Use max_completion_tokens instead; temperature must be 1."}
            }
        return answer(path, {**body, "max_tokens": body["max_completion_tokens"]})

    server.answer = modern
    answers = annotator.read(prompt_of(chat=True), TEXTS)

    assert (answers.label >= 0).sum() > 8


def test_a_text_that_the_content_filter_refuses_has_an_error_and_the_others_have_answers(serve):
    server, annotator = serve(can={LISTED}, favoured=range(6))
    annotator.read(prompt_of(chat=True), TEXTS[:1])

    def filtered(data):
        choice = {**data["choices"][0], "finish_reason": "content_filter", "logprobs": None}
        return {**data, "choices": [choice]}

    server.faults.extend(
        [
            Fault(400, message={"error": {"code": "content_filter", "message": "no"}}),
            Fault(change=filtered),
        ]
    )

    answers = annotator.read(prompt_of(chat=True), TEXTS[:8])

    assert answers.error.count("the server's content filter refused the text") == 2
    assert sum(answers.label >= 0) >= 3
