"""Processes by their number."""

import contextlib
import os


def is_running(number):
    """Whether a process runs or waits to be collected by its parent."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(number, 0)
        return True
    return False
