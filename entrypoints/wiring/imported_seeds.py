"""Seeds that finished runs of the tracking store have trained already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from entrypoints.wiring import seed_runs
from entrypoints.wiring.terminal import print_line
from project.data.tables import SourceRun
from project.support.errors import AssayError
from project.tracking import DIGEST, USER, StoreUnavailable, Tracker
from project.training.imported import import_result
from project.training.results import PREDICTIONS, Job, has_result


def import_finished_seeds(
    tracker: Tracker, jobs: Sequence[Job], folder: Path, *, reuse: str | None
) -> None:
    """Copy results of finished runs in the store into the workspace.

    Seeds whose weights must be logged are trained here.

    Parameters
    ----------
    tracker
        Of the root run.
    jobs
        The seeds that are needed.
    folder
        Folder of all results.
    reuse
        The parameter of that name: whose runs may be used.
    """
    open_jobs = {
        job.digest: job for job in jobs if not job.keep_model and not has_result(folder, job)
    }
    found = [_import_one(tracker, job, folder, reuse) for job in open_jobs.values()]
    sources = [source for source in found if source is not None]
    if sources:
        users = ", ".join(dict.fromkeys(source.user for source in sources))
        print_line(
            f"fine-tune: {len(sources)} seeds are taken from finished runs of {users} in the "
            "tracking store, and are not trained again."
        )


def _import_one(tracker: Tracker, job: Job, folder: Path, reuse: str | None) -> SourceRun | None:
    """Copy a result from the newest run that has a valid one; returns that run, if any."""
    for run in tracker.reusable_runs("seed", DIGEST, job.digest, reuse):
        source = SourceRun(run.run_id, run.tags.get(USER, "unknown user"))
        try:
            files = tracker.verified_artifacts(run, [PREDICTIONS, seed_runs.HISTORY])
            import_result(
                folder,
                job,
                predictions=files[PREDICTIONS],
                result=files[seed_runs.HISTORY],
                source=source,
            )
        except StoreUnavailable:  # the tracker has reported it
            return None
        except AssayError as error:  # a damaged run of a colleague must not stop this one
            print_line(f"fine-tune: {error} It is not used.")
            continue
        return source
    return None
