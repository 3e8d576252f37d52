"""Tasks that tests run on the nodes of a Ray cluster."""

import os
from pathlib import Path


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
