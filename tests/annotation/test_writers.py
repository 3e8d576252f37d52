"""Engines that write: the transformers engine, and servers with the OpenAI protocol."""

import os
import signal
import threading

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from project.annotation.engines.factory import open_writer
from project.annotation.engines.openai.writer import OpenAIWriter
from project.annotation.engines.transformers.writer import (
    GumbelNoise,
    TransformersWriter,
    batches,
)
from project.annotation.writing.base import WriteRequest, without_thoughts
from project.config.annotation import AnnotateConfig, ServerConfig
from project.config.experiment import experiment_config
from project.support.errors import AssayError
from tests.helpers.faulty_server import Fault, FaultyServer
from tests.helpers.serving import LETTERS


def request(prompt="Say something.", max_tokens=6, temperature=1.0, seed=0):
    return WriteRequest(prompt, max_tokens, temperature, seed)


def written(writer, requests):
    """The replies by position; each must arrive once."""
    found = {}

    def arrived(position, reply):
        assert position not in found
        found[position] = reply

    writer.write(requests, arrived)
    return [found[position] for position in range(len(requests))]


@pytest.fixture(scope="module")
def local(tiny_llm):
    """The tiny model as a writer."""
    writer = TransformersWriter(
        AnnotateConfig(annotator_model=str(tiny_llm), annotator_dtype="float32")
    )
    yield writer
    writer.close()


def test_a_reply_depends_on_its_seed_and_not_on_the_batch(local):
    prompts = ["Say something.", "the a of and to", "Write about letters and texts of all kinds."]
    alone = [written(local, [request(prompt)])[0] for prompt in prompts]
    together = written(local, [request(prompt) for prompt in prompts])

    assert [reply.text for reply in together] == [reply.text for reply in alone]
    assert written(local, [request(seed=1)])[0].text != alone[0].text


def test_the_largest_logit_with_its_noise_is_a_sample_at_the_temperature():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.15, 0.05], dtype=torch.float64))
    noise = GumbelNoise([request(seed=seed, temperature=2.0) for seed in range(4000)], "cpu")
    drawn = noise(None, logits.repeat(4000, 1)).argmax(dim=1).numpy()
    expected = 4000 * torch.softmax(logits / 2.0, 0).numpy()

    assert chisquare(np.bincount(drawn, minlength=4), expected).pvalue > 0.001


def test_a_prompt_that_leaves_no_room_for_the_reply_is_refused(local):
    with pytest.raises(AssayError, match=r"can read 1024 in all\. Shorten the texts"):
        local.write([request("the " * 1100)], lambda position, reply: None)


def test_the_tokens_that_were_read_and_written_are_counted(local):
    (reply,) = written(local, [request(max_tokens=6)])

    assert reply.prompt_tokens == len(local._annotator.tokens.written("Say something.", 6))
    assert reply.generated_tokens <= 6
    assert reply.is_whole or reply.generated_tokens == 6


def test_batches_hold_like_lengths_within_the_limit():
    requests = [request(max_tokens=10)] * 5 + [request(max_tokens=20)]
    found = batches([30, 5, 6, 31, 200, 5], requests, 100)

    assert sorted(index for batch in found for index in batch) == list(range(6))
    assert found[0] == [1, 2]
    assert [4] in found
    assert [5] in found


@pytest.fixture
def served():
    """A function that starts a server that writes, and a writer for it."""
    opened = []

    def open_both(writes=lambda text: f"about {text}", reasoning="off", at_once=64, **limits):
        server = FaultyServer(LETTERS, can={"top_logprobs"}, **limits)
        server.writes = writes
        server.__enter__()
        config = AnnotateConfig(annotator="openai", annotator_model="model", reasoning=reasoning)
        settings = ServerConfig(
            annotator_url=server.url,
            request_timeout=5,
            request_retries=2,
            max_concurrency=at_once,
        )
        opened.append((server, OpenAIWriter(config, settings)))
        return opened[-1]

    yield open_both
    for server, writer in opened:
        writer.close()
        server.__exit__()


def test_a_server_writes_each_reply_and_gets_seed_and_temperature(served):
    server, writer = served()
    found = written(writer, [request(f"text {number}", seed=7) for number in range(20)])

    assert [reply.text for reply in found] == [f"about text {number}" for number in range(20)]
    body = next(body for body in server.posts if body["messages"][0]["content"] == "text 3")
    assert (body["seed"], body["temperature"], body["max_tokens"]) == (7, 1.0, 6)


def test_fields_that_a_server_refuses_are_left_out(served):
    server, writer = served(strict=True)
    (reply,) = written(writer, [request("text")])

    assert reply.text == "about text"
    assert "seed" not in server.posts[-1]
    assert "chat_template_kwargs" not in server.posts[-1]


def test_thoughts_are_no_part_of_the_reply(served):
    _, writer = served(writes=lambda text: f"<think>hmm\nhm</think>\nabout {text}")

    assert written(writer, [request("text")])[0].text == "about text"


def test_a_refused_request_among_several_has_an_empty_reply_and_a_note(served):
    server, writer = served()
    written(writer, [request("first")])
    server.faults.append(Fault())
    server.faults.append(Fault(400, message="content filter"))
    found = written(writer, [request("a"), request("b"), request("c")])

    assert sorted(reply.text for reply in found)[0] == ""
    assert "1 of 3 requests were refused" in writer.notes[0]


def test_a_single_refused_request_is_an_error(served):
    server, writer = served()
    written(writer, [request("first")])
    server.faults.append(Fault(400, message="content filter"))

    with pytest.raises(AssayError, match="content filter"):
        written(writer, [request("a")])


def test_replies_under_way_at_an_interrupt_are_kept_and_nothing_more_is_sent(served):
    server, writer = served(at_once=4)
    written(writer, [request("first")])
    server.fault_of_all = Fault(delay=0.4)
    n_before = len(server.posts)
    found = []
    requests = [request(f"text {number}") for number in range(60)]
    timer = threading.Timer(0.9, os.kill, (os.getpid(), signal.SIGINT))
    # A shell that starts the tests in the background makes them ignore the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            writer.write(requests, lambda position, reply: found.append(reply.text))
    finally:
        timer.join()
        signal.signal(signal.SIGINT, before)

    assert 0 < len(found) < 60
    assert len(found) == len(server.posts) - n_before


def test_an_unknown_model_is_named_with_those_that_there_are(served):
    _, writer = served(models=("other",))

    with pytest.raises(AssayError, match="has no model 'model'; it has other"):
        written(writer, [request("a")])


def test_an_engine_that_cannot_write_is_refused_by_name():
    config = experiment_config({"annotator": "recorded"})

    with pytest.raises(AssayError, match=r"transformers, vllm, openai; got recorded"):
        open_writer(config)


def test_thoughts_before_a_reply_are_left_out_whatever_the_engine():
    assert without_thoughts("<think>A list: one.\nTwo: b</think>\n\nBilling") == "Billing"
    assert without_thoughts("Billing <think>x</think>") == "Billing <think>x</think>"
