"""Logging of one run's entries that wait on disk, and of its report."""

from __future__ import annotations

import contextlib
from pathlib import Path

from entrypoints.wiring.reports import publish_report
from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError
from project.tracking import RootRun, StoreUnavailable, send_spool
from project.tracking.spool import Spool


def log_waiting(spool: Spool, workspace: Path) -> list[AssayError]:
    """Log what waits of one run; returns the errors, which are printed too.

    A damaged spool is an error like any other, so that it does not stop the others.
    """
    name = spool.folder.name
    errors: list[AssayError] = []
    try:
        if not spool.lock():
            print_line(f"relog: the process of run {name} is alive and logs its results itself.")
            return []
        with contextlib.closing(spool):
            spool.retry()
            has_ended = spool.ended()
            n_logged = send_spool(spool, lambda root: errors.extend(_report(root, workspace)))
            hint = "" if has_ended else " Its process died; the entry point reap ends the run."
            print_line(f"relog: {n_logged} entries of run {name} are logged.{hint}")
    except AssayError as error:
        errors.append(_printed(error))
    except (OSError, ValueError, TypeError, KeyError) as error:
        kind = type(error).__name__
        errors.append(_printed(AssayError(f"{spool.folder} cannot be read: {kind}: {error}")))
    return errors


def _printed(error: AssayError) -> AssayError:
    print_line(f"relog: {error}")
    return error


def _report(root: RootRun, workspace: Path) -> list[AssayError]:
    """Make a root run's report; returns the error if it cannot be made.

    The run then still ends in the store. Only StoreUnavailable is raised, since nothing of the run
    can be logged then.
    """
    try:
        publish_report(root.run_id, root.kind, str(workspace))
    except StoreUnavailable:
        raise
    except AssayError as error:
        return [_printed(AssayError(f"run {root.run_id} has no report: {error}"))]
    return []
