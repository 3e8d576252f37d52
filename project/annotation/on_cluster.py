"""Annotation on a Ray cluster: one actor for each copy of the engine, and their answers.

Plain actors, not Ray Data, for four promises. Answers are written here as they come, also those of
a block whose actor dies later: Ray Data hands over whole blocks, and asks a lost one again as a
whole. The limits on costs are checked before each block is sent, where Ray Data reads ahead. A
block is sent to the actor that has its prompt in the cache. And it works through ``ray://``, where
Ray streams no results of actors: here the driver asks an actor for what has come.

The threads of :mod:`project.annotation.workers` share the blocks among the copies, as without Ray.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import overload

from project.annotation.copies import Copy, Fleet
from project.annotation.on_node import look
from project.annotation.orders import agreed, order_of, placement_of, with_files
from project.annotation.remote import RemoteAnnotator
from project.cluster.connect import Cluster, Node
from project.config.experiment import ExperimentConfig
from project.config.fields import AUTO
from project.data.task import Task
from project.support.errors import Incomplete

_LOOK_SECONDS = 2.0  # between two looks at the nodes
_CLOSE_SECONDS = 10.0  # for an engine to free its model


def open_on_cluster(cluster: Cluster, config: ExperimentConfig, task: Task) -> RemoteAnnotators:
    """The annotators of a configuration on the nodes of a cluster. No model is loaded yet.

    Raises
    ------
    AssayError
        If a node lacks a package or a key, or no node can hold the model.
    """
    order = order_of(config, task)
    nodes = cluster.nodes()
    placement = placement_of(order, nodes)
    if order.facts.server:
        order = with_files(cluster, order)
    seen = cluster.on_every_node(look, order, with_gpu=placement.on_gpu)
    if None in seen.values():
        order = with_files(cluster, order)
        seen = cluster.on_every_node(look, order, with_gpu=placement.on_gpu)
    common = agreed([one for node, one in seen.items() if placement.slots(node)])
    identity = dict(common.identity)
    if order.source:
        # Nodes may load it from a folder of another name.
        identity["model" if order.facts.local_weights else "tokenizer"] = order.source.identity
        if order.facts.local_weights:
            common = common._replace(name=order.source.name)
    if identity.get("dtype", AUTO) != AUTO:
        annotate = dataclasses.replace(
            order.arguments["annotate"], annotator_dtype=identity["dtype"]
        )
        order = order._replace(arguments={**order.arguments, "annotate": annotate})
    common = common._replace(identity=identity)
    return RemoteAnnotators(cluster, Fleet(cluster, order, placement, common))


class RemoteAnnotators(Sequence[RemoteAnnotator]):
    """The copies of one annotator on a cluster; they follow its nodes as these come and go."""

    def __init__(self, cluster: Cluster, fleet: Fleet) -> None:
        """Nothing starts yet. ``fleet``: what the copies share."""
        self._cluster = cluster
        self._fleet = fleet
        self._annotators: list[RemoteAnnotator] = []
        self._looked = -_LOOK_SECONDS
        self._n_nodes = len(cluster.nodes())
        self.newcomers()

    def __len__(self) -> int:
        """How many annotators there are now."""
        return len(self._annotators)

    @overload
    def __getitem__(self, index: int) -> RemoteAnnotator: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RemoteAnnotator]: ...
    def __getitem__(self, index: int | slice) -> RemoteAnnotator | Sequence[RemoteAnnotator]:
        """One of the annotators, or several."""
        return self._annotators[index]

    @property
    def n_copies(self) -> int:
        """How many engines there are."""
        return len(self._fleet.copies)

    @property
    def n_machines(self) -> int:
        """How many nodes hold an engine; at least 1."""
        return max(1, len({copy.node.node_id for copy in self._fleet.copies}))

    @property
    def where(self) -> str:
        """How many copies there are and on how many nodes, in words."""
        copies = f"{self.n_copies} {'copies' if self.n_copies > 1 else 'copy'}"
        return f"{copies} on {self.n_machines} node{'s' if self.n_machines > 1 else ''}"

    def newcomers(self) -> list[RemoteAnnotator]:
        """Annotators for the room that the cluster has now, and had not at the last call.

        Raises Incomplete if every node was given up.
        """
        fleet = self._fleet
        if time.monotonic() - self._looked < _LOOK_SECONDS and not fleet.has_changed:
            return []
        fleet.has_changed = False
        self._looked = time.monotonic()
        nodes = self._cluster.nodes()
        self._report(nodes)
        with fleet.lock:
            copies = self._new_copies(
                [node for node in nodes if node.node_id not in fleet.given_up]
            )
            fleet.copies += copies
            added = [
                RemoteAnnotator(fleet, copy, self.close)
                for copy in copies
                for _ in range(fleet.order.facts.shards_at_once)
            ]
            for annotator in added:
                annotator.needed = self._annotators[0].needed if self._annotators else {}
            alive = [one for one in self._annotators if not one.copy.is_lost]
            # One stays in any case: it has the name and the identity of all.
            self._annotators = [*alive, *added] or self._annotators[:1]
            if nodes and fleet.given_up and not fleet.copies:
                (*_, reason) = fleet.given_up.values()
                raise Incomplete(f"{reason} Answers on disk are kept; run again to go on.")
        return added

    def _new_copies(self, nodes: Sequence[Node]) -> list[Copy]:
        """Copies for the room that is left on nodes."""
        n_on_node = Counter(copy.node.node_id for copy in self._fleet.copies)
        new = [
            Copy(self._fleet, node)
            for node in nodes
            for _ in range(self._fleet.placement.slots(node) - n_on_node[node.node_id])
        ]
        return new[: max(0, self._fleet.most - len(self._fleet.copies))]

    def _report(self, nodes: Sequence[Node]) -> None:
        """Print on stderr how many nodes there are, where that has changed."""
        if len(nodes) != self._n_nodes:
            rest = "" if nodes else "; waiting for a node, Ctrl-C keeps all answers"
            sys.stderr.write(f"cluster: {len(nodes)} nodes now, {self._n_nodes} before{rest}\n")
        self._n_nodes = len(nodes)

    def close(self) -> None:
        """Close all engines and end their actors; a later call starts others."""
        closing = [began for copy in [*self._fleet.copies] if (began := copy.begin_close())]
        end = time.monotonic() + _CLOSE_SECONDS
        for actor, reference in closing:
            with contextlib.suppress(Exception):  # the cluster may be gone
                actor.is_done(reference, max(0.0, end - time.monotonic()))
            actor.kill()
