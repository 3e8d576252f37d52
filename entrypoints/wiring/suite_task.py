"""One task of a suite in a process of its own: the experiment, tagged as a part of the suite.

python -m entrypoints.wiring.suite_task PARENT SUITE KEY --task a.yaml ...
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence

_SECONDS_BETWEEN_LOOKS = 2.0


def command(suite: str, key: str, params: Mapping[str, str]) -> list[str]:
    """The command line of a task, which ends once this process is gone.

    Parameters
    ----------
    suite
        Name of the suite.
    key
        Digest of the task's parameters and inputs.
    params
        Parameters of the entry point ``main`` as text.
    """
    words = [sys.executable, "-m", __name__, str(os.getpid()), suite, key]
    return [*words, *(f"--{name}={text}" for name, text in params.items())]


def run(arguments: Sequence[str]) -> None:
    """Run the experiment of the task; ends as the entry point ``main`` does."""
    parent, suite, key, *own = arguments
    # Before the imports, which take seconds: the suite may be killed in the meantime.
    threading.Thread(target=_stop_with_parent, args=[int(parent)], daemon=True).start()
    from entrypoints.wiring.command import main

    def experiment(params: Mapping[str, str]) -> None:
        from entrypoints.main import experiment as run_experiment
        from project.tracking import SUITE, SUITE_TASK, tagged

        with tagged({SUITE: suite, SUITE_TASK: key}):
            run_experiment(params)

    sys.argv = [sys.argv[0], *own]
    main("main", experiment)


def _stop_with_parent(parent: int) -> None:
    """Stop this process once the one that started it, ``parent``, is gone."""
    above = os.getppid()
    # A parent that nobody collects still exists, but its processes have another one by then.
    with contextlib.suppress(ProcessLookupError):
        while os.getppid() == above:
            os.kill(parent, 0)
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    run(sys.argv[1:])
