"""Models that think before they answer: ``reasoning=on``."""

import numpy as np
import pytest

from project.annotation.engines.base import Answers
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.config.annotation import AnnotateConfig, ServerConfig
from project.support.errors import AssayError, WrongSettings
from tests.helpers.faulty_server import SAMPLED, Fault
from tests.helpers.serving import TEXTS, prompt_of

LABELS = ("games", "books")
NEEDED = 100
"""Tokens that the model of the tests spends on one reply."""


def thinking(server, *, within_text=False, counts=True):
    """A change of every response: thoughts, and an answer if there are tokens for both."""

    def change(data):
        asked = server.posts[-1]
        limit = asked.get("max_tokens") or asked["max_completion_tokens"]
        for number, choice in enumerate(data["choices"]):
            answer = LABELS[number % 2] if limit >= NEEDED else ""
            thoughts = "games? no, books"
            content = f"<think>{thoughts}</think>{answer}" if within_text else answer
            message = {"content": content if answer else None}
            if not within_text:
                message["reasoning_content"] = thoughts
            choice |= {"logprobs": None, "message": message}
            choice["finish_reason"] = "stop" if answer else "length"
        n = len(data["choices"])
        data["usage"] = {"prompt_tokens": 50, "completion_tokens": n * min(limit, NEEDED)}
        if not counts:
            del data["usage"]
        return data

    return Fault(change=change)


@pytest.fixture
def thinker(serve):
    def open_both(**options):
        server_has = {"within_text", "counts"}
        of_server = {name: value for name, value in options.items() if name in server_has}
        others = {name: value for name, value in options.items() if name not in server_has}
        server, annotator = serve(can={SAMPLED}, **{"reasoning": "on", "repeats": 3, **others})
        server.fault_of_all = thinking(server, **of_server)
        return server, annotator

    return open_both


@pytest.mark.parametrize("within_text", [False, True])
def test_the_label_is_read_from_the_answer_and_repeats_give_the_distribution(thinker, within_text):
    server, annotator = thinker(within_text=within_text)

    answers = annotator.read(prompt_of(LABELS, chat=True), TEXTS[:4])

    assert answers.repeats.tolist() == [[0, 1, 0]] * 4
    assert answers.label.tolist() == [0] * 4
    read = server.posts[-1]
    assert read["max_tokens"] == 4096
    assert read["chat_template_kwargs"] == {"enable_thinking": True}
    assert "messages" in read


def test_generated_tokens_are_counted_with_the_thoughts(thinker):
    _, annotator = thinker()

    answers = annotator.read(prompt_of(LABELS, chat=True), TEXTS[:2])

    assert np.asarray(answers.generated).tolist() == [3 * NEEDED] * 2
    assert Answers.joined([answers, answers]).generated.tolist() == [3 * NEEDED] * 4
    assert answers.take([1]).generated.tolist() == [3 * NEEDED]


def test_a_server_that_counts_nothing_is_taken_to_use_all_tokens(thinker):
    _, annotator = thinker(counts=False, max_reasoning_tokens=200)

    answers = annotator.read(prompt_of(LABELS, chat=True), TEXTS[:2])

    assert np.asarray(answers.generated).tolist() == [3 * 200] * 2
    assert annotator.size(prompt_of(LABELS, chat=True), TEXTS[:2]).generated == 3 * 200


def test_thoughts_that_take_all_tokens_lead_to_a_larger_limit(thinker):
    _, annotator = thinker(max_reasoning_tokens=NEEDED - 1)

    with pytest.raises(AssayError, match=r"spent on reasoning\. Raise max_reasoning_tokens\."):
        annotator.read(prompt_of(LABELS, chat=True), TEXTS[:2])


def test_all_that_reasoning_needs_is_said_at_once(thinker):
    _, annotator = thinker(repeats=0)

    with pytest.raises(WrongSettings) as caught:
        annotator.read(prompt_of(LABELS), TEXTS[:2])

    assert caught.value.parameters == {
        "chat_template": "true",
        "annotator_tokenizer": "none",
        "repeats": "3",
    }


def test_answers_with_thoughts_are_other_answers(thinker, serve):
    def identity(**changes):
        config = AnnotateConfig(annotator="openai", annotator_model="m", **changes)
        return dict(OpenAIAnnotator(config, ServerConfig(annotator_tokenizer="none")).identity)

    plain = identity()

    assert "reasoning" not in plain
    assert identity(reasoning="on") == {**plain, "reasoning": "4096"}
    assert identity(max_reasoning_tokens=64) == plain


@pytest.mark.parametrize("annotator", ["transformers", "vllm", "recorded"])
def test_reasoning_without_a_server_is_refused(annotator):
    with pytest.raises(AssayError, match=r"reasoning=on needs annotator=openai.*got annotator="):
        AnnotateConfig(annotator=annotator, reasoning="on")
