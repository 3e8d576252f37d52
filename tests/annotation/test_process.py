"""An annotator in another process gives the same answers, and its death loses none."""

import dataclasses
import functools
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from project.annotation.engines.base import Answers, Size
from project.annotation.engines.factory import open_engine
from project.annotation.engines.process import ProcessAnnotator
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.engines import ENGINES
from project.support.errors import AssayError, Incomplete


class ObedientAnnotator:
    """Answers with its process id and its GPUs; fails as the texts order."""

    name = "obedient"
    keyed_by = "text"
    shard_size = 8
    identity: Mapping[str, str] = {"engine": "obedient"}

    def read(self, prompt, items, arrived=None):
        if items == ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        if items == ["refuse"]:
            raise AssayError("refused, with a way out")
        if items == ["fail"]:
            raise ZeroDivisionError("an engine's own fault")
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return dataclasses.replace(
            Answers.exact(np.log([[0.25, 0.25]]), np.zeros(1, bool), np.array([os.getpid()])),
            error=[visible],
        )

    def size(self, prompt, items):
        return Size(os.getpid(), np.ones(len(items), dtype=np.int64), 1, exact=True)

    def close(self):
        pass


class HandingOver(ObedientAnnotator):
    """Hands over the answer to every item, and dies at the item "die"."""

    def read(self, prompt, items, arrived=None):
        for position, item in enumerate(items):
            if item == "die":
                os.kill(os.getpid(), signal.SIGKILL)
            answers = super().read(prompt, [item])
            if arrived:
                arrived([position], answers)
        return Answers.joined([answers] * len(items))


class Meeting(ObedientAnnotator):
    """Answers two reads only if they are under way at the same time."""

    def __init__(self):
        self.both = threading.Barrier(2, timeout=10)

    def read(self, prompt, items, arrived=None):
        self.both.wait()
        if items == ["die"]:
            os.kill(os.getpid(), signal.SIGKILL)
        arrived([0], super().read(prompt, items))
        self.both.wait()
        return dataclasses.replace(super().read(prompt, items), error=list(items))


PROMPT = Prompt(0, "", "", ("a", "b"))


@pytest.fixture
def obedient(forked_workers):
    """An annotator in a process that sees GPUs 3 and 4."""
    annotator = ProcessAnnotator(ObedientAnnotator(), ObedientAnnotator, "3,4")
    yield annotator
    annotator.close()


def test_texts_are_read_in_another_process_on_its_own_gpus(obedient):
    answers = obedient.read(PROMPT, ["text"])

    assert answers.prompt_tokens[0] != os.getpid()
    assert answers.prompt_tokens[0] == obedient.read(PROMPT, ["text"]).prompt_tokens[0]
    assert answers.error == ["3,4"]
    assert (
        obedient.size(PROMPT, ["text"]).prefix == answers.prompt_tokens[0]
    )  # or the model would be loaded here, beside the processes


def test_a_dead_process_raises_incomplete_and_the_next_read_starts_another(obedient):
    with pytest.raises(
        Incomplete,
        match=r"the process of obedient on GPU 3,4 died \(exit code -9;.*are kept; run again",
    ):
        obedient.read(PROMPT, ["die"])

    assert obedient.read(PROMPT, ["text"]).label.tolist() == [0]


def test_errors_keep_their_class_and_message_across_the_process(obedient, capfd):
    with pytest.raises(AssayError, match="refused, with a way out") as caught:
        obedient.read(PROMPT, ["refuse"])
    assert not isinstance(caught.value, Incomplete)
    with pytest.raises(Incomplete, match="ZeroDivisionError: an engine's own fault"):
        obedient.read(PROMPT, ["fail"])


def test_the_transformers_engine_reads_the_same_in_another_process(tiny_llm, small_task):
    from project.annotation.prompt import build_prompt

    config = AnnotateConfig(annotator_model=str(tiny_llm), annotator_dtype="float32")
    prompt = build_prompt(
        small_task.label_set,
        "Sort it.",
        small_task.split("demonstration").head(1),
        style="name",
        draw=0,
    )
    texts, front = list(small_task.split("train")["text"][:6]), TransformersAnnotator(config)
    apart = ProcessAnnotator(
        front, functools.partial(open_engine, ENGINES["transformers"].open, config), None
    )

    theirs = apart.read(prompt, texts)
    apart.close()

    assert theirs.log_probabilities == pytest.approx(
        front.read(prompt, texts).log_probabilities, abs=1e-6
    )
    assert apart.identity == front.identity


def test_answers_are_handed_over_as_they_come_also_by_a_process_that_dies(forked_workers):
    annotator = ProcessAnnotator(HandingOver(), HandingOver, "3,4")
    arrived = []
    try:
        annotator.read(PROMPT, ["one", "two"], lambda positions, _: arrived.extend(positions))
        assert arrived == [0, 1]
        with pytest.raises(Incomplete, match="died"):
            annotator.read(
                PROMPT, ["one", "two", "die"], lambda positions, _: arrived.extend(positions)
            )
    finally:
        annotator.close()

    assert arrived == [0, 1, 0, 1]


def read_at_once(annotator, *texts):
    """What two reads of one text each return or raise, and the number of answers on the way."""
    arrived = []
    with ThreadPoolExecutor(2) as pool:
        reads = [
            pool.submit(annotator.read, PROMPT, [text], lambda *part: arrived.append(part))
            for text in texts
        ]
    return [read.exception() or read.result() for read in reads], len(arrived)


def test_two_threads_read_in_one_process_at_the_same_time(forked_workers):
    annotator = ProcessAnnotator(Meeting(), Meeting, None)
    try:
        (first, second), n_arrived = read_at_once(annotator, "one", "two")
    finally:
        annotator.close()

    assert (first.error, second.error, n_arrived) == (["one"], ["two"], 2)
    assert first.prompt_tokens.tolist() == second.prompt_tokens.tolist()  # the same process


def test_all_threads_learn_that_their_process_died(forked_workers):
    annotator = ProcessAnnotator(Meeting(), Meeting, None)
    try:
        (first, second), _ = read_at_once(annotator, "die", "two")
    finally:
        annotator.close()

    for error in (first, second):
        assert isinstance(error, Incomplete)
        assert "died (exit code -9" in str(error)
