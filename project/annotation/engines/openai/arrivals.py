"""Collects the values of single requests, and hands over answers as soon as they are complete."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Generic, TypeVar

from project.annotation.engines.base import Answers, Arrived
from project.annotation.engines.openai.questions import (
    Question,
    Readout,
    Refusal,
    refused_answers,
)

T = TypeVar("T")


class Arrivals(Generic[T]):
    """The answers of one reading. All methods run in the event loop; see :meth:`finish`.

    Values of texts with requests under way are kept until all parts of the text are known.
    """

    def __init__(self, readout: Readout[T], arrived: Arrived | None) -> None:
        """``arrived``: see :class:`project.annotation.engines.base.Annotator`."""
        self._readout = readout
        self._arrived = arrived
        self._open: dict[int, dict[int, T]] = {}  # by row and part
        self._complete: list[tuple[Question, list[T] | Refusal]] = []
        self._refused: set[int] = set()
        self._handed: list[tuple[list[int], Answers]] = []
        self._some = asyncio.Event()
        self._is_idle = threading.Event()  # whether no other thread is in ``arrived``
        self._is_idle.set()

    def needs(self, question: Question) -> bool:
        """Whether more parts of a text are needed: not if one of them was refused."""
        return question.row not in self._refused

    def add(self, question: Question, part: int, value: T | Refusal) -> None:
        """Keep what one request said about a text, and its answer once that is complete."""
        if not self.needs(question):
            return
        if isinstance(value, Refusal):
            self._open.pop(question.row, None)
            self._refused.add(question.row)
            self._complete.append((question, value))
        else:
            values = self._open.setdefault(question.row, {})
            values[part] = value
            if len(values) < self._readout.n_parts:
                return
            del self._open[question.row]
            self._complete.append((question, [values[index] for index in sorted(values)]))
        self._some.set()

    async def hand_over(self) -> None:
        """Hand over answers until cancelled. They are written in another thread.

        So a slow disk, or a lock on it, does not hold up the requests. What becomes complete in the
        meantime is handed over together; no answer waits for others.
        """
        while True:
            await self._some.wait()
            rows, answers = self._take()
            self._is_idle.clear()
            # Submitted at once, not by a task that could be cancelled before it starts. Shielded: a
            # cancellation does not stop the thread that writes the answers.
            loop = asyncio.get_running_loop()
            await asyncio.shield(loop.run_in_executor(None, self._write, rows, answers))

    def finish(self) -> None:
        """Hand over all complete answers, and wait for those that are being handed over.

        It waits without giving way to the event loop, so that no cancellation can interrupt it.
        """
        self._is_idle.wait()
        if self._complete:
            rows, answers = self._take()
            if self._arrived:
                self._arrived(rows, answers)

    def _write(self, rows: list[int], answers: Answers) -> None:
        try:
            if self._arrived:
                self._arrived(rows, answers)
        finally:
            self._is_idle.set()

    def _take(self) -> tuple[list[int], Answers]:
        """The complete answers with their rows, which are kept for :meth:`answers`."""
        complete = self._complete
        self._complete = []
        self._some.clear()
        taken = self._answers(complete)
        self._handed.append(taken)
        return taken

    def _answers(
        self, complete: Sequence[tuple[Question, list[T] | Refusal]]
    ) -> tuple[list[int], Answers]:
        known = [(question, value) for question, value in complete if isinstance(value, list)]
        refused = [(question, value) for question, value in complete if isinstance(value, Refusal)]
        parts = []
        if known:
            questions, values = zip(*known, strict=True)
            parts.append(self._readout.answers(questions, values))
        if refused:
            questions, refusals = zip(*refused, strict=True)
            reasons = [refusal.reason for refusal in refusals]
            parts.append(refused_answers(questions, reasons, self._readout))
        return [question.row for question, _ in [*known, *refused]], Answers.joined(parts)

    def answers(self) -> tuple[list[int], Answers] | None:
        """The rows that were handed over, in ascending order, and their answers; None if none."""
        if not self._handed:
            return None
        rows = [row for some, _ in self._handed for row in some]
        order = sorted(range(len(rows)), key=rows.__getitem__)
        joined = Answers.joined([answers for _, answers in self._handed])
        return [rows[index] for index in order], joined.take(order)
