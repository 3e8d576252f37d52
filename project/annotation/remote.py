"""Annotators of this process whose work is done on nodes of a cluster."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from project.annotation.copies import Copy, Fleet
from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.on_node import Reply
from project.annotation.prompt import Prompt
from project.annotation.workers import WorkerLost
from project.support.errors import Incomplete

_READY_SECONDS = 1.0  # for an actor to start, before other things are looked at


class RemoteAnnotator:
    """An annotator on a node; several of one node may share its engine.

    Its attributes are those of :class:`project.annotation.engines.base.Annotator`.
    """

    def __init__(self, fleet: Fleet, copy: Copy, close: Callable[[], None]) -> None:
        """``close`` closes all copies."""
        seen = fleet.seen
        self.name = seen.name
        self.identity: Mapping[str, str] = seen.identity
        self.earlier_identities = seen.earlier_identities
        self.keyed_by = seen.keyed_by
        self.shard_size = seen.shard_size
        self.needed: Mapping[str, str] = {}
        self.copy = copy
        self.close = close
        self._fleet = fleet
        if seen.can_stop:
            self.stop = self._stop

    @property
    def notes(self) -> Sequence[str]:
        """What a person should know, from all nodes."""
        return list(self._fleet.notes)

    @property
    def notes_without_texts(self) -> Sequence[str]:
        """The notes that quote no text."""
        return list(self._fleet.notes_without_texts)

    @property
    def n_requests(self) -> int:
        """Requests that were sent to a server so far."""
        return sum(self._fleet.n_requests.values())

    @property
    def side_by_side(self) -> int:
        """How many annotators share the machine of this one."""
        return self._fleet.n_on(self.copy.node)

    def is_ready(self) -> bool:
        """Whether it can be used, after a second at the latest."""
        return self.copy.is_ready(_READY_SECONDS)

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        answers: Answers = self._call("read", prompt, items, arrived)
        return answers

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        size: Size = self._call("size", prompt, items)
        return size

    def _stop(self) -> None:
        with contextlib.suppress(WorkerLost):
            self.copy.call("stop")

    def _call(
        self, method: str, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None
    ) -> Any:
        """The result of a method on the node; its errors are raised here."""
        while not self.is_ready():
            pass
        number = next(self._fleet.numbers)
        self.copy.call("begin", number, method, prompt, list(items), self.needed)
        while True:
            for came in self.copy.call("more", number):
                if isinstance(came, Reply):
                    return self._value(came)
                if arrived:
                    arrived(came.positions, came.answers)

    def _value(self, reply: Reply) -> Any:
        self._fleet.keep_notes(self.copy, reply)
        if reply.error is None:
            self.copy.n_answered += 1
            return reply.value
        if issubclass(reply.error, Incomplete) and self._fleet.order.facts.runs_here:
            # The engine broke down and not the actor, to the same effect.
            raise self.copy.lose(reply.value)
        raise reply.error(f"node {self.copy.node.name}: {reply.value}")
