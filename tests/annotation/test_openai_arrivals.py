"""The openai engine hands over answers one by one, and takes texts only when it has room."""

import asyncio
import os
import signal
import threading
import time
from concurrent.futures import CancelledError

import numpy as np
import pytest

from project.annotation.engines.openai import client
from project.annotation.engines.openai.arrivals import Arrivals
from project.annotation.engines.openai.modes import TEXT_MODES
from project.annotation.engines.openai.parsing import CodeReading
from project.annotation.engines.openai.questions import text_questions
from project.annotation.engines.openai.reading import Connection, read_all
from project.annotation.engines.openai.text_requests import ListedReadout, Reading
from project.annotation.engines.openai.tolerance import Tolerance
from project.annotation.engines.openai.trials import COMPLETIONS
from project.support.errors import Incomplete
from tests.helpers.faulty_server import EXACT, LISTED, SAMPLED, Fault
from tests.helpers.serving import TEXTS, prompt_of, task_prompt


class Inbox:
    """What was handed over, with the time of each part."""

    def __init__(self):
        self.rows = []
        self.parts = []
        self.times = []
        self.lock = threading.Lock()

    def __call__(self, rows, answers):
        with self.lock:
            assert len(rows) == len(answers.label) == len(answers.error)
            self.rows += rows
            self.parts.append((rows, answers))
            self.times.append(time.monotonic())

    def label_of_row(self):
        return {
            row: label
            for rows, answers in self.parts
            for row, label in zip(rows, answers.label.tolist(), strict=True)
        }


@pytest.mark.parametrize("can", [EXACT, LISTED, SAMPLED])
def test_every_answer_is_handed_over_once_and_is_the_returned_one(
    serve, vocabulary, tiny_llm, small_task, can
):
    if can == EXACT:
        _, annotator = serve(vocabulary, tokenizer=tiny_llm, can={EXACT})
        prompt = task_prompt(small_task, "name")
    else:
        _, annotator = serve(can={can}, repeats=3 if can == SAMPLED else 0, favoured=range(6))
        prompt = prompt_of()
    texts = [f"text {number}" for number in range(150)]
    inbox = Inbox()

    answers = annotator.read(prompt, texts, inbox)

    assert sorted(inbox.rows) == list(range(150))
    assert inbox.label_of_row() == dict(enumerate(answers.label.tolist()))
    assert answers.label.tolist() == annotator.read(prompt, texts).label.tolist()


def test_handing_over_ends_when_many_answers_and_the_end_come_together(serve):
    # The last answers complete a batch at the moment in which the reading ends.
    _, annotator = serve(can={LISTED}, favoured=range(6))
    prompt = prompt_of()
    mode = next(mode for mode in TEXT_MODES if mode.n_listed == 20)
    readout = ListedReadout("model", mode, COMPLETIONS, ["A", "B", "C"])
    questions = list(text_questions(prompt, [f"text {n}" for n in range(64)], 10**6))
    reading = Reading(CodeReading([-1.0, -2.0, -3.0], -9.0), 7)
    inbox = Inbox()

    async def add_all_and_cancel():
        arrivals = Arrivals(readout, inbox)
        handing = asyncio.ensure_future(arrivals.hand_over())
        arrivals.add(questions[0], 0, reading)
        await asyncio.sleep(0.01)
        for question in questions[1:]:
            arrivals.add(question, 0, reading)
        handing.cancel()
        await asyncio.wait([handing], timeout=2)
        arrivals.finish()
        return handing.done()

    assert annotator._client.run(add_all_and_cancel())
    assert sorted(inbox.rows) == list(range(64))


def test_an_answer_does_not_wait_for_slower_ones(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.append(Fault(delay=1.0))
    inbox = Inbox()
    began = time.monotonic()

    annotator.read(prompt_of(), TEXTS[:4], inbox)

    early = [time_ - began < 0.7 for time_ in inbox.times]
    n_early = sum(
        len(part[0]) for part, is_early in zip(inbox.parts, early, strict=True) if is_early
    )
    assert n_early == 3
    assert len(inbox.rows) == 4


@pytest.mark.parametrize("end", ["error", "interrupt", "close"])
def test_answers_are_handed_over_before_a_failure_an_interrupt_or_the_close_is_seen(serve, end):
    server, annotator = serve(can={LISTED}, settings={"request_retries": 0, "max_concurrency": 1})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.extend([Fault()] * 5)
    server.fault_of_all = Fault(503) if end == "error" else Fault(delay=4)
    inbox = Inbox()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    ended = {"error": Incomplete, "interrupt": KeyboardInterrupt, "close": CancelledError}
    try:
        if end == "interrupt":
            # Before a quarter of a second is over: nothing was handed over for its age.
            threading.Timer(0.15, os.kill, [os.getpid(), signal.SIGINT]).start()
        if end == "close":
            threading.Timer(0.15, annotator.close).start()
        with pytest.raises(ended[end]) as caught:
            annotator.read(prompt_of(), TEXTS, inbox)
        assert len(set(inbox.rows)) == len(inbox.rows) == 5
    finally:
        signal.signal(signal.SIGINT, before)
    assert getattr(caught.value, "partial", None) is None


def test_an_answer_that_cannot_be_stored_ends_the_reading(serve):
    server, annotator = serve(can={LISTED})
    annotator.read(prompt_of(), TEXTS[:1])
    server.fault_of_all = Fault(delay=0.3)

    def full(rows, answers):
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        annotator.read(prompt_of(), TEXTS, full)


def test_few_texts_are_prepared_before_they_are_sent_however_many_there_are(serve):
    server, annotator = serve(can={LISTED}, settings={"max_concurrency": 2})
    prompt = prompt_of()
    annotator.read(prompt, TEXTS[:1])
    mode = next(mode for mode in TEXT_MODES if mode.n_listed == 20)
    readout = ListedReadout("model", mode, COMPLETIONS, ["A", "B", "C"])
    taken = 0
    before = len(server.posts)
    most = []

    def questions():
        nonlocal taken
        for question in text_questions(prompt, [f"text {n}" for n in range(300)], 10**6):
            taken += 1
            most.append((taken - (len(server.posts) - before), len(asyncio.all_tasks())))
            yield question

    client = annotator._client
    connection = Connection(client, Tolerance(0.05))
    (control,) = text_questions(prompt, ["fine"], 100)
    answers = client.run(read_all(connection, readout, questions(), control, None))

    assert len(answers.label) == 300
    assert np.max(most, axis=0).tolist() <= [24, 30]
    assert server.max_running == 2


def test_after_a_stop_what_was_sent_is_answered_and_nothing_new_is_sent(serve):
    server, annotator = serve(can={LISTED}, settings={"max_concurrency": 4})
    annotator.read(prompt_of(), TEXTS[:1])
    server.faults.extend([Fault(delay=0.3)] * 24)
    n_before = len(server.requests)
    inbox = Inbox()
    threading.Timer(0.15, annotator.stop).start()

    with pytest.raises(Incomplete, match=r"stopped. All answers are kept"):
        annotator.read(prompt_of(), TEXTS, inbox)

    n_sent = len(server.requests) - n_before
    assert 0 < n_sent <= 4
    assert len(inbox.rows) == n_sent


WAITS = {
    "Retry-After": Fault(429, {"Retry-After": "30"}),
    "busy": Fault(429),
    "trouble": Fault(502),
}


@pytest.mark.parametrize("name", WAITS)
def test_after_a_stop_no_failed_request_is_waited_for_or_sent_again(serve, name, monkeypatch):
    monkeypatch.setattr(client, "_FIRST_DELAY", 0.1)
    server, annotator = serve(can={LISTED}, settings={"max_concurrency": 4, "request_retries": 9})
    annotator.read(prompt_of(), TEXTS[:1])
    server.fault_of_all = WAITS[name]
    sent = []

    def stop():
        sent.append(len(server.requests))
        annotator.stop()

    threading.Timer(0.2, stop).start()
    began = time.monotonic()

    with pytest.raises(Incomplete, match=r"stopped. All answers are kept"):
        annotator.read(prompt_of(), TEXTS, Inbox())

    assert time.monotonic() - began < 3
    assert len(server.requests) - sent[0] <= 1  # one that was on its way
