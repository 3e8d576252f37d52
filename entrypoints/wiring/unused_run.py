"""What becomes of the run that ``mlflow run`` made for a command that logs nothing into it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from entrypoints.wiring.terminal import print_line

_MAY_BE_PRIVATE = ("--private", "--config")
_SAID = "the terminal says why."


def discard_run(
    entry_point: str, arguments: Sequence[str], *, refusal: str = "", failure: str = ""
) -> None:
    """Delete the run that ``mlflow run`` made, unless a root run has taken it over.

    Parameters
    ----------
    entry_point, refusal, failure
        See :func:`project.tracking.discard_unused_run`.
    arguments
        The words of the command line. An error of a private command may quote what must not be
        logged, and so is only said in the terminal.
    """
    # A root run takes the variable away; without it, MLflow need not be imported.
    if "MLFLOW_RUN_ID" not in os.environ:
        return
    from project.tracking import discard_unused_run

    if any(word.startswith(_MAY_BE_PRIVATE) for word in arguments):
        refusal = refusal and _SAID
        failure = failure and _SAID

    if discard_unused_run(entry_point, refusal=refusal, failure=failure):
        print_line("note: nothing was logged into the run that mlflow run made; it is deleted.")
