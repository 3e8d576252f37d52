"""The openai engine when the server fails, is busy, or wants a key: what is asked again, what is kept, what is said. No network."""

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

from project.annotation.annotate import Annotations, annotate, raw_answers
from project.annotation.cache import AnswerFolder, question_items
from project.annotation.cost import Meter
from project.annotation.engines.openai.engine import OpenAIAnnotator
from project.config.experiment import AnnotateConfig, ServerConfig, SpendConfig
from project.data.tables import SourceRun
from project.support.errors import AssayError, Incomplete
from tests.helpers.faulty_server import EXACT, LISTED, SAMPLED, Fault, no_logprobs, wrong_ids
from tests.helpers.serving import LETTERS, TEXTS, prompt_of, task_prompt

KEY = "sk-a/b+c=0123456789"


# faults


FAULTS = {
    "500": Fault(500, says="oops"),
    "503": Fault(503, says="busy"),
    "a cut connection": Fault(cut=True),
    "truncated JSON": Fault(truncate=True),
    "wrong label ids": Fault(spoil=wrong_ids),
    "missing log probabilities": Fault(spoil=no_logprobs),
    "too few choices": Fault(spoil=lambda data: {**data, "choices": data["choices"][1:]}),
    "an error in an answer that is none": Fault(
        spoil=lambda data: {"error": {"message": "out of memory"}}
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_passing_fault_is_asked_again_and_leaves_no_trace(
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
    ("fault", "says"),
    [
        (Fault(503, says="we are full"), r"answered /completions with HTTP 503: we are full"),
        (Fault(500, says="oops"), r"answered /completions with HTTP 500: oops"),
        (Fault(spoil=wrong_ids), "gave log probabilities of other tokens than those asked for"),
        (Fault(spoil=no_logprobs), "gave no log probabilities of tokens"),
        (Fault(truncate=True), r"gave JSON that breaks off or is none \(\d+ bytes\)"),
        (Fault(cut=True), "could not be reached, or broke off"),
    ],
)
def test_a_lasting_fault_ends_the_work_and_says_what_is_wrong(
    serve, vocabulary, tiny_llm, small_task, fault, says
):
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={EXACT}, server={"request_retries": 1}
    )
    prompt = task_prompt(small_task, "name")
    annotator.read(prompt, TEXTS[:1])
    server.always = fault

    with pytest.raises(
        Incomplete, match=rf"{says}.* asked 2 times. Answers on disk are kept; run again to go on\."
    ):
        annotator.read(prompt, TEXTS)


def test_an_error_ends_the_requests_that_are_still_under_way(serve):
    server, annotator = serve(can={LISTED}, server={"request_retries": 0})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.extend([Fault(delay=3), Fault(delay=3), Fault(500)])

    began = time.monotonic()
    with pytest.raises(Incomplete, match="HTTP 500"):
        annotator.read(prompt_of(), TEXTS)
    assert time.monotonic() - began < 2


def test_an_answer_that_does_not_come_in_time_is_asked_for_again(serve):
    server, annotator = serve(can={LISTED}, server={"request_timeout": 0.4})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.append(Fault(delay=1.5))
    before = len(server.posts)

    answers = annotator.read(prompt_of(), TEXTS[:2])

    assert len(answers.label) == 2
    assert len(server.posts) == before + 3


@pytest.mark.parametrize("kind", ["seconds", "date"])
def test_no_request_is_sent_before_the_time_that_a_busy_server_asks_for(serve, kind):
    server, annotator = serve(can={LISTED}, server={"max_concurrency": 1})
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

    began = [request["began"] for request in server.requests if request["body"]][before:]
    assert len(began) == 4
    assert began[1] - began[0] >= (0.99 if kind == "seconds" else 0.5)


def test_a_server_that_asks_for_an_hours_patience_is_left_alone(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.append(Fault(429, {"Retry-After": "3600"}))

    with pytest.raises(Incomplete, match="asks to wait for 3600 s"):
        annotator.read(prompt_of(), TEXTS[:2])


def test_a_server_that_takes_few_requests_at_once_is_asked_no_faster_than_it_can(serve):
    server, annotator = serve(can={LISTED}, capacity=6, server={"max_concurrency": 64})
    texts = [f"text {number}" for number in range(150)]

    answers = annotator.read(prompt_of(), texts)

    assert len(answers.label) == len(texts)
    refused = len(server.posts) - len(texts)
    assert 0 < refused < 60
    assert annotator._client.pace.limit < 20


def test_no_more_requests_are_under_way_than_are_allowed(serve):
    server, annotator = serve(can={LISTED}, server={"max_concurrency": 3}, capacity=100)

    annotator.read(prompt_of(), TEXTS)

    assert 1 < server.most_running <= 3


def test_an_interrupt_ends_the_work_at_once(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    server.always = Fault(delay=4)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            annotator.read(prompt_of(), TEXTS)
        time.sleep(0.2)
        assert annotator._client.pace._running == 0
        annotator.close()
    finally:
        signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 2


def test_a_program_that_ends_without_closing_leaves_no_complaint(serve):
    server, _ = serve(can={LISTED})
    program = (
        "import sys; from project.annotation.engines.openai.client import Client; from project.config.experiment import ServerConfig; "
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


def test_the_key_is_sent_and_shows_nowhere(serve, monkeypatch, capfd):
    monkeypatch.setenv("MY_KEY", KEY)
    server, annotator = serve(
        can={LISTED}, key=KEY, server={"api_key_variable": "MY_KEY", "request_retries": 0}
    )
    annotator.read(prompt_of(), TEXTS[:1])
    assert {request["authorization"] for request in server.requests} == {f"Bearer {KEY}"}

    shown = []
    for status in (400, 401, 403, 404, 418, 429, 500, 503):
        server.faults.append(Fault(status, says=f"bad key {KEY} or {json.dumps(KEY)}"))
        with pytest.raises(AssayError) as caught:
            annotator.read(prompt_of(), TEXTS[:1])
        shown.append(f"{caught.value!r} {caught.value.__cause__!r}")
    server.faults.append(Fault(spoil=lambda data: {"error": {"message": "x" * 290 + KEY}}))
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
    ("given", "says"),
    [
        ("wrong", "does not take the key in the environment variable MY_KEY"),
        ("", "wants a key .* MY_KEY"),
    ],
)
def test_a_key_that_is_wrong_or_missing_is_named_by_its_variable(serve, monkeypatch, given, says):
    monkeypatch.setenv("MY_KEY", given)
    _, annotator = serve(can={LISTED}, key=KEY, server={"api_key_variable": "MY_KEY"})

    with pytest.raises(AssayError, match=says) as caught:
        annotator.read(prompt_of(), TEXTS[:1])
    assert KEY not in str(caught.value)


def test_a_key_with_a_line_break_inside_is_refused_without_showing_it(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1\nsk-2")
    _, annotator = serve(can={LISTED})

    with pytest.raises(
        AssayError, match="environment variable OPENAI_API_KEY holds characters that no key has"
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
def test_addresses_that_could_hold_a_key_are_refused_without_repeating_them(url):
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
def test_addresses_that_are_none_are_refused(url):
    with pytest.raises(AssayError, match="annotator_url must be a server's address such as http"):
        ServerConfig(annotator_url=url)


def test_a_key_that_would_travel_unencrypted_is_mentioned(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    annotator = OpenAIAnnotator(
        AnnotateConfig(annotator_model="m"),
        ServerConfig(annotator_url="http://10.255.255.1/v1", annotator_tokenizer="none"),
    )
    assert annotator._client.exposed
    annotator.close()
    assert "unencrypted" in annotator.notes[0]


# what a person must settle


def test_a_model_that_the_server_does_not_have_is_refused_with_those_it_has(serve):
    _, annotator = serve(can={LISTED}, model="gpt-5", models=("llama", "qwen"))

    with pytest.raises(
        AssayError,
        match="annotator_model: the server at http.* has no model 'gpt-5'; it has llama, qwen",
    ):
        annotator.read(prompt_of(), TEXTS[:1])


@pytest.mark.parametrize("by_tokens", [True, False])
def test_a_server_that_knows_only_chats_is_named_with_the_way_out(
    serve, vocabulary, tiny_llm, by_tokens
):
    _, annotator = serve(
        vocabulary, tokenizer=tiny_llm if by_tokens else "none", can={LISTED}, completions=False
    )

    with pytest.raises(
        AssayError,
        match="has no /completions, only chats. Use -P chat_template=true -P annotator_tokenizer=none",
    ):
        annotator.read(prompt_of(), TEXTS[:1])


def test_a_request_that_the_server_refuses_is_shown_in_its_own_words(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    before = len(server.posts)
    server.faults.append(Fault(400, says="maximum context length is 8192 tokens"))

    with pytest.raises(
        AssayError, match="HTTP 400.*: maximum context length is 8192 tokens.*-P max_model_len="
    ) as caught:
        annotator.read(prompt_of(), TEXTS[:1])
    assert not isinstance(caught.value, Incomplete)
    assert len(server.posts) == before + 1


def test_a_redirect_is_not_followed(serve):
    server, annotator = serve(can={LISTED})
    server.always = Fault(307, {"Location": "http://elsewhere/v1/completions"})

    with pytest.raises(
        AssayError, match=r"sends /completions elsewhere \(HTTP 307\). Give its final address"
    ):
        annotator.read(prompt_of(), TEXTS[:1])


def test_nothing_is_sent_before_the_first_read_and_a_server_that_is_not_there_is_named(
    serve, vocabulary, tiny_llm, small_task
):
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={EXACT}, server={"request_retries": 1}
    )
    assert dict(annotator.identity)["engine"] == "openai"
    assert server.requests == []
    server.__exit__()
    prompt = task_prompt(small_task, "name")

    assert annotator.size(prompt, TEXTS).exact
    with pytest.raises(
        Incomplete,
        match=r"could not be reached, or broke off \(Connection refused; is it running, and is annotator_url right\?\)",
    ):
        annotator.read(prompt, TEXTS[:1])


def test_the_tokenizer_of_another_model_is_found_out(serve, vocabulary, tiny_llm, small_task):
    _, annotator = serve(vocabulary[::-1], tokenizer=tiny_llm, can={EXACT})

    with pytest.raises(
        AssayError, match="annotator_tokenizer is not that of the server's model: token"
    ):
        annotator.read(task_prompt(small_task, "name"), TEXTS[:1])


def test_a_tokenizer_that_is_asked_for_and_not_there_is_refused_and_a_guessed_one_is_not():
    config = AnnotateConfig(annotator_model="some-hosted-model")
    with pytest.raises(
        AssayError,
        match="annotator_tokenizer ./no/such could not be loaded: must be bundled, an existing folder or a hub id",
    ):
        OpenAIAnnotator(config, ServerConfig(annotator_tokenizer="./no/such"))

    assert OpenAIAnnotator(config, ServerConfig()).identity["tokenizer"] == "none"


# what was paid for


@pytest.mark.parametrize(("can", "paid_again"), [(SAMPLED, 24), (EXACT, 0)])
def test_samples_are_paid_for_anew_where_others_are_wanted_and_distributions_are_not(
    serve, vocabulary, tiny_llm, small_task, tmp_path, can, paid_again
):
    texts, letters = small_task.split("train").head(24), [" A", " B", " C", " D"]
    what = (
        {"tokenizer": tiny_llm, "vocabulary": vocabulary}
        if can == EXACT
        else {"favoured": [LETTERS.index(one) for one in letters]}
    )
    made: list[Annotations] = []
    for repeats in (3, 5, 3):
        _, annotator = serve(can={can}, repeats=repeats, **what)
        config, meter = AnnotateConfig(calibration="none", repeats=repeats), Meter(SpendConfig())
        store = [
            (SourceRun("run", "ann"), raw_answers(done.table, small_task.label_set))
            for done in made
        ]
        made += annotate(
            [annotator],
            [prompt_of(letters)],
            texts,
            small_task.label_set,
            config=config,
            folder=tmp_path,
            progress=lambda n: None,
            meter=meter,
            fetch=functools.partial(lambda found, question: found, store),
        )

    assert [done.asked for done in made] == [24, paid_again, 0]
    assert [len(done.table["repeats"][0]) for done in made] == [3, 5, 3]
    assert made[2].table.equals(made[0].table)
    items, five = (
        question_items(texts, annotator, config),
        raw_answers(made[1].table, small_task.label_set),
    )
    known, _, _ = AnswerFolder(tmp_path / "elsewhere", "3 at temperature 0.6").known(
        items, lambda question: [(SourceRun("run", "ann"), five)]
    )
    assert known.sum() == 24 - paid_again  # five samples of a finished run are not three


@pytest.mark.parametrize("can", [LISTED, SAMPLED])
def test_what_came_through_before_the_server_failed_is_kept_and_not_paid_for_again(
    serve, small_task, tmp_path, can
):
    repeats = 2 if can == SAMPLED else 0
    server, annotator = serve(
        can={can},
        repeats=repeats,
        favoured=[LETTERS.index(f" {letter}") for letter in "ABCD"],
        server={"request_retries": 0, "max_concurrency": 1},
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

    server.faults.extend([Fault()] * 10 + [Fault(500)])
    with pytest.raises(Incomplete, match="HTTP 500"):
        annotate_all()
    before = len(server.posts)

    done = annotate_all()

    assert done.reused == 10
    assert len(server.posts) - before == 14


def test_a_request_that_fails_hands_on_the_answers_of_the_others(
    serve, vocabulary, tiny_llm, small_task
):
    server, annotator = serve(
        vocabulary,
        tokenizer=tiny_llm,
        can={EXACT},
        server={"request_retries": 0, "max_concurrency": 1},
    )
    prompt = task_prompt(small_task, "name")
    annotator.read(prompt, TEXTS[:1])
    server.faults.extend([Fault(), Fault(500)])

    with pytest.raises(Incomplete, match="HTTP 500") as caught:
        annotator.read(prompt, TEXTS)

    rows, answers = caught.value.partial
    assert rows == list(range(16))  # of a request of 16 and one of 8
    assert answers.log_probabilities == pytest.approx(
        annotator.read(prompt, TEXTS).log_probabilities[:16]
    )
