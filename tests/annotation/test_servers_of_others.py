"""Replies in the forms that other servers document, each read as the same labels.

Forms: llama.cpp's llama-server (a token has an id; chats alone have log probabilities),
llama-cpp-python (chats in the form of completions: its issue 1787), Ollama from
0.12.11 (the OpenAI form with bytes) and before (no log probabilities; unknown fields are dropped),
OpenAI and Azure (a refusal beside the content). The values are those of the test's own server.
"""

import numpy as np
import pytest

from tests.helpers.faulty_server import LISTED, SAMPLED, Fault
from tests.helpers.serving import LETTERS, TEXTS, prompt_of


def with_tokens(change, **more):
    """A change of every listed token of a chat's reply, and more fields beside them."""

    def changed(data):
        for choice in data.get("choices", ()):
            for entry in (choice.get("logprobs") or {}).get("content", ()):
                entry["top_logprobs"] = [change(token) for token in entry["top_logprobs"]]
                entry |= {"logprob": entry["top_logprobs"][0]["logprob"], "bytes": [65]}
            choice.update(more.get("choice", {}))
        return {**data, **more.get("reply", {})}

    return changed


def llama_cpp(token):
    return {"id": LETTERS.index(token["token"]), "bytes": list(token["token"].encode()), **token}


def in_the_form_of_completions(data):
    for choice in data.get("choices", ()):
        if choice["logprobs"]:
            (entry,) = choice["logprobs"]["content"]
            listed = {token["token"]: token["logprob"] for token in entry["top_logprobs"]}
            choice["logprobs"] = {
                "tokens": [entry["token"]],
                "token_logprobs": [listed.get(entry["token"])],
                "top_logprobs": [listed],
                "text_offset": [0],
            }
    return data


def without_the_field(data):
    for choice in data.get("choices", ()):
        del choice["logprobs"]
    return {**data, "system_fingerprint": "fp_ollama"}


FORMS = {
    "llama.cpp": with_tokens(
        llama_cpp, reply={"timings": {"prompt_n": 7}, "system_fingerprint": "b4501"}
    ),
    "llama-cpp-python": in_the_form_of_completions,
    "Ollama": with_tokens(
        lambda token: {"bytes": list(token["token"].encode()), **token},
        reply={"system_fingerprint": "fp_ollama"},
    ),
    "OpenAI": with_tokens(
        lambda token: {"bytes": list(token["token"].encode()), **token},
        choice={"content_filter_results": {}},
        reply={"prompt_filter_results": [], "service_tier": "default"},
    ),
}


@pytest.mark.parametrize("name", FORMS)
def test_listed_tokens_are_read_in_every_form(serve, name):
    _, plain = serve(can={LISTED}, favoured=range(6))
    server, annotator = serve(can={LISTED}, favoured=range(6), completions=False)
    server.fault_of_all = Fault(change=FORMS[name])
    prompt = prompt_of(chat=True)
    expected = plain.read(prompt, TEXTS)
    found = annotator.read(prompt, TEXTS)

    assert "20 most probable tokens" in annotator.capability
    np.testing.assert_array_equal(found.log_probabilities, expected.log_probabilities)
    np.testing.assert_array_equal(found.label, expected.label)
    assert found.error == expected.error


def test_a_server_that_drops_the_question_for_log_probabilities_is_sampled(serve):
    server, annotator = serve(can={SAMPLED}, favoured=range(6), repeats=5)
    server.fault_of_all = Fault(change=without_the_field)
    answers = annotator.read(prompt_of(chat=True), TEXTS[:4])

    assert annotator.capability.startswith("no log probabilities; labels are sampled 5 times")
    assert answers.repeats.shape == (4, 5)
