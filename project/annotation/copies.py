"""The copies of an engine on the nodes of a cluster, and what happens when one dies."""

from __future__ import annotations

import contextlib
import itertools
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from project.annotation.on_node import Opened, Order, Replica, Reply, Seen
from project.annotation.orders import Placement, with_files
from project.annotation.workers import WorkerLost
from project.cluster.actors import Actor, ActorDied, Work
from project.cluster.connect import Cluster, Node

_PATIENT_SECONDS = 60.0  # after these a line says that a copy has not started
_READY_SECONDS = 1.0  # for an actor to start, before other things are looked at
_OUT_OF_MEMORY = "OutOfMemoryError"
_MOST_DEATHS = 3  # on one node, of actors that have answered nothing


class Fleet:
    """What the copies of one annotator on a cluster share.

    Attributes
    ----------
    order, placement
        What each copy opens, and what it takes of its node.
    seen
        What the annotator says of itself, agreed by all nodes.
    copies
        The copies that are not lost.
    given_up
        Why nothing more starts on a node, by its id.
    has_changed
        Whether a copy was lost since this was last set to false.
    most
        The most copies at a time; fewer once memory ran out.
    notes, notes_without_texts, n_requests
        What engines noted, as the keys, and requests by copy.
    """

    def __init__(
        self,
        cluster: Cluster,
        order: Order,
        placement: Placement,
        seen: Seen,
        most: int = sys.maxsize,
    ) -> None:
        """Nothing starts yet."""
        self.most = most
        self.order = order
        self.placement = placement
        self.seen = seen
        self.copies: list[Copy] = []
        self.given_up: dict[str, str] = {}
        self.has_changed = False
        self.notes: dict[str, None] = {}
        self.notes_without_texts: dict[str, None] = {}
        self.n_requests: dict[Copy, int] = {}
        self.numbers = itertools.count()
        self.lock = threading.RLock()
        self._cluster = cluster
        self._reference: Any = None
        self._deaths = Counter[str]()

    def start(self, node: Node) -> Actor:
        """A new actor on a node."""
        # Each thread of the driver may wait for answers while another one begins a call.
        at_once = 2 * self.order.facts.shards_at_once - 1
        return Actor(self._cluster, Work(Replica, self.placement.needs(node), at_once), node)

    def order_reference(self, *, files: bool = False) -> Any:
        """The order in the object store; with the files of the model if ``files``."""
        with self.lock:
            if files and not self.order.files:
                self.order = with_files(self._cluster, self.order)
                self._reference = None
            if self._reference is None:
                self._reference = self._cluster.ray.put(self.order)
            return self._reference

    def n_on(self, node: Node) -> int:
        """How many copies work on a node."""
        with self.lock:
            return max(1, sum(copy.node.node_id == node.node_id for copy in self.copies))

    def lose(self, copy: Copy, reason: str) -> None:
        """Note that an actor died; a node where they die before they answer is given up."""
        name = self.seen.name
        with self.lock:
            if copy not in self.copies:
                return
            self.remove(copy)
            if _OUT_OF_MEMORY in reason:  # memory that others use too
                self.most = max(1, len(self.copies))
            sys.stderr.write(
                f"cluster: {name} on node {copy.node.name} died ({reason}); the texts that it had "
                "not answered are asked again\n"
            )
            if copy.n_answered:
                return
            self._deaths[copy.node.node_id] += 1
            n_deaths = self._deaths[copy.node.node_id]
        if n_deaths >= _MOST_DEATHS:
            self.give_up(copy.node, f"it died {n_deaths} times before it answered: {reason}")

    def remove(self, copy: Copy) -> None:
        """Take a copy off the list."""
        with self.lock:
            if copy in self.copies:
                self.copies.remove(copy)
                self.has_changed = True

    def give_up(self, node: Node, reason: str) -> None:
        """Start nothing more on a node."""
        text = f"cluster: node {node.name} cannot run {self.seen.name} ({reason})."
        with self.lock:
            if node.node_id not in self.given_up:
                sys.stderr.write(f"{text} It is left out.\n")
            self.given_up[node.node_id] = text

    def keep_notes(self, copy: Copy, reply: Reply) -> None:
        """Keep the notes of an engine, each once."""
        with self.lock:
            self.notes.update(dict.fromkeys(reply.notes))
            self.notes_without_texts.update(dict.fromkeys(reply.notes_without_texts))
            self.n_requests[copy] = reply.n_requests


class Copy:
    """One actor with its engine. It starts when it is first needed."""

    def __init__(self, fleet: Fleet, node: Node) -> None:
        """``node``: where it is."""
        self.node = node
        self.n_answered = 0  # calls
        self._fleet = fleet
        self._lock = threading.Lock()
        self._actor: Actor | None = None
        self._opening: Any = None
        self._patient_until = math.inf

    @property
    def is_lost(self) -> bool:
        """Whether it died or was closed."""
        return self not in self._fleet.copies

    def is_ready(self, seconds: float) -> bool:
        """Whether its engine is open, after ``seconds`` at the latest."""
        with self._lock:
            if self.is_lost:
                raise self.lose("it was closed")
            if self._actor is None:
                self._actor = self._fleet.start(self.node)
                self._patient_until = time.monotonic() + _PATIENT_SECONDS
                self._opening = self._actor.begin("open", self._fleet.order_reference())
            if self._opening is None:
                return True
            with self._deaths():
                if not self._actor.is_done(self._opening, seconds):
                    self._report_waiting()
                    return False
                opened: Opened = self._actor.result(self._opening)
            if opened.lacks_files:
                reference = self._fleet.order_reference(files=True)
                self._opening = self._actor.begin("open", reference)
                return False
            if opened.error:
                self._fleet.remove(self)
                self._fleet.give_up(self.node, opened.error)
                raise self.lose(opened.error)
            self._opening = None
            return True

    def _report_waiting(self) -> None:
        """Print once that the node has no room, which other work may hold for long."""
        if time.monotonic() > self._patient_until:
            self._patient_until = math.inf
            sys.stderr.write(
                f"cluster: waiting for room on node {self.node.name}, which other work holds, or "
                "for its process to start\n"
            )

    def call(self, method: str, *arguments: object) -> Any:
        """What a method of the actor returns; raises WorkerLost if it died."""
        if self._actor is None:
            return None
        with self._deaths():
            return self._actor.call(method, *arguments)

    @contextlib.contextmanager
    def _deaths(self) -> Iterator[None]:
        try:
            yield
        except ActorDied as death:
            raise self.lose(str(death)) from None

    def lose(self, reason: str) -> WorkerLost:
        """Give the actor up; returns the error to raise."""
        self._fleet.lose(self, reason)
        if self._actor:
            self._actor.kill()
        return WorkerLost(f"{self._fleet.seen.name} on node {self.node.name} died ({reason}).")

    def begin_close(self) -> tuple[Actor, Any] | None:
        """Begin to close the engine: the actor, and the reference; None where none is open."""
        self._fleet.remove(self)
        if self._actor and self._opening is None:
            return self._actor, self._actor.begin("close")
        if self._actor:
            self._actor.kill()
        return None
