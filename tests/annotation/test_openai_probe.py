"""What one probe finds out: everything that a server lacks, in one message."""

import pytest

from project.support.errors import AssayError, WrongSettings
from tests.helpers.faulty_server import EXACT, LISTED, SAMPLED, Fault
from tests.helpers.serving import TEXTS, prompt_of


def with_fixed_temperature(server):
    """Let the server have one temperature, as some reasoning models do."""
    answer = server.answer
    message = "Unsupported value: 'temperature' does not support 0.6. Only 1 is supported."

    def changed(path, body):
        if body.get("temperature", 1) != 1:
            return 400, {"error": {"message": message}}
        return answer(path, body)

    server.answer = changed


def test_all_parameters_to_set_for_a_server_are_named_at_once(serve, vocabulary, tiny_llm):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={SAMPLED}, completions=False)
    with_fixed_temperature(server)

    with pytest.raises(WrongSettings, match="only chats.*no log probabilities.*Only 1") as caught:
        annotator.read(prompt_of((" books", " games")), TEXTS[:1])

    assert caught.value.parameters == {
        "chat_template": "true",
        "annotator_tokenizer": "none",
        "repeats": "9",
        "temperature": "1",
    }
    needed = "-P chat_template=true -P annotator_tokenizer=none -P repeats=9 -P temperature=1"
    assert f"Set {needed}." in str(caught.value)


def test_the_parameters_that_are_named_are_enough(serve):
    server, annotator = serve(can={SAMPLED}, completions=False, repeats=9, temperature=1.0)
    with_fixed_temperature(server)

    answers = annotator.read(prompt_of(("A", "B"), chat=True), TEXTS[:2])

    assert answers.repeats.shape == (2, 9)


def test_a_server_with_lists_of_tokens_only_needs_letters_and_a_chat(serve):
    _, annotator = serve(can={LISTED}, completions=False)

    with pytest.raises(WrongSettings) as caught:
        annotator.read(prompt_of((" books", " games")), TEXTS[:1])

    assert caught.value.parameters == {
        "chat_template": "true",
        "annotator_tokenizer": "none",
        "label_style": "letter",
    }


def test_a_server_that_takes_no_token_ids_is_examined_with_texts(serve, vocabulary, tiny_llm):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={SAMPLED})
    answer = server.answer
    server.answer = lambda path, body: (
        answer(path, body)
        if isinstance(body["prompt"], str)
        else (422, {"detail": "prompt must be a string"})
    )

    with pytest.raises(
        WrongSettings, match="token ids as a prompt .prompt must be a str"
    ) as caught:
        annotator.read(prompt_of(), TEXTS[:1])

    assert caught.value.parameters == {"annotator_tokenizer": "none", "repeats": "9"}


def test_a_server_without_chats_needs_plain_prompts(serve):
    _, annotator = serve(can={LISTED}, chat=False)

    with pytest.raises(WrongSettings) as caught:
        annotator.read(prompt_of(("A", "B"), chat=True), TEXTS[:1])

    assert caught.value.parameters == {"chat_template": "false"}


def test_a_passing_failure_does_not_make_the_probe_choose_a_poorer_mode(
    serve, vocabulary, tiny_llm
):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={EXACT})
    server.faults.extend([Fault(), Fault(change=lambda data: {"error": {"message": "busy"}})])

    annotator.read(prompt_of((" kettle", " garden")), TEXTS[:1])

    assert "exact" in annotator.capability


def content(parts, **more):
    """A change of the first message of every response."""
    return lambda data: {
        **data,
        "choices": [
            {**one, "logprobs": None, "message": {"content": parts, **more}}
            for one in data["choices"]
        ],
    }


def test_replies_in_parts_are_joined_and_their_reasoning_is_left_out(serve):
    server, annotator = serve(can={SAMPLED}, repeats=3)
    parts = [
        {"type": "thinking", "text": "A or B?"},
        {"type": "text", "text": "bo"},
        {"type": "text", "text": "oks"},
    ]
    server.fault_of_all = Fault(change=content(parts))

    answers = annotator.read(prompt_of(("games", "books"), chat=True), TEXTS[:2])

    assert answers.repeats.tolist() == [[1, 1, 1]] * 2


@pytest.mark.parametrize("more", [{"reasoning_content": "Let me see"}, {"reasoning": "Hm"}, {}])
def test_a_model_that_spends_all_tokens_on_reasoning_is_named(serve, more):
    server, annotator = serve(can={SAMPLED}, repeats=3)
    server.fault_of_all = Fault(change=content(None, **more))

    with pytest.raises(
        AssayError,
        match="Turn its reasoning off at the server, set reasoning=on",
    ):
        annotator.read(prompt_of(("games", "books"), chat=True), TEXTS[:2])
    assert len(server.posts) <= 8


def test_tokens_of_reasoning_are_not_read_as_labels(serve):
    # The letters are listed, but for the first token of the reasoning.
    server, annotator = serve(can={LISTED}, favoured=range(6))

    def thinking(data):
        for choice in data["choices"]:
            choice["message"] = {"content": "<think>"}
        return data

    server.fault_of_all = Fault(change=thinking)

    with pytest.raises(WrongSettings) as caught:
        annotator.read(prompt_of(("A", "B"), chat=True), TEXTS[:2])
    assert caught.value.parameters == {"repeats": "9"}
