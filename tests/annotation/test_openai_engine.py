"""The openai engine: one probe for all threads, many prompts in a request, identity."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from entrypoints.wiring.arm_checks import announce_needs
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.config.annotation import AnnotateConfig, ServerConfig
from project.config.arms import Arm
from project.support.errors import AssayError, Incomplete
from tests.helpers.faulty_server import EXACT, LISTED, SAMPLED, Fault
from tests.helpers.serving import TEXTS, prompt_of, task_prompt


def test_many_prompts_are_sent_in_one_request_and_the_server_is_probed_once(
    serve, vocabulary, tiny_llm, small_task
):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={EXACT})
    prompt = task_prompt(small_task, "name")
    annotator.read(prompt, TEXTS[:1])
    before = len(server.requests)

    answers = annotator.read(prompt, TEXTS)

    bodies = server.posts[before - 1 :]  # one of the requests was for the list of models
    assert sorted(len(body["prompt"]) for body in bodies) == [8, 16]
    assert {len(ids) for body in bodies for ids in body["prompt"]} == set(
        answers.prompt_tokens.tolist()
    )
    assert annotator.size(prompt, TEXTS).total.tolist() == answers.prompt_tokens.tolist()


def test_threads_that_start_at_the_same_time_probe_the_server_once(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), ["alone"])
    alone = len(server.requests)
    fresh, shared = serve(can={LISTED})

    with ThreadPoolExecutor(16) as threads:
        list(threads.map(lambda number: shared.read(prompt_of(), [f"text {number}"]), range(16)))

    assert len(fresh.requests) == alone + 15
    shared.close()


def test_a_failed_probe_fails_all_waiting_threads_and_is_repeated_by_later_ones(
    serve,
):
    server, annotator = serve(can={LISTED}, settings={"request_retries": 0})
    server.fault_of_all = Fault(500, delay=0.2)

    def failure(number):
        try:
            annotator.read(prompt_of(), [f"text {number}"])
        except Incomplete as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        failures = list(threads.map(failure, range(8)))

    assert all(failures)
    assert len(server.posts) == 1  # a plain request, which every server should answer
    server.fault_of_all = None
    assert failure(9) is None


def test_a_server_that_cannot_give_what_an_arm_reads_is_refused_before_a_text_is_sent(serve):
    server, annotator = serve(can={SAMPLED}, repeats=20)
    arms = [Arm("llm"), Arm("entropy", 5.0)]
    announce_needs(arms, [annotator])

    with pytest.raises(
        AssayError,
        match=r"the server gives no log probabilities; labels are sampled. But the arm entropy_5 "
        r"needs class probabilities. Use vote_entropy, which needs two draws or more, or leave",
    ):
        annotator.read(prompt_of(), TEXTS[:6])

    assert not any(text in json.dumps(body) for body in server.posts for text in TEXTS)
    announce_needs([Arm("llm"), Arm("vote_entropy", 5.0, 2)], [annotator])
    assert annotator.read(prompt_of(), TEXTS[:2]).repeats is not None


def test_identity_holds_the_model_and_its_settings_but_not_its_address(tiny_llm):
    def identity(url="http://127.0.0.1:1/v1", model=str(tiny_llm), **more):
        return dict(
            OpenAIAnnotator(
                AnnotateConfig(annotator_model=model, **more), ServerConfig(annotator_url=url)
            ).identity
        )

    assert identity() == identity(url="http://127.0.0.1:2/v1/")
    assert "127.0.0.1" not in str(identity())
    assert (
        len(
            {
                str(identity(**changes))
                for changes in ({}, {"model": "other"}, {"max_model_len": 64})
            }
        )
        == 3
    )
    assert identity(repeats=3, temperature=1.0) == identity()  # they matter for samples only
    assert identity()["tokenizer"].startswith("folder ")
