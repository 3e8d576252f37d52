"""Work shared by workers that die and by workers that come later."""

import threading
import time
from collections import Counter

import pandas as pd
import pytest

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.prompt import Prompt
from project.annotation.workers import WorkerLost, WorkItem, _Queue, share
from project.config.annotation import AnnotateConfig, SpendConfig
from project.support.errors import Incomplete
from tests.helpers.annotators import N_TOKENS, ScriptedAnnotator, answers_hash

WORK = [WorkItem(group, number) for group in range(3) for number in range(4)]
WAIT = 0.01  # seconds between two looks for workers that come later


class Team(list):
    """Workers, and those that come one after the other once the first have begun."""

    def __init__(self, workers, later=()):
        super().__init__(workers)
        self.later = list(later)

    def newcomers(self):
        return [self.later.pop(0)] if self.later else []


@pytest.fixture(autouse=True)
def short_wait(monkeypatch):
    monkeypatch.setattr("project.annotation.workers._LOOK_SECONDS", WAIT)


def shared(workers, do, work=WORK):
    return list(share(workers, work, do, admit=lambda item: None, stop=lambda: False))


def test_the_item_of_a_lost_worker_is_done_by_another_one():
    deaths = []

    def do(worker, item):
        if worker == "weak" and item == WORK[0]:
            deaths.append(item)
            raise WorkerLost("it died.")
        return item

    done = shared(["weak", "strong"], do)

    assert deaths == [WORK[0]]
    assert Counter(done) == Counter(WORK)


def test_an_item_lost_while_the_others_have_nothing_left_to_do_is_done_all_the_same():
    begun = threading.Event()

    def do(worker, item):
        if worker == "weak":
            begun.wait(5)
            raise WorkerLost("it died.")
        begun.set()
        return item

    assert Counter(shared(["weak", "strong"], do, WORK[:5])) == Counter(WORK[:5])


def test_workers_that_come_later_do_what_the_lost_ones_left():
    def do(worker, item):
        if worker == 0:
            raise WorkerLost("it died.")
        return item

    assert Counter(shared(Team([0, 0], [1]), do)) == Counter(WORK)


def test_an_item_that_ends_three_workers_fails_after_the_others_are_done():
    done = []

    def do(worker, item):
        if item == WORK[1]:
            raise WorkerLost("the engine died (out of memory).")
        done.append(item)
        return item

    with pytest.raises(Incomplete, match=r"3 workers died.*out of memory.*run again"):
        shared(Team(range(2), range(2, 9)), do)

    assert Counter(done) == Counter(item for item in WORK if item != WORK[1])


def test_work_waits_for_a_worker_that_is_not_ready_and_ends_without_one_that_never_is():
    class Slow:
        def __init__(self, looks):
            self.looks = looks

        def is_ready(self):
            time.sleep(WAIT)
            self.looks -= 1
            return self.looks <= 0

    def do(worker, item):
        assert worker.looks <= 0
        return item

    assert Counter(shared(Team([Slow(10**9), Slow(3)]), do)) == Counter(WORK)


def test_no_workers_and_no_hope_of_others_is_an_error_of_the_team():
    class Hopeless(Team):
        def newcomers(self):
            raise Incomplete("every node was given up.")

    with pytest.raises(Incomplete, match="every node was given up"):
        shared(Hopeless([]), lambda worker, item: item)


def test_helpers_stay_with_a_group_as_long_as_it_has_items():
    work = [WorkItem(group, number) for group in (0, 2, 4) for number in range(5)]
    waiting = _Queue(work, 2, lambda item: None)  # all groups are those of worker 0
    helper = waiting.join()

    def group_of(item: WorkItem | None) -> int:
        assert item is not None
        return item.group

    taken = [group_of(waiting.take(worker)) for _ in range(5) for worker in (1, helper)]

    changes = {
        worker: sum(a != b for a, b in zip(taken[worker::2], taken[worker + 2 :: 2], strict=False))
        for worker in (0, 1)
    }
    assert changes[0] + changes[1] <= 2


class Dying(ScriptedAnnotator):
    """Hands over three answers of its first shard and is lost."""

    def read(self, prompt, texts, arrived=None):
        answers = super().read(prompt, texts[:3])
        arrived([0, 1, 2], answers)
        raise WorkerLost("its node went away.")


def test_what_a_lost_worker_has_answered_is_kept_counted_and_not_asked_again(tmp_path):
    texts = [f"text {number}" for number in range(20)]
    examples = pd.DataFrame({"example_id": texts, "text": [*texts[:19], texts[0]]})
    weak, strong = Dying(2), ScriptedAnnotator(2)
    weak.shard_size = 8
    done: list[int] = []
    meter = Meter(SpendConfig())

    def annotated(annotators, folder, meter):
        return list(
            annotate(
                annotators,
                [Prompt(0, "", "", ("a", "b"))],
                examples,
                ("a", "b"),
                config=AnnotateConfig(min_label_mass=0),
                folder=folder,
                progress=done.append,
                meter=meter,
            )
        )

    (there,) = annotated(Team([weak], [strong]), tmp_path / "there", meter)
    assert sum(done) == 20
    (here,) = annotated([ScriptedAnnotator(2)], tmp_path / "here", Meter(SpendConfig()))

    assert sorted(weak.texts_read + strong.texts_read) == sorted(texts[:19])
    assert answers_hash(there.table) == answers_hash(here.table)
    assert there.n_asked == 19
    assert (meter.texts, meter.pending, meter.prompt_tokens) == (19, 0, 19 * N_TOKENS)
