"""The openai engine when the server fails, is busy, or requires a key: retries and errors."""

import datetime
import email.utils
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from project.annotation.annotate import Annotations, annotate
from project.annotation.answers import raw_answers
from project.annotation.cache import AnswerCache
from project.annotation.cost import Meter
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.annotation.items import question_items
from project.annotation.question import describe_sampling
from project.config.annotation import AnnotateConfig, ServerConfig, SpendConfig
from project.data.tables import SourceRun
from project.support.errors import AssayError, Incomplete
from tests.helpers.faulty_server import EXACT, LISTED, SAMPLED, Fault, no_logprobs, wrong_ids
from tests.helpers.serving import LETTERS, TEXTS, prompt_of, task_prompt

KEY = "sk-a/b+c=0123456789"


# faults


FAULTS = {
    "500": Fault(500, message="oops"),
    "503": Fault(503, message="busy"),
    "a cut connection": Fault(cut=True),
    "truncated JSON": Fault(truncate=True),
    "wrong label ids": Fault(change=wrong_ids),
    "missing log probabilities": Fault(change=no_logprobs),
    "too few choices": Fault(change=lambda data: {**data, "choices": data["choices"][1:]}),
    "an error with status 200": Fault(change=lambda data: {"error": {"message": "out of memory"}}),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_request_with_a_temporary_fault_is_repeated_with_the_same_answers(
    serve, vocabulary, tiny_llm, small_task, name
):
    server, annotator = serve(vocabulary, tokenizer=tiny_llm, can={EXACT})
    prompt = task_prompt(small_task, "name")
    expected = annotator.read(prompt, TEXTS).log_probabilities
    before = len(server.posts)
    server.faults.append(FAULTS[name])

    answers = annotator.read(prompt, TEXTS)

    assert answers.log_probabilities == pytest.approx(expected)
    assert len(server.posts) == before + 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (Fault(503, message="we are full"), r"answered /completions with HTTP 503: we are full"),
        (Fault(500, message="oops"), r"answered /completions with HTTP 500: oops"),
        (
            Fault(change=wrong_ids),
            "returned log probabilities of other tokens than the requested ones",
        ),
        (Fault(change=no_logprobs), "returned no log probabilities of tokens"),
        (Fault(truncate=True), r"returned no complete JSON \(\d+ bytes\)"),
        (Fault(cut=True), "could not be reached, or the connection broke"),
    ],
)
def test_a_lasting_fault_ends_the_work_and_is_named(
    serve, vocabulary, tiny_llm, small_task, fault, message
):
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={EXACT}, settings={"request_retries": 1}
    )
    prompt = task_prompt(small_task, "name")
    annotator.read(prompt, TEXTS[:1])
    server.fault_of_all = fault

    with pytest.raises(
        Incomplete,
        match=rf"{message}.* sent 2 times. Answers on disk are kept; run again to go on\.",
    ):
        annotator.read(prompt, TEXTS)


def test_an_error_cancels_the_requests_that_are_still_running(serve):
    server, annotator = serve(can={LISTED}, settings={"request_retries": 0})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.extend([Fault(), Fault(delay=3), Fault(delay=3), Fault(409)])

    began = time.monotonic()
    with pytest.raises(Incomplete, match="HTTP 409"):
        annotator.read(prompt_of(), TEXTS)
    assert time.monotonic() - began < 2


def test_a_request_without_a_response_in_time_is_repeated(serve):
    server, annotator = serve(can={LISTED}, settings={"request_timeout": 0.4})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.append(Fault(delay=1.5))
    before = len(server.posts)

    answers = annotator.read(prompt_of(), TEXTS[:2])

    assert len(answers.label) == 2
    assert len(server.posts) == before + 3


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_no_request_is_sent_before_the_time_in_retry_after(serve, kind):
    server, annotator = serve(can={LISTED}, settings={"max_concurrency": 1})
    annotator.read(prompt_of(), TEXTS[:1])
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    server.faults.append(
        Fault(
            429,
            {
                "Retry-After": "1"
                if kind == "seconds"
                else email.utils.format_datetime(until, usegmt=True)
            },
        )
    )
    before = len(server.posts)

    annotator.read(prompt_of(), TEXTS[:3])

    began = [request["time"] for request in server.requests if request["body"]][before:]
    assert len(began) == 4
    assert began[1] - began[0] >= (0.99 if kind == "seconds" else 0.5)


def test_a_server_that_asks_to_wait_an_hour_ends_the_work(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.append(Fault(429, {"Retry-After": "3600"}))

    with pytest.raises(Incomplete, match="asks to wait for 3600 s"):
        annotator.read(prompt_of(), TEXTS[:2])


def test_the_number_of_requests_adapts_to_the_capacity_of_the_server(serve):
    server, annotator = serve(can={LISTED}, capacity=6, settings={"max_concurrency": 64})
    texts = [f"text {number}" for number in range(150)]

    answers = annotator.read(prompt_of(), texts)

    assert len(answers.label) == len(texts)
    refused = len(server.posts) - len(texts)
    assert 0 < refused < 60
    assert annotator._client.pace.limit < 20


def test_no_more_requests_run_than_max_concurrency(serve):
    server, annotator = serve(can={LISTED}, settings={"max_concurrency": 3}, capacity=100)

    annotator.read(prompt_of(), TEXTS)

    assert 1 < server.max_running <= 3


def test_an_interrupt_cancels_all_requests_at_once(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    server.fault_of_all = Fault(delay=4)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            annotator.read(prompt_of(), TEXTS)
        time.sleep(0.2)
        assert annotator._client.pace.n_running == 0
        annotator.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 2


def test_a_program_that_ends_without_closing_the_client_prints_no_warning(serve):
    server, _ = serve(can={LISTED})
    program = (
        "import sys; from project.annotation.engines.openai.client import Client; "
        "from project.config.annotation import ServerConfig; "
        "client = Client(sys.argv[1], ServerConfig()); client.run(client.get('/models', print))"
    )

    ended = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, server.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert "model" in ended.stdout


# the key


def test_the_key_is_sent_and_appears_nowhere_else(serve, monkeypatch, capfd):
    monkeypatch.setenv("MY_KEY", KEY)
    server, annotator = serve(
        can={LISTED}, key=KEY, settings={"api_key_variable": "MY_KEY", "request_retries": 0}
    )
    annotator.read(prompt_of(), TEXTS[:1])
    assert {request["authorization"] for request in server.requests} == {f"Bearer {KEY}"}

    shown = []
    for status in (400, 401, 403, 404, 418, 429, 500, 503):
        server.fault_of_all = Fault(status, message=f"bad key {KEY} or {json.dumps(KEY)}")
        with pytest.raises(AssayError) as caught:
            annotator.read(prompt_of(), TEXTS[:1])
        shown.append(f"{caught.value!r} {caught.value.__cause__!r}")
    server.fault_of_all = Fault(change=lambda data: {"error": {"message": "x" * 290 + KEY}})
    with pytest.raises(Incomplete) as caught:
        annotator.read(prompt_of(), TEXTS[:1])
    shown += [
        str(caught.value),
        repr(vars(annotator)),
        str(annotator.identity),
        " ".join(annotator.notes),
        *capfd.readouterr(),
    ]

    assert not [text for text in shown if KEY in text or KEY[:8] in text]
    assert "***" in shown[0]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("wrong", "refuses the request or the key in the environment variable MY_KEY"),
        ("", "requires a key .* MY_KEY"),
    ],
)
def test_the_error_for_a_wrong_or_missing_key_names_its_variable(serve, monkeypatch, key, message):
    monkeypatch.setenv("MY_KEY", key)
    _, annotator = serve(can={LISTED}, key=KEY, settings={"api_key_variable": "MY_KEY"})

    with pytest.raises(AssayError, match=message) as caught:
        annotator.read(prompt_of(), TEXTS[:1])
    assert KEY not in str(caught.value)


def test_a_key_with_a_line_break_is_refused_without_being_shown(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\nsk-2")
    _, annotator = serve(can={LISTED})

    with pytest.raises(
        AssayError, match="environment variable OPENAI_API_KEY must have printable ASCII"
    ) as caught:
        annotator.read(prompt_of(), TEXTS[:1])
    assert "sk-" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://me:secret@host/v1",
        "https://secret@host/v1",
        "https://host/v1?key=secret",
        "https://host/v1#secret",
    ],
)
def test_addresses_that_could_hold_a_key_are_refused_without_being_shown(url):
    with pytest.raises(
        AssayError, match="annotator_url must hold no user name, password, query or fragment"
    ) as caught:
        OpenAIAnnotator(
            AnnotateConfig(annotator_model="m"),
            ServerConfig(annotator_url=url, annotator_tokenizer="none"),
        )
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["host:8000/v1", "ftp://host/v1", "http://", "", "http://host:99999/v1"]
)
def test_invalid_addresses_are_refused(url):
    with pytest.raises(
        AssayError, match="annotator_url must be the address of a server, such as http"
    ):
        ServerConfig(annotator_url=url)


def test_a_key_that_would_travel_unencrypted_is_noted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    annotator = OpenAIAnnotator(
        AnnotateConfig(annotator_model="m"),
        ServerConfig(annotator_url="http://10.255.255.1/v1", annotator_tokenizer="none"),
    )
    assert annotator._client.key_is_exposed
    annotator.close()
    assert "unencrypted" in annotator.notes[0]


# errors that a person must resolve


def test_the_error_for_an_unknown_model_lists_the_models_of_the_server(serve):
    _, annotator = serve(can={LISTED}, model="gpt-5", models=("llama", "qwen"))

    with pytest.raises(
        AssayError,
        match="annotator_model: the server at http.* has no model 'gpt-5'; it has llama, qwen",
    ):
        annotator.read(prompt_of(), TEXTS[:1])


@pytest.mark.parametrize("by_tokens", [True, False])
def test_the_error_for_a_chat_only_server_names_the_parameters_to_set(
    serve, vocabulary, tiny_llm, by_tokens
):
    _, annotator = serve(
        vocabulary, tokenizer=tiny_llm if by_tokens else "none", can={LISTED}, completions=False
    )

    with pytest.raises(
        AssayError,
        match="only chats. Set -P chat_template=true -P annotator_tokenizer=none",
    ):
        annotator.read(prompt_of(), TEXTS[:1])


def test_a_redirect_is_not_followed(serve):
    server, annotator = serve(can={LISTED})
    server.fault_of_all = Fault(307, {"Location": "http://elsewhere/v1/completions"})

    with pytest.raises(
        AssayError,
        match=r"redirects /completions to another address \(HTTP 307\). Set annotator_url",
    ):
        annotator.read(prompt_of(), TEXTS[:1])


def test_nothing_is_sent_before_the_first_read_and_a_missing_server_is_an_error(
    serve, vocabulary, tiny_llm, small_task
):
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={EXACT}, settings={"request_retries": 1}
    )
    assert dict(annotator.identity)["engine"] == "openai"
    assert server.requests == []
    server.__exit__()
    prompt = task_prompt(small_task, "name")

    assert annotator.size(prompt, TEXTS).exact
    with pytest.raises(
        Incomplete,
        match=r"could not be reached, or the connection broke \(Connection refused; "
        r"is it running, and is annotator_url right\?\)",
    ):
        annotator.read(prompt, TEXTS[:1])


def test_the_tokenizer_of_another_model_is_an_error(serve, vocabulary, tiny_llm, small_task):
    _, annotator = serve(vocabulary[::-1], tokenizer=tiny_llm, can={EXACT})

    with pytest.raises(
        AssayError, match="annotator_tokenizer is not that of the server's model: token"
    ):
        annotator.read(task_prompt(small_task, "name"), TEXTS[:1])


def test_a_named_tokenizer_must_exist_and_a_guessed_one_need_not():
    config = AnnotateConfig(annotator_model="some-hosted-model")
    with pytest.raises(
        AssayError,
        match="annotator_tokenizer ./no/such could not be loaded: "
        "must be bundled, an existing folder or a hub id",
    ):
        OpenAIAnnotator(config, ServerConfig(annotator_tokenizer="./no/such"))

    assert OpenAIAnnotator(config, ServerConfig()).identity["tokenizer"] == "none"


# answers that were paid for


@pytest.mark.parametrize(("can", "paid_again"), [(SAMPLED, 24), (EXACT, 0)])
def test_another_number_of_samples_is_paid_for_again_and_distributions_are_not(
    serve, vocabulary, tiny_llm, small_task, tmp_path, can, paid_again
):
    texts = small_task.split("train").head(24)
    letters = [" A", " B", " C", " D"]
    if can == EXACT:
        options = {"tokenizer": tiny_llm, "vocabulary": vocabulary}
    else:
        options = {"favoured": [LETTERS.index(letter) for letter in letters]}
    runs: list[Annotations] = []
    for repeats in (3, 5, 3):
        _, annotator = serve(can={can}, repeats=repeats, **options)
        config = AnnotateConfig(calibration="none", repeats=repeats, min_label_mass=0.0)
        stored = [
            (SourceRun("run", "ann"), raw_answers(run.table, small_task.label_set)) for run in runs
        ]
        runs += annotate(
            [annotator],
            [prompt_of(letters)],
            texts,
            small_task.label_set,
            config=config,
            folder=tmp_path,
            progress=lambda n: None,
            meter=Meter(SpendConfig()),
            fetch=functools.partial(lambda answers, question: answers, stored),
        )

    assert [run.n_asked for run in runs] == [24, paid_again, 0]
    assert [len(run.table["repeats"][0]) for run in runs] == [3, 5, 3]
    assert runs[2].table.equals(runs[0].table)
    # Five samples of a finished run are not three.
    items = question_items(texts, annotator, config)
    five = raw_answers(runs[1].table, small_task.label_set)
    known, _, _ = AnswerCache(tmp_path / "elsewhere", describe_sampling(config)).known(
        items, lambda question: [(SourceRun("run", "ann"), five)]
    )
    assert known.sum() == 24 - paid_again


@pytest.mark.parametrize("can", [LISTED, SAMPLED])
def test_answers_from_before_a_failure_are_kept_and_not_paid_for_again(
    serve, small_task, tmp_path, can
):
    repeats = 2 if can == SAMPLED else 0
    server, annotator = serve(
        can={can},
        repeats=repeats,
        favoured=[LETTERS.index(f" {letter}") for letter in "ABCD"],
        settings={"request_retries": 0, "max_concurrency": 1},
    )
    prompt = prompt_of([f" {letter}" for letter in "ABCD"])
    texts = small_task.split("train").head(24)
    annotator.read(prompt, ["a text to find out what the server can do"])

    def annotate_all():
        config = AnnotateConfig(calibration="none", repeats=repeats)
        meter = Meter(SpendConfig())
        (done,) = annotate(
            [annotator],
            [prompt],
            texts,
            small_task.label_set,
            config=config,
            folder=tmp_path,
            progress=lambda n: None,
            meter=meter,
        )
        return done

    server.faults.extend([Fault()] * 10 + [Fault(409)])
    with pytest.raises(Incomplete, match="HTTP 409"):
        annotate_all()
    before = len(server.posts)

    done = annotate_all()

    assert done.n_reused == 10
    assert len(server.posts) - before == 14


def test_a_failed_request_keeps_the_answers_of_the_others(serve, vocabulary, tiny_llm, small_task):
    server, annotator = serve(
        vocabulary,
        tokenizer=tiny_llm,
        can={EXACT},
        settings={"request_retries": 0, "max_concurrency": 1},
    )
    prompt = task_prompt(small_task, "name")
    annotator.read(prompt, TEXTS[:1])
    server.faults.extend([Fault(), Fault(409)])

    with pytest.raises(Incomplete, match="HTTP 409") as caught:
        annotator.read(prompt, TEXTS)

    rows, answers = caught.value.partial
    assert rows == list(range(16))  # of a request of 16 and one of 8
    assert answers.log_probabilities == pytest.approx(
        annotator.read(prompt, TEXTS).log_probabilities[:16]
    )
