"""What the store did not take when it was logged, brought there later: the store then holds what it would have held."""

from __future__ import annotations

from collections.abc import Callable

import mlflow
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError
from project.support.privacy import owner_only
from project.tracking.ship import send_all
from project.tracking.spool import Entry, Root, Spool
from project.tracking.store import PRIVATE, StoreUnavailable, address, store_errors


def relog(spool: Spool, report: Callable[[Root], None]) -> int:
    """Send all that waits in ``spool``, which this process has locked; how many entries that were.

    ``report`` makes the report of a root run whose results are complete, from the store, before the root run ends as it should have. Raises
    StoreAway where the store is away still, and AssayError where it is another one than that of the root run.
    """
    root, n = spool.root, len(spool.pending())
    with store_errors():
        try:
            run = MlflowClient().get_run(root.run_id)
        except mlflow.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise AssayError(
                f"run {root.run_id} is not in the tracking store {address()}; what waits in {spool.folder} belongs to {root.store}. "
                "Set MLFLOW_TRACKING_URI to that."
            ) from error

    if run.info.lifecycle_stage == "deleted":
        raise AssayError(
            f"run {root.run_id} of the tracking store {address()} is deleted. Restore it (mlflow runs restore --run-id {root.run_id}), or remove "
            f"{spool.folder}."
        )

    def before(entry: Entry) -> None:
        if entry.report:
            report(root)

    try:
        with owner_only(run.data.tags.get(PRIVATE) == "true", spool.folder):
            send_all(spool, before=before)
    except StoreUnavailable as error:
        left = len(spool.pending())
        raise StoreUnavailable(
            f"the tracking store {address()} took {n - left} of {n} entries, then: {error} The rest waits in {spool.folder}."
        ) from error
    if refused := len(spool.refused()):
        raise AssayError(
            f"the tracking store {address()} refused {refused} of {n} entries, for the reasons above; they stay in {spool.folder}."
        )
    return n
