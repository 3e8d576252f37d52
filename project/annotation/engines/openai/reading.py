"""Sends the questions of one reading to a server, a bounded number at a time."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from project.annotation.engines.base import Answers, Arrived
from project.annotation.engines.openai.arrivals import Arrivals
from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import (
    NotSent,
    RequestRefused,
    ServerFailed,
    UnusableResponse,
)
from project.annotation.engines.openai.questions import Question, Readout, Refusal
from project.annotation.engines.openai.tolerance import TextFailure, Tolerance, reason_of
from project.support.errors import Incomplete

T = TypeVar("T")


class Connection(NamedTuple):
    """A server, and how many texts it has refused so far."""

    client: Client
    tolerance: Tolerance


class _Request(NamedTuple):
    """One part of some texts, sent together."""

    questions: Sequence[Question]
    part: int


async def read_all(
    connection: Connection,
    readout: Readout[T],
    questions: Iterable[Question],
    control: Question,
    arrived: Arrived | None,
) -> Answers:
    """Answers to all questions.

    Questions are taken one after the other, when the server is about to have room for them: memory
    does not grow with their number.

    Parameters
    ----------
    connection
        The server.
    readout
        How labels are read.
    questions
        At least one question. Rows are 0, 1, 2, and so on.
    control
        A harmless text in the same prompt, which is sent after a text has failed.
    arrived
        See :class:`project.annotation.engines.base.Annotator`.

    Raises
    ------
    Incomplete
        If a request fails. Without ``arrived``, its ``partial`` holds the complete rows and their
        Answers.
    RequestRefused
        If the server refuses everything, and not only single texts.
    AssayError
        If it refuses too many texts.
    """
    arrivals = Arrivals(readout, arrived)
    reader = _Reader(connection, readout, control, arrivals)
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

    def __init__(
        self,
        connection: Connection,
        readout: Readout[Any],
        control: Question,
        arrivals: Arrivals[Any],
    ) -> None:
        self._client = connection.client
        self._tolerance = connection.tolerance
        self._readout = readout
        self._control = control
        self._arrivals = arrivals
        self._refused_rows: set[int] = set()
        self._begun: set[int] = set()  # rows of which some part was sent
        self.is_cut_short = False

    async def read(self, questions: Iterable[Question]) -> None:
        """Send all requests. The first error cancels the others."""
        admission = self._client.pace.admission
        async with asyncio.TaskGroup() as group:
            for request in self._requests(questions):
                if not self._may_begin(request.questions):
                    self.is_cut_short = True
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
        try:
            async with self._tolerance.turn():
                values = await self._ask(questions, request.part)
        except NotSent:
            self.is_cut_short = True
            return
        for question, value in zip(questions, values, strict=True):
            self._arrivals.add(question, request.part, value)

    def _may_begin(self, questions: Sequence[Question]) -> bool:
        """Whether a request may be sent: after a stop, only for texts that were begun."""
        rows = [question.row for question in questions]
        return not (self._client.is_stopping and self._begun.isdisjoint(rows))

    async def _ask(self, questions: Sequence[Question], part: int) -> list[Any]:
        """The values of one request, or the refusals of its texts, one for each question."""
        try:
            return await self._send(questions, part)
        except (RequestRefused, ServerFailed, UnusableResponse) as error:
            if self._client.is_stopping:
                raise NotSent from None
            if isinstance(error, RequestRefused) and error.is_of_every_request:
                raise
            await self._tolerance.confirm(error, lambda: self._send_control(part))
            if len(questions) == 1:
                return [await self._refused(questions[0], part, error)]
        # One text may be to blame for a request with several.
        return [value for question in questions for value in await self._ask([question], part)]

    async def _refused(self, question: Question, part: int, error: TextFailure) -> Any:
        """The refusal of a text, after one more try where the server had failed."""
        if not isinstance(error, RequestRefused):
            # The server works again or still, so an outage cannot be taken for a bad text.
            try:
                return (await self._send([question], part, retries=0))[0]
            except (ServerFailed, UnusableResponse):
                pass
        if question.row in self._refused_rows:  # another part of it was refused before
            return Refusal(reason_of(error))
        self._refused_rows.add(question.row)
        return Refusal(self._tolerance.refuse(error))

    async def _send(
        self, questions: Sequence[Question], part: int, *, retries: int | None = None
    ) -> list[Any]:
        sent = time.monotonic()
        values = await self._post(questions, part, retries)
        self._tolerance.succeeded(sent, 0 if part else len(questions))
        return values

    async def _send_control(self, part: int) -> None:
        # Where nothing has been answered yet, the text's own retries were enough.
        await self._post([self._control], part, 1 if self._tolerance.n_answered else 0)

    async def _post(
        self, questions: Sequence[Question], part: int, retries: int | None
    ) -> list[Any]:
        body = self._readout.body([question.prompt for question in questions], part)

        def parse(data: Any) -> list[Any]:
            return list(self._readout.parse(data, len(questions), part))

        def begin() -> bool:
            is_allowed = self._may_begin(questions)
            if is_allowed:
                self._begun.update(question.row for question in questions)
            return is_allowed

        return await self._client.post(
            self._readout.endpoint, body, parse, retries=retries, may_begin=begin
        )
