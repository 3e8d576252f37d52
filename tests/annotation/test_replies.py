"""Replies on disk: what was written once is never asked for again."""

import pytest

from project.annotation.cost import Meter
from project.annotation.writing.base import Reply, WriteRequest
from project.annotation.writing.replies import Replies
from project.config.annotation import SpendConfig
from project.support.errors import Stopped


class Echo:
    """Writes the prompt back, and ends with an error after ``limit`` replies."""

    name = "echo"

    def __init__(self, limit=10**9, version="1"):
        self.identity = {"engine": "echo", "version": version}
        self.n_asked = 0
        self._limit = limit

    def write(self, requests, arrived):
        for position, request in reversed(list(enumerate(requests))):
            if self.n_asked == self._limit:
                raise KeyboardInterrupt
            self.n_asked += 1
            arrived(position, Reply(f"{request.prompt} \ud83d", 10, 5, is_whole=True))

    def close(self):
        pass


def requests(n, **changes):
    settings = {"max_tokens": 5, "temperature": 0.6, "seed": 0, **changes}
    return [WriteRequest(f"prompt {number} \ud83d\ude00", **settings) for number in range(n)]


def replies(folder, writer, **spend):
    return Replies(folder, writer, Meter(SpendConfig(**spend)))


def quiet(n):
    del n


def test_replies_come_in_the_order_of_their_requests_and_equal_requests_are_sent_once(tmp_path):
    writer = Echo()
    counted: list[int] = []
    found = replies(tmp_path, writer).replies([*requests(3), *requests(2)], counted.append)

    assert [reply.text[:8] for reply in found] == [f"prompt {n}" for n in (0, 1, 2, 0, 1)]
    assert writer.n_asked == 3
    assert sum(counted) == 5


def test_what_was_answered_before_a_kill_is_not_asked_again(tmp_path):
    killed = Echo(limit=70)
    with pytest.raises(KeyboardInterrupt):
        replies(tmp_path, killed).replies(requests(100), quiet)

    writer = Echo()
    again = replies(tmp_path, writer)
    found = again.replies(requests(100), quiet)

    assert len(found) == 100
    assert writer.n_asked == 30
    assert (again.n_reused, again.n_written) == (70, 30)


@pytest.mark.parametrize("change", [{"seed": 1}, {"temperature": 0.7}, {"max_tokens": 6}])
def test_another_seed_temperature_or_length_is_another_request(tmp_path, change):
    replies(tmp_path, Echo()).replies(requests(2), quiet)
    writer = Echo()
    replies(tmp_path, writer).replies(requests(2, **change), quiet)

    assert writer.n_asked == 2


def test_another_model_has_replies_of_its_own(tmp_path):
    replies(tmp_path, Echo()).replies(requests(2), quiet)
    writer = Echo(version="2")
    replies(tmp_path, writer).replies(requests(2), quiet)

    assert writer.n_asked == 2


def test_a_damaged_reply_is_reported_and_asked_for_again(tmp_path):
    first = replies(tmp_path, Echo())
    first.replies(requests(3), quiet)
    first.close()
    (path,) = tmp_path.rglob("*.replies")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    writer = Echo()
    again = replies(tmp_path, writer)

    assert len(again.damage) == 1
    assert "asked for again" in again.damage[0]
    again.replies(requests(3), quiet)
    assert writer.n_asked == 1


def test_writing_stops_before_it_passes_the_cost_that_the_user_set(tmp_path):
    writer = Echo()
    limited = replies(tmp_path, writer, price_output=1e6, max_cost=400.0)

    with pytest.raises(Stopped, match="max_cost=400"):
        limited.replies(requests(200), quiet)

    assert writer.n_asked == 64


def test_a_refused_request_is_asked_for_again_the_next_time(tmp_path):
    class Refusing(Echo):
        def write(self, requests, arrived):
            self.n_asked += len(requests)
            for position in range(len(requests)):
                arrived(position, Reply("", 0, 0, is_whole=False))

    assert replies(tmp_path, Refusing()).replies(requests(2), quiet)[0].text == ""
    writer = Echo()
    replies(tmp_path, writer).replies(requests(2), quiet)

    assert writer.n_asked == 2
