"""What a node of a cluster does for annotation: it opens an engine, and reads texts with it."""

from __future__ import annotations

import dataclasses
import inspect
import os
import queue
import sys
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from project.annotation.engines.base import Annotator, Answers
from project.annotation.engines.factory import check_package, open_engine
from project.annotation.prompt import Prompt
from project.cluster.checks import differences, versions
from project.cluster.files import Bundle, unpacked
from project.config.engines import EngineFacts
from project.support.errors import AssayError, Incomplete
from project.support.models import ANNOTATOR_PACKAGE, BUNDLED, ModelSource, annotator_source
from project.support.redact import scrubbed, short_message

_WAIT_SECONDS = 1.0  # after which "no answer yet" is the reply to the driver


class Order(NamedTuple):
    """An engine to open on a node. It holds no secret.

    Attributes
    ----------
    engine, facts
        Name of the engine, and the facts about it.
    arguments
        What its class takes, by the names of ``ARGUMENTS``.
    source, files
        The model or tokenizer that it loads, and the files of it. No source: it loads none. No
        files: every node that was there at the start has them.
    key_variable
        Environment variable that must hold a key on the node; empty if none is needed.
    versions
        The driver's, see :func:`project.cluster.checks.versions`.
    """

    engine: str
    facts: EngineFacts
    arguments: Mapping[str, Any]
    source: ModelSource | None
    files: Bundle | None
    key_variable: str
    versions: Mapping[str, str]


class Seen(NamedTuple):
    """What an annotator says of itself on a node; ``can_stop``: it has a method ``stop``."""

    name: str
    identity: Mapping[str, str]
    earlier_identities: Sequence[Mapping[str, str]]
    keyed_by: str
    shard_size: int
    can_stop: bool


class Opened(NamedTuple):
    """How opening an engine went: whether files are missing, and the error, empty for none."""

    lacks_files: bool
    error: str


class Arrival(NamedTuple):
    """Answers to the items at ``positions`` of a call."""

    positions: list[int]
    answers: Answers


class Reply(NamedTuple):
    """The end of a call.

    ``error``: the class to raise with the message ``value``; None where ``value`` is the result.
    The other fields are those of the annotator.
    """

    error: type[AssayError] | None
    value: Any
    notes: Sequence[str]
    notes_without_texts: Sequence[str]
    n_requests: int


class Replica:
    """An actor that holds one engine. Calls run in threads, and answers are taken as they come."""

    def __init__(self) -> None:
        """Nothing is opened yet."""
        self._annotator: Any = None
        # Threads that stay, because each new one would start the threads of torch again.
        self._threads = ThreadPoolExecutor(1)
        self._calls: dict[int, queue.SimpleQueue[Arrival | Reply]] = {}

    def open(self, order: Order) -> Opened:
        """Open the engine; its model is loaded by the first call."""
        if differing := differences(order.versions, versions()):
            return Opened(False, f"it has {', '.join(differing)}.")
        try:
            if lacks_files(order):
                return Opened(True, "")
            self._annotator = opened(order)
        except AssayError as error:
            return Opened(False, str(error))
        self._threads = ThreadPoolExecutor(order.facts.shards_at_once)
        return Opened(False, "")

    def begin(
        self,
        number: int,
        method: str,
        prompt: Prompt,
        items: Sequence[str],
        needed: Mapping[str, str],
    ) -> None:
        """Begin a call of the annotator's ``method``.

        Parameters
        ----------
        number
            Names the call.
        method, prompt, items
            ``read`` or ``size``, and its arguments.
        needed
            For engines with this attribute.
        """
        self._calls[number] = queue.SimpleQueue()
        if hasattr(self._annotator, "needed"):
            self._annotator.needed = needed
        self._threads.submit(self._run, number, method, prompt, items)

    def more(self, number: int) -> list[Arrival | Reply]:
        """What has come since the last call of this method, after a second at the latest."""
        results = self._calls[number]
        came = []
        try:
            came.append(results.get(timeout=_WAIT_SECONDS))
            while True:
                came.append(results.get_nowait())
        except queue.Empty:
            pass
        if came and isinstance(came[-1], Reply):
            del self._calls[number]
        return came

    def stop(self) -> None:
        """Send nothing new, see :class:`project.annotation.engines.base.Annotator`."""
        self._annotator.stop()

    def close(self) -> None:
        """Free the model, processes and connections."""
        if self._annotator is not None:
            self._annotator.close()

    def _run(self, number: int, method: str, prompt: Prompt, items: Sequence[str]) -> None:
        results = self._calls[number]
        error: type[AssayError] | None = None
        try:
            value = self._called(results, method, prompt, items)
        except AssayError as problem:
            # A subclass may not be picklable; callers tell these two apart alone.
            error = Incomplete if isinstance(problem, Incomplete) else AssayError
            value = scrubbed(str(problem))
            if isinstance(problem, Incomplete) and problem.partial:
                results.put(Arrival(*problem.partial))
        except Exception as problem:  # any other error must reach the driver too
            sys.stderr.write(scrubbed(traceback.format_exc()))
            error = Incomplete
            value = f"{type(problem).__name__}: {short_message(problem)}"
        notes = tuple(getattr(self._annotator, "notes", ()))
        without_texts = tuple(getattr(self._annotator, "notes_without_texts", notes))
        n_requests = getattr(self._annotator, "n_requests", 0)
        results.put(Reply(error, value, notes, without_texts, n_requests))

    def _called(
        self,
        results: queue.SimpleQueue[Arrival | Reply],
        method: str,
        prompt: Prompt,
        items: Sequence[str],
    ) -> Any:
        function = getattr(self._annotator, method)
        if "arrived" not in inspect.signature(function).parameters:
            return function(prompt, items)
        return function(prompt, items, arrived=lambda *come: results.put(Arrival(*come)))


def look(order: Order) -> Seen | None:
    """What the annotator says of itself on this node; None where its files are missing."""
    if lacks_files(order):
        return None
    annotator = opened(order)
    return Seen(
        name=annotator.name,
        identity=dict(annotator.identity),
        earlier_identities=[*getattr(annotator, "earlier_identities", ())],
        keyed_by=annotator.keyed_by,
        shard_size=annotator.shard_size,
        can_stop=hasattr(annotator, "stop"),
    )


def check_node(order: Order) -> None:
    """Raise AssayError where this node lacks the engine's package or the server's key."""
    check_package(order.engine, order.facts)
    if order.key_variable and not os.environ.get(order.key_variable):
        raise AssayError(
            f"the environment variable {order.key_variable} is not set there. It holds the key of "
            "the server, and keys are not sent to nodes: set it where Ray is started on each node."
        )


def opened(order: Order) -> Annotator:
    """The annotator on this node. Raises AssayError where it cannot be opened."""
    check_node(order)
    arguments = dict(order.arguments)
    # Weights are large, so those on the node's disk are used. A tokenizer is always sent.
    is_sent = not (order.facts.local_weights and order.source and _is_here(order.source))
    if order.source and order.files and is_sent:
        folder = str(unpacked(order.files))
        section, name = (
            ("annotate", "annotator_model")
            if order.facts.local_weights
            else ("server", "annotator_tokenizer")
        )
        arguments[section] = dataclasses.replace(arguments[section], **{name: folder})
    return open_engine(order.facts.open, *(arguments[name] for name in order.facts.takes))


def lacks_files(order: Order) -> bool:
    """Whether this node has not the files of the model, and they do not come with the order."""
    return order.source is not None and not order.files and not _is_here(order.source)


def _is_here(source: ModelSource) -> bool:
    """Whether this node loads exactly this model or tokenizer from its own disk."""
    if source.revision is None:
        name = BUNDLED if source.identity.startswith(ANNOTATOR_PACKAGE) else source.location
        try:
            return annotator_source(name, "").identity == source.identity
        except AssayError:
            return False
    import huggingface_hub

    try:
        folder = huggingface_hub.snapshot_download(
            source.location, revision=source.revision, local_files_only=True
        )
    except OSError:  # of which the hub's own errors are subclasses
        return False
    return any(Path(folder).glob("*.safetensors"))
