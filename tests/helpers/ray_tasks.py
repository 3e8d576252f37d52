"""Nodes of a small Ray cluster, and tasks that tests run on them."""

import os
from pathlib import Path

import pytest

NODE = {"num_cpus": 1, "object_store_memory": 80 << 20, "memory": 2 << 30}
"""Options of each node."""
MARKS = [
    pytest.mark.xdist_group("ray"),
    # Ray leaves files and sockets of its processes to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
"""Marks of every file of tests that use Ray."""
KEY_VARIABLE = "KEY_OF_A_SERVER"
KEY_OF_NODES = "sk-of-the-nodes"
"""An environment variable, and its value where the nodes are started."""


def double(argument, send):
    """Send the argument and return it twice; ``die`` ends the worker without a word."""
    if argument == "die":
        os._exit(1)
    if argument == "fail":
        raise RuntimeError("this one fails")
    send({"got": argument})
    return 2 * argument


def die_once(argument, send):
    """End the worker the first time; ``argument`` is a file that remembers it."""
    del send
    path = Path(argument)
    if not path.exists():
        path.touch()
        os._exit(1)
    return "again"
