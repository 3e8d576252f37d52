"""Sends what the store did not accept earlier, so that nothing is missing in it afterwards."""

from __future__ import annotations

from collections.abc import Callable

import mlflow
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.support.privacy import owner_only
from project.tracking.delivery import send_all
from project.tracking.entries import Entry, RootRun
from project.tracking.failures import StoreUnavailable, address, store_errors
from project.tracking.names import PRIVATE
from project.tracking.spool import Spool


def send_spool(spool: Spool, make_report: Callable[[RootRun], None]) -> int:
    """Send the entries that wait in a spool.

    Parameters
    ----------
    spool
        Locked by this process.
    make_report
        Makes the report of a root run whose results are complete, from the store. It is called
        just before the root run ends.

    Returns
    -------
    int
        How many entries waited.

    Raises
    ------
    StoreUnavailable
        If the store is still away; what it did not take stays in the spool.
    AssayError
        If the store is not the one of the root run, the root run is deleted, or the store refuses
        entries for good.
    """
    root = spool.root
    n_pending = len(spool.pending())
    run = _find_root(spool)

    def report_first(entry: Entry) -> None:
        # The report is made from the store, which holds all results only now, and it belongs to
        # the root run, which must not end without it.
        if entry.report_due:
            make_report(root)

    try:
        with owner_only(run.data.tags.get(PRIVATE) == "true", spool.folder):
            send_all(spool, before_each=report_first)
    except StoreUnavailable as error:
        n_sent = n_pending - len(spool.pending())
        raise StoreUnavailable(
            f"the tracking store {address()} accepted {n_sent} of {n_pending} entries, then: "
            f"{error} The rest waits in {spool.folder}."
        ) from error
    if n_refused := len(spool.refused()):
        raise AssayError(
            f"the tracking store {address()} refused {n_refused} of {n_pending} entries, for the "
            f"reasons above; they stay in {spool.folder}."
        )
    return n_pending


def _find_root(spool: Spool) -> Run:
    """The root run in the store, which must be there: what waits is part of it or lies below it."""
    root = spool.root
    with store_errors():
        try:
            run = MlflowClient().get_run(root.run_id)
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise AssayError(
                f"run {root.run_id} is not in the tracking store {address()}; what waits in "
                f"{spool.folder} belongs to {root.store}. Set MLFLOW_TRACKING_URI to that."
            ) from error
    if run.info.lifecycle_stage == "deleted":
        raise AssayError(
            f"run {root.run_id} of the tracking store {address()} is deleted. Restore it (mlflow "
            f"runs restore --run-id {root.run_id}), or remove {spool.folder}."
        )
    return run
