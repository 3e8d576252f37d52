"""Sends the questions of one reading to a server, a bounded number at a time."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from project.annotation.engines.base import Answers, Arrived
from project.annotation.engines.openai.arrivals import Arrivals
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import NotSent, RequestRefused
from project.annotation.engines.openai.questions import Question, Readout, Refusal
from project.annotation.engines.openai.readouts import FILTERED
from project.support.errors import Incomplete

T = TypeVar("T")

FILTER_CODES = ("content_filter", "content_policy_violation")
"""Error codes with which hosted APIs refuse a text because of its content."""


class _Request(NamedTuple):
    """One part of some texts, sent together."""

    questions: Sequence[Question]
    part: int


async def read_all(
    client: Client, readout: Readout[T], questions: Iterable[Question], arrived: Arrived | None
) -> Answers:
    """Answers to all questions.

    Questions are taken one after the other, when the server is about to have room for them: memory
    does not grow with their number.

    Parameters
    ----------
    client
        The server.
    readout
        How labels are read.
    questions
        At least one question. Rows are 0, 1, 2, and so on.
    arrived
        See :class:`project.annotation.engines.base.Annotator`.

    Raises
    ------
    Incomplete
        If a request fails. Without ``arrived``, its ``partial`` holds the complete rows and their
        Answers.
    """
    arrivals = Arrivals(readout, arrived)
    reader = _Reader(client, readout, arrivals)
    try:
        async with asyncio.TaskGroup() as group:
            handing = group.create_task(arrivals.hand_over()) if arrived else None
            await reader.read(questions)
            if handing:
                handing.cancel()
    except BaseExceptionGroup as errors:
        error = _first_error(errors)
        arrivals.finish()
        if isinstance(error, Incomplete) and arrived is None:
            error.partial = arrivals.answers()
        raise error from None
    finally:
        arrivals.finish()
    done = arrivals.answers()
    if reader.is_cut_short:
        stopped = Incomplete("stopped. All answers are kept; run again to go on.")
        stopped.partial = done if arrived is None else None
        raise stopped
    if done is None:
        raise ValueError("no questions")
    return done[1]


def _first_error(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error in a group of groups."""
    first = errors.exceptions[0]
    return _first_error(first) if isinstance(first, BaseExceptionGroup) else first


class _Reader:
    """Sends the requests of one reading.

    ``is_cut_short``: some were not sent, because the client was told to stop.
    """

    def __init__(self, client: Client, readout: Readout[Any], arrivals: Arrivals[Any]) -> None:
        self._client = client
        self._readout = readout
        self._arrivals = arrivals
        self._begun: set[int] = set()  # rows of which some part was sent
        self.is_cut_short = False

    async def read(self, questions: Iterable[Question]) -> None:
        """Send all requests. The first error cancels the others."""
        admission = self._client.pace.admission
        async with asyncio.TaskGroup() as group:
            for request in self._requests(questions):
                if not self._may_begin(request.questions, begin=False):
                    break
                await admission.acquire()
                task = group.create_task(self._answer(request))
                task.add_done_callback(lambda _: admission.release())

    def _requests(self, questions: Iterable[Question]) -> Iterator[_Request]:
        remaining = iter(questions)
        while batch := list(itertools.islice(remaining, self._readout.batch_size)):
            for part in range(self._readout.n_parts):
                yield _Request(batch, part)

    async def _answer(self, request: _Request) -> None:
        """Send one request and keep what it says about each of its texts."""
        questions = [question for question in request.questions if self._arrivals.needs(question)]
        if not questions:
            return
        with contextlib.suppress(NotSent):
            values = await self._ask(questions, request.part)
            for question, value in zip(questions, values, strict=True):
                self._arrivals.add(question, request.part, value)

    def _may_begin(self, questions: Sequence[Question], *, begin: bool = True) -> bool:
        """Whether a request may be sent: after a stop, only for texts that were begun.

        ``begin``: it is sent now if it may be.
        """
        rows = [question.row for question in questions]
        if self._client.is_stopping and self._begun.isdisjoint(rows):
            self.is_cut_short = True
            return False
        if begin:
            self._begun.update(rows)
        return True

    async def _ask(self, questions: Sequence[Question], part: int) -> Sequence[Any]:
        """The values of one request, one for each question."""
        body = self._readout.body([question.prompt for question in questions], part)
        try:
            return await self._client.post(
                self._readout.endpoint,
                body,
                lambda data: self._readout.parse(data, len(questions), part),
                may_begin=lambda: self._may_begin(questions),
            )
        except RequestRefused as error:
            if error.code not in FILTER_CODES:
                raise
            return [Refusal(FILTERED)] * len(questions)
