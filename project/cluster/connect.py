"""The connection to a Ray cluster, and its nodes."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from project.config.cluster import ANY_CLUSTER, LOCAL_CLUSTER
from project.support.errors import AssayError, Incomplete
from project.support.machine import cpu_cores
from project.support.redact import short_message

_PACKAGE = Path(__file__).parents[1]  # the folder project/, which is sent to the nodes
_CONNECT_SECONDS = 5.0  # to reach a port
_ANSWER_SECONDS = 20.0  # for Ray's head node to answer
_NODE_SECONDS = 180.0  # for every node to answer; it starts a process and imports torch
_CLIENT = "ray://"
_START = (
    "Start Ray there (`ray start --head`), or run with cluster=local or cluster=none. See "
    "docs/cluster.md"
)


_GONE = ("NodeDiedError", "TaskUnschedulableError")
"""Errors of Ray for a task whose node is not there any more."""


class _NodeGoneError(Exception):
    """A node went away while it was asked."""


class Node(NamedTuple):
    """A node that can run tasks: its id and name, CPUs, GPUs, and bytes of memory for tasks."""

    node_id: str
    name: str
    cpus: float
    gpus: float
    memory: int


class Cluster:
    """A cluster to which this process is connected."""

    def __init__(self, ray: Any) -> None:
        """``ray``: the module, after ``ray.init``."""
        self.ray = ray

    def nodes(self) -> list[Node]:
        """The nodes that are alive and may run tasks, in the order of their ids."""
        nodes = []
        for facts in self.ray.nodes():
            resources = facts["Resources"]
            if facts["Alive"] and resources.get("CPU", 0) >= 1:
                nodes.append(
                    Node(
                        facts["NodeID"],
                        facts.get("NodeName") or facts["NodeManagerAddress"],
                        cpus=resources["CPU"],
                        gpus=resources.get("GPU", 0.0),
                        memory=int(resources.get("memory", 0)),
                    )
                )
        return sorted(nodes)

    def on_every_node(
        self, function: Callable[[Any], Any], argument: object, *, with_gpu: bool = False
    ) -> dict[Node, Any]:
        """What ``function(argument)`` returns on each node; one that goes away is left out.

        Parameters
        ----------
        function
            A function of a module of ``project``.
        argument
            Its argument.
        with_gpu
            Whether it sees a GPU on nodes that have one.

        Raises
        ------
        AssayError
            If no node is left, or one does not answer or cannot run the function.
        """
        nodes = self.nodes()
        if not nodes:
            raise Incomplete(
                "cluster: no node of it has a CPU for tasks. Add a node (`ray start --address ...`)"
                " and run again."
            )
        running = {}
        for node in nodes:
            task = self.ray.remote(function).options(
                num_cpus=0,
                num_gpus=0.01 if with_gpu and node.gpus else 0,
                max_retries=0,
                scheduling_strategy=self.pinned(node.node_id),
            )
            running[task.remote(argument)] = node
        done, late = self.ray.wait([*running], num_returns=len(running), timeout=_NODE_SECONDS)
        for reference in late:
            self.ray.cancel(reference, force=True)
        if late:
            raise Incomplete(
                f"cluster: node {running[late[0]].name} did not answer within "
                f"{_NODE_SECONDS:.0f} s. Look whether other work holds it, or remove it from the "
                "cluster, and run again."
            )
        answers = {}
        for reference in done:
            with contextlib.suppress(_NodeGoneError):
                answers[running[reference]] = self._answer(running[reference], reference)
        if not answers:
            raise Incomplete("cluster: all nodes went away while they were asked. Run again.")
        return answers

    def _answer(self, node: Node, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except Exception as error:  # Ray wraps whatever went wrong on the node
            if type(error).__name__ in _GONE:
                raise _NodeGoneError from None
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, AssayError):
                raise AssayError(
                    f"cluster: node {node.name}: {short_message(cause, 500)}"
                ) from None
            raise AssayError(
                f"cluster: node {node.name} cannot run Assay ({type(cause).__name__}: "
                f"{short_message(cause)}). Install requirements.txt and requirements-ray.txt there "
                "as here, and run again."
            ) from None

    def pinned(self, node_id: str, *, soft: bool = False) -> Any:
        """The scheduling strategy that keeps a task on a node."""
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        return strategies.NodeAffinitySchedulingStrategy(node_id, soft=soft)


@contextlib.contextmanager
def connected(cluster: str) -> Iterator[Cluster]:
    """A connection that ends with the context.

    Parameters
    ----------
    cluster
        ``local`` starts Ray on this machine. The other values of the parameter ``cluster`` name a
        cluster that exists.

    Raises
    ------
    AssayError
        If Ray is not installed, there is no such cluster, or its Python or Ray differs.
    """
    ray = _ray(cluster)
    in_main = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        if cluster == LOCAL_CLUSTER:
            _initialise(ray, "local", num_cpus=cpu_cores(), include_dashboard=False)
        else:
            _initialise(ray, _found(cluster))
        if in_main:  # Ray sets a handler of its own
            for number, handler in handlers.items():
                signal.signal(number, handler)
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _ray(cluster: str) -> Any:
    """The module Ray, without its telemetry; raises AssayError where it is not installed."""
    if importlib.util.find_spec("ray") is None:
        raise AssayError(
            f"cluster={cluster} needs Ray, which is not installed here: pip install -r "
            "requirements-ray.txt"
        )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if cluster == LOCAL_CLUSTER:
        # With this variable Ray listens on the loopback address alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    elif _has_token():
        # Ray looks for a token by itself where this machine is a node, and not in a client.
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    return importlib.import_module("ray")


def _has_token() -> bool:
    """Whether there is a token for Ray's authentication, in a variable or in its file."""
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    path = os.environ.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token"
    return Path(path).is_file()


def _initialise(ray: Any, address: str, **options: Any) -> None:
    """``ray.init`` with the code of this process; its errors in one line."""
    environment = {
        "py_modules": [str(_PACKAGE)],
        "excludes": ["**/__pycache__"],
        # The weights are sent, so that no node needs the hub or a token for it.
        "env_vars": {"HF_HUB_OFFLINE": "1"},
    }
    try:
        ray.init(
            address=address,
            runtime_env=environment,
            log_to_driver=False,
            logging_level="ERROR",
            **options,
        )
    except Exception as error:  # Ray raises many types
        reason = short_message(error)
        if "ersion mismatch" in str(error):
            raise AssayError(
                f"cluster: Python or Ray of {address} differs from here ({reason}). Use the same "
                "Python, and requirements-ray.txt, on the nodes and here."
            ) from None
        raise Incomplete(
            f"cluster: no connection to {address} ({type(error).__name__}: {reason}). {_START}."
        ) from None


def _found(cluster: str) -> str:
    """The address of a cluster that answers."""
    address = cluster
    if cluster == ANY_CLUSTER:
        address = os.environ.get("RAY_ADDRESS", ANY_CLUSTER)
    if address == ANY_CLUSTER:
        services = importlib.import_module("ray._private.services")
        try:
            address = services.canonicalize_bootstrap_address_or_die(address)
        except ConnectionError:
            raise Incomplete(
                "cluster=auto found no Ray cluster: RAY_ADDRESS is not set, and this machine "
                f"belongs to none. {_START}."
            ) from None
    if address.startswith(_CLIENT) and importlib.util.find_spec("grpc") is None:
        raise AssayError(
            f"cluster={address} needs grpcio, which is not installed here: pip install -r "
            "requirements-ray.txt"
        )
    check_port(address)
    if not address.startswith(_CLIENT):  # a client's connection has a limit of its own
        check_answers(address)
    return address


def check_port(address: str) -> None:
    """Raise Incomplete where nothing listens at an address."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            pass
    except (OSError, ValueError) as error:
        raise Incomplete(
            f"cluster: {address} cannot be reached ({short_message(error)}). {_START}."
        ) from None


def check_answers(address: str) -> None:
    """Raise Incomplete where no head node of Ray answers; ``ray.init`` would try for minutes."""
    answers: list[object] = []
    library = importlib.import_module("ray._raylet")

    def ask() -> None:
        with contextlib.suppress(Exception):
            answers.append(library.GcsClient(address=address))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    if not answers:
        raise Incomplete(
            f"cluster: no head node of Ray answers at {address} within {_ANSWER_SECONDS:.0f} s. "
            "Its port is 6379 for HOST:PORT unless you chose another, and 10001 for ray://HOST. "
            f"{_START}."
        )
