"""One task of a suite in a process of its own: the experiment, tagged as a part of the suite.

python -m entrypoints.wiring.suite_task PARENT SUITE '{"KEY": ""}' --task a.yaml ...

Labels that one encoder learns are one process: {"KEY_1": "billing", "KEY_2": "delivery"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence

_SECONDS_BETWEEN_LOOKS = 2.0


def command(suite: str, labels: Mapping[str, str], params: Mapping[str, str]) -> list[str]:
    """The command line of a task, which ends once this process is gone.

    Parameters
    ----------
    suite
        Name of the suite.
    labels
        Digest of the task's parameters and inputs -> empty. For labels that one encoder learns:
        the digest of each -> the label.
    params
        Parameters of the entry point ``main`` as text.
    """
    words = [sys.executable, "-m", __name__, str(os.getpid()), suite, json.dumps(labels)]
    return [*words, *(f"--{name}={text}" for name, text in params.items())]


def run(arguments: Sequence[str]) -> None:
    """Run the experiment of the task; ends as the entry point ``main`` does."""
    parent, suite, given, *own = arguments
    # Before the imports, which take seconds: the suite may be killed in the meantime.
    threading.Thread(target=_stop_with_parent, args=[int(parent)], daemon=True).start()
    from entrypoints.wiring.command import main

    def experiment(params: Mapping[str, str]) -> None:
        from entrypoints.main import experiment as run_experiment
        from entrypoints.wiring.labels_together import LabelOfMany, run_labels
        from project.tracking import SUITE, SUITE_TASK, tagged

        labels: Mapping[str, str] = json.loads(given)
        with tagged({SUITE: suite}):
            if len(labels) > 1:
                each = [LabelOfMany(label, {SUITE_TASK: key}) for key, label in labels.items()]
                run_labels(params, each)
                return
            with tagged({SUITE_TASK: next(iter(labels))}):
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
