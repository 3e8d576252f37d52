"""How fast requests are sent: the adaptive limit, and the server's ``Retry-After``."""

import asyncio
import datetime
import email.utils

import pytest

from project.annotation.engines.openai.pace import Pace, retry_after_seconds


def test_retry_after_is_read_as_seconds_and_as_a_date():
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=90)
    without_time = (None, "", "soon", "-3", "Thu, 01 Jan 1970 00:00:00 GMT")

    assert retry_after_seconds("2.5") == 2.5
    assert 85 < retry_after_seconds(email.utils.format_datetime(soon, usegmt=True)) <= 90
    assert [retry_after_seconds(header) for header in without_time] == [0] * 5


def test_the_limit_doubles_until_the_server_is_busy_and_then_grows_by_one_per_window():
    async def limits():
        pace = Pace(64)
        seen = [pace.limit]
        for window in (4, 8):
            for _ in range(window):
                pace.speed_up()
            seen.append(pace.limit)
        for _ in range(16):  # all sent before the limit was halved: it is halved once
            pace.slow_down(0)
        seen.append(pace.limit)
        for _ in range(8):
            pace.speed_up()
        return [*seen, pace.limit]

    start, once, twice, halved, after = asyncio.run(limits())
    assert (start, once, twice, halved) == (4, 8, 16, 8)
    assert after == pytest.approx(9, abs=0.1)


def test_no_more_requests_run_than_the_limit_allows_and_all_get_their_turn():
    async def most_at_once():
        pace = Pace(3)
        n_running = 0
        most = 0
        n_done = 0

        async def request():
            nonlocal n_running, most, n_done
            async with pace.slot():
                n_running += 1
                most = max(most, n_running)
                await asyncio.sleep(0)
                n_running -= 1
                n_done += 1
            pace.speed_up()

        await asyncio.gather(*(request() for _ in range(50)))
        return most, n_done

    assert asyncio.run(most_at_once()) == (3, 50)
