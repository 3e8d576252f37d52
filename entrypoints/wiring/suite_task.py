"""One task of a suite in a process of its own: the experiment, tagged as a part of the suite.

python -m entrypoints.wiring.suite_task SUITE KEY --task a.yaml ...
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence

from entrypoints.wiring.command import main

_SECONDS_BETWEEN_LOOKS = 2.0


def command(suite: str, key: str, params: Mapping[str, str]) -> list[str]:
    """The command line of a task.

    Parameters
    ----------
    suite
        Name of the suite.
    key
        Digest of the task's parameters and inputs.
    params
        Parameters of the entry point ``main`` as text.
    """
    words = [sys.executable, "-m", __name__, suite, key]
    for name, text in params.items():
        words.append(f"--{name}={text}")
    return words


def run(arguments: Sequence[str]) -> None:
    """Run the experiment of the task; ends as the entry point ``main`` does."""
    suite, key, *own = arguments

    def experiment(params: Mapping[str, str]) -> None:
        from entrypoints.main import experiment as run_experiment
        from project.tracking import SUITE, SUITE_TASK, tagged

        with tagged({SUITE: suite, SUITE_TASK: key}):
            run_experiment(params)

    threading.Thread(target=_stop_with_parent, args=[os.getppid()], daemon=True).start()
    sys.argv = [sys.argv[0], *own]
    main("main", experiment)


def _stop_with_parent(parent: int) -> None:
    """Stop this process once the one that started it, ``parent``, is gone."""
    while os.getppid() == parent:
        time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run(sys.argv[1:])
