"""The report of a root run of any kind, and when it is made."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

from entrypoints.wiring.terminal import print_line
from project.support.errors import AssayError, Incomplete
from project.tracking import (
    KIND,
    StoreUnavailable,
    Tracker,
    latest_root,
    read_run,
    write_verdicts,
)


def publish_report(
    run_id: str,
    kind: str,
    workspace: str,
    *,
    tolerance: float | None = None,
    min_alpha: float | None = None,
) -> None:
    """Write the report of a root run, log it, and print its tables.

    Parameters
    ----------
    run_id
        The root run; empty for the newest finished experiment.
    kind
        Kind of the root run.
    workspace
        Folder in which the report is written.
    tolerance, min_alpha
        Limits of the verdict; the run's own by default. Only experiments and budgets have a
        verdict.
    """
    # Each report imports what it draws with, so only the one that is needed is imported.
    if kind == "curve":
        from analysis.questions import curve

        curve.publish(run_id, workspace)
    elif kind == "grid":
        from analysis.questions import grid

        grid.publish(run_id, workspace)
    elif kind == "sweep":
        from analysis.questions import sweep

        sweep.publish(run_id, workspace)
    elif kind == "suite":
        from analysis.questions import suite

        suite.publish(run_id, workspace, tolerance, min_alpha)
    elif kind == "taxonomy":
        from analysis.questions import taxonomy

        taxonomy.publish(run_id, workspace)
    elif kind in ("audit", "audit plan"):
        from analysis.questions import audit

        audit.publish_report(run_id, workspace)
    else:
        publish_experiment(run_id, workspace, tolerance, min_alpha)


def publish_side_by_side(
    run_ids: Sequence[str], workspace: str, tolerance: float | None, min_alpha: float | None
) -> None:
    """Write one page on several experiments or budgets; the runs stay as they are.

    Raises
    ------
    AssayError
        If one of the runs is of another kind.
    """
    from analysis.questions.side_by_side import publish

    for run_id in run_ids:
        kind = read_run(run_id).tags.get(KIND, "")
        if kind not in ("experiment", "budget"):
            raise AssayError(
                "run_id must name experiments or budgets where it names several runs; "
                f"{run_id} is of the kind {kind or 'unknown'}."
            )
    publish(run_ids, workspace, tolerance, min_alpha)


def publish_experiment(
    run_id: str, workspace: str, tolerance: float | None = None, min_alpha: float | None = None
) -> None:
    """Publish the report of an experiment or a budget, and note its verdict in its models' cards.

    Parameters
    ----------
    run_id, workspace, tolerance, min_alpha
        See :func:`publish_report`.
    """
    from analysis import report

    report.publish(run_id, workspace, tolerance, min_alpha)
    try:
        write_verdicts(run_id or latest_root().run_id)
    except StoreUnavailable as error:  # the report is complete, and holds the verdict too
        print_line(f"note: the model cards of the logged classifiers lack the verdict: {error}")


@contextlib.contextmanager
def publish_after(tracker: Tracker, publish: Callable[[], None]) -> Iterator[None]:
    """Publish a report after the work in the context, also where the work stays incomplete.

    The report is made from the store, which must hold everything first. Where the store is not
    available, the entry point ``relog`` makes the report later.
    """
    try:
        yield
    except Incomplete:
        # The report names what is missing. Where it cannot be made, the reason for the incomplete
        # work matters more than the reason for the missing report.
        with contextlib.suppress(AssayError):
            tracker.flush()
            publish()
        raise
    tracker.computed = True
    tracker.flush()
    publish()
