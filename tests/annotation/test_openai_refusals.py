"""One text that a server refuses, beside a server that refuses everything."""

import time

import pytest

from project.annotation.engines.openai import client
from project.annotation.engines.openai.faults import RequestRefused
from project.annotation.engines.openai.questions import token_questions
from project.annotation.engines.openai.tolerance import reason_of
from project.support.errors import AssayError, Incomplete
from tests.helpers.faulty_server import EXACT, LISTED, SAMPLED, Fault
from tests.helpers.serving import TEXTS, prompt_of, task_prompt


@pytest.fixture(autouse=True)
def short_delays(monkeypatch):
    monkeypatch.setattr(client, "_FIRST_DELAY", 0.01)


BAD = "the bad text"
MIXED = [*TEXTS[:9], BAD, *TEXTS[9:]]

REFUSALS = {
    "policy": (400, {"error": {"message": "Request 8f3a2b1c9d0e violates our policy 17."}}),
    "unprocessable": (422, {"detail": "cannot process this"}),
    "forbidden": (403, {"error": {"message": "Your input was flagged."}}),
    "500": (500, {"error": {"message": "CUDA index out of bounds"}}),
    "502": (502, "<html><head><title>Bad gateway</title></head></html>"),
    "504": (504, {"error": {"message": "upstream took too long"}}),
    "malformed": (200, {"choices": "none"}),
    "no choices": (200, {"choices": []}),
    "an error in a 200": (200, {"error": {"message": "tokenizer failed"}}),
    "a refusal in a 200": (200, {"error": {"code": 400, "message": "too long"}}),
    "a filtered reply": (200, {"choices": [{"finish_reason": "content_filter", "text": ""}]}),
}


def refuse(server, response, is_bad=lambda body: BAD in str(body["prompt"])):
    """Let the server give ``response`` to some requests; returns a list of these.

    A single choice is returned as often as choices are requested.
    """
    answer = server.answer
    refused = []

    def changed(path, body):
        if not is_bad(body):
            return answer(path, body)
        refused.append(body)
        status, data = response
        if isinstance(data, dict) and isinstance(data.get("choices"), list):
            n = body.get("n", 1)
            data = {"choices": [{**one, "index": i} for one in data["choices"] for i in range(n)]}
        return status, data

    server.answer = changed
    return refused


def is_by_chance(reason):
    return reason.startswith(("unparsed: ", "missing: the reply is empty"))


@pytest.mark.parametrize("name", REFUSALS)
def test_one_text_that_is_always_refused_has_a_reason_and_all_others_have_answers(serve, name):
    server, annotator = serve(
        can={SAMPLED}, repeats=2, favoured=range(6), settings={"request_retries": 1}
    )
    refuse(server, REFUSALS[name])
    inbox = []

    answers = annotator.read(prompt_of(), MIXED, lambda rows, answers: inbox.extend(rows))

    # A sampled word may be no label by chance.
    reasons = [reason or "" for reason in answers.error]
    assert [row for row, why in enumerate(reasons) if why and not is_by_chance(why)] == [9]
    assert answers.label[9] == -1
    assert answers.repeats[9].tolist() == [-1, -1]
    assert sorted(inbox) == list(range(25))
    (note,) = [note for note in annotator.notes if "refused 1 of 25 texts" in note]
    assert answers.error[9] in note
    # The next read of the same texts is the same: nothing was learnt from the wrong text.
    assert annotator.read(prompt_of(), MIXED).label.tolist() == answers.label.tolist()


def test_one_text_that_is_never_answered_in_time_has_a_reason(serve):
    server, annotator = serve(can={LISTED}, settings={"request_retries": 0, "request_timeout": 0.3})
    answer = server.answer

    def hang(path, body):
        time.sleep(0.6 if BAD in str(body["prompt"]) else 0)
        return answer(path, body)

    server.answer = hang

    answers = annotator.read(prompt_of(), MIXED)

    assert "every time: no answer within" in answers.error[9]
    assert "refused 1 of 25 texts" in " ".join(annotator.notes)


def test_a_text_that_is_refused_in_each_of_its_requests_is_counted_once(serve):
    server, annotator = serve(can={SAMPLED}, repeats=4, several_samples=False)
    refuse(server, REFUSALS["policy"])

    annotator.read(prompt_of(), MIXED)

    assert "refused 1 of 25 texts" in " ".join(annotator.notes)


def test_a_text_that_is_too_long_for_the_server_is_noted_with_the_way_out(serve):
    server, annotator = serve(can={LISTED})
    refuse(server, (400, {"error": {"message": "maximum context length is 8192 tokens"}}))

    answers = annotator.read(prompt_of(), MIXED)

    assert "maximum context length is # tokens" in answers.error[9]
    assert "maximum context length is 8192 tokens max_model_len" in " ".join(annotator.notes)


def test_a_refused_text_does_not_take_the_others_of_its_request_with_it(
    serve, vocabulary, tiny_llm, small_task
):
    server, annotator = serve(
        vocabulary, tokenizer=tiny_llm, can={EXACT}, settings={"request_retries": 0}
    )
    prompt = task_prompt(small_task, "name")
    expected = annotator.read(prompt, MIXED)
    bad = next(token_questions(annotator._prompt_tokens(None, 1), prompt, [BAD])).prompt
    refuse(server, (500, {"error": "oops"}), lambda body: bad in body["prompt"])

    answers = annotator.read(prompt, MIXED)

    others = [row for row in range(25) if row != 9]
    assert answers.error[9] == "the server failed at it every time: oops"
    assert answers.take(others).label.tolist() == expected.take(others).label.tolist()


@pytest.mark.parametrize(
    ("response", "words"),
    [
        ((402, {"error": {"message": "Insufficient credits"}}), "HTTP 402.*Insufficient credits"),
        ((403, {"error": {"message": "Not in your region"}}), "HTTP 403.*Not in your region"),
        ((400, {"error": {"message": "credit balance is too low"}}), "credit balance is too low"),
        ((500, {"error": {"message": "oops"}}), "HTTP 500: oops"),
        ((200, {"error": {"message": "upstream is down"}}), "upstream is down"),
        ((200, {"error": {"message": "pay", "code": 402}}), "HTTP 402.*pay"),
        (
            (429, {"error": {"message": "exceeded your quota", "code": "insufficient_quota"}}),
            "exceeded your quota",
        ),
        ((200, {"choices": [{"text": "", "finish_reason": "error"}]}), "ended in an error"),
        ((200, {"choices": [{"text": "", "finish_reason": "length"}]}), "spent on reasoning"),
        ((200, {"choices": [{"text": "", "finish_reason": None}]}), "an empty reply"),
        ((200, {"choices": []}), "0 choices where"),
        ((200, {"results": []}), "no choices"),
        ((200, "<html><head><title>Log in</title></head></html>"), "an HTML page .'Log in'."),
        ((400, {"error": {"message": "stream must be set to true"}}), "stream must be set to true"),
    ],
)
@pytest.mark.parametrize("when", ["at once", "at the first text", "later"])
def test_a_server_that_refuses_everything_ends_the_work_after_a_handful_of_calls(
    serve, response, words, when
):
    """``at the first text``: short prompts, as those that find out what it can do, still work."""
    server, annotator = serve(
        can={SAMPLED}, repeats=2, settings={"request_retries": 3, "max_concurrency": 4}
    )
    if when == "later":
        annotator.read(prompt_of(), TEXTS[:10])
    sent = refuse(server, response, lambda body: "Sort it" in str(body) or when == "at once")
    inbox = []

    with pytest.raises(AssayError, match=words):
        annotator.read(prompt_of(), TEXTS, lambda rows, answers: inbox.extend(rows))

    assert 1 <= len(sent) <= (16 if when == "later" else 8)
    assert inbox == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(change=lambda data: {"choices": []}),
        Fault(change=lambda data: {"error": {"message": "busy", "code": 503}}),
        Fault(
            change=lambda data: {
                "choices": [{**choice, "finish_reason": "error"} for choice in data["choices"]]
            }
        ),
        Fault(
            change=lambda data: {
                "choices": [
                    {**choice, "text": "", "finish_reason": None} for choice in data["choices"]
                ]
            }
        ),
    ],
)
def test_a_passing_failure_within_a_good_status_is_repeated_and_never_an_answer(serve, fault):
    server, annotator = serve(can={SAMPLED}, repeats=2, settings={"max_concurrency": 1})
    expected = annotator.read(prompt_of(), TEXTS[:3])
    server.faults.append(fault)

    answers = annotator.read(prompt_of(), TEXTS[:3])

    assert answers.repeats.tolist() == expected.repeats.tolist()
    assert answers.error == expected.error


def test_a_text_that_failed_in_an_outage_is_not_taken_for_a_refused_one(serve):
    # Every try fails with HTTP 500, then the server works again: the text is sent once more.
    server, annotator = serve(can={LISTED}, settings={"request_retries": 1, "max_concurrency": 1})
    expected = annotator.read(prompt_of(), TEXTS[:4])
    server.faults.extend([Fault(500), Fault(500)])

    answers = annotator.read(prompt_of(), TEXTS[:4])

    assert answers.error == expected.error
    assert "refused" not in " ".join(annotator.notes)


@pytest.mark.parametrize("fault", [Fault(503), Fault(429), Fault(502), Fault(cut=True)])
def test_an_outage_is_never_stored_as_an_answer(serve, fault):
    server, annotator = serve(can={LISTED}, settings={"request_retries": 1})
    annotator.read(prompt_of(), TEXTS[:4])
    server.fault_of_all = fault
    inbox = []

    with pytest.raises(Incomplete):
        annotator.read(prompt_of(), TEXTS, lambda rows, answers: inbox.extend(rows))
    assert inbox == []


@pytest.mark.parametrize(("max_refused", "ends"), [(0.05, True), (0.5, False)])
def test_more_refused_texts_than_allowed_end_the_work_with_their_reasons(serve, max_refused, ends):
    server, annotator = serve(can={LISTED}, settings={"max_refused": max_refused})
    refuse(server, REFUSALS["policy"], lambda body: "about x" in str(body["prompt"]))
    texts = [f"{text} {copy}" for copy in range(3) for text in TEXTS]  # a third is about x

    if ends:
        with pytest.raises(
            AssayError,
            match=r"refused 11 of \d+ texts: refused by the server \(HTTP 400\): Request ... "
            r"violates our policy # \(11\).*raise max_refused",
        ):
            annotator.read(prompt_of(), texts)
    else:
        answers = annotator.read(prompt_of(), texts)
        assert len([reason for reason in answers.error if reason and "policy" in reason]) == 24


def test_reasons_of_the_same_cause_are_equal():
    reasons = {
        reason_of(RequestRefused("m", 400, words=f"req_{n}a7Xq91 has {n} tokens, 4096 allowed"))
        for n in (5000, 70000)
    }
    assert reasons == {"refused by the server (HTTP 400): ... has # tokens, # allowed"}
