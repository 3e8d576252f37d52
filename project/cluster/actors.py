"""Actors on a cluster: processes with a state, each kept on one node."""

from __future__ import annotations

import contextlib
from typing import Any, NamedTuple

from project.cluster.connect import Cluster, Node
from project.cluster.tasks import Needs, deaths
from project.support.errors import Incomplete
from project.support.redact import short_message

_SHOWN = 200  # characters of an error of Ray


class ActorDied(Exception):
    """An actor, its worker or its node is gone; the message says how, as far as it is known."""


class Work(NamedTuple):
    """What the actors of one kind are.

    Attributes
    ----------
    kind
        Their class, of a module of ``project``.
    needs
        What each takes of its node.
    at_once
        How many of its methods may run at the same time.
    """

    kind: type
    needs: Needs
    at_once: int


class Actor:
    """One actor. It is not started again when it dies."""

    def __init__(self, cluster: Cluster, work: Work, node: Node) -> None:
        """Ask for an actor on a node; it starts when the node has room for it."""
        self._ray = cluster.ray
        options = cluster.ray.remote(work.kind).options(
            num_cpus=work.needs.cpus,
            num_gpus=work.needs.gpus,
            memory=work.needs.memory,
            max_restarts=0,
            max_concurrency=work.at_once,
            scheduling_strategy=cluster.pinned(node.node_id),
        )
        self._handle = options.remote()

    def begin(self, method: str, *arguments: object) -> Any:
        """Call a method; returns the reference of its result."""
        return getattr(self._handle, method).remote(*arguments)

    def is_done(self, reference: Any, seconds: float) -> bool:
        """Whether a call has ended, after ``seconds`` at the latest."""
        return bool(self._ray.wait([reference], timeout=seconds)[0])

    def result(self, reference: Any) -> Any:
        """What a call returned.

        Raises
        ------
        ActorDied
            If the actor died.
        Incomplete
            If the method raised an error.
        """
        try:
            return self._ray.get(reference)
        except Exception as error:  # Ray raises many types, also those of the method
            cause = getattr(error, "cause", None) or error
            text = f"{type(cause).__name__}: {short_message(_end(cause), _SHOWN)}"
            if isinstance(error, deaths(self._ray)):
                raise ActorDied(text) from None
            raise Incomplete(f"cluster: {text}") from None

    def call(self, method: str, *arguments: object) -> Any:
        """What a method returns; see :meth:`result`."""
        return self.result(self.begin(method, *arguments))

    def kill(self) -> None:
        """End its process."""
        with contextlib.suppress(Exception):  # the cluster may be gone
            self._ray.kill(self._handle)


def _end(error: object) -> str:
    """Ray's words on a death without its ids, which tell a user nothing."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if not line.startswith(_IDS))


_IDS = ("class_name:", "actor_id:", "pid:", "name:", "namespace:", "ip:", "lease_id:", "job_id:")
