"""Labels that an earlier call wrote: the same command again finds them, and computes nothing."""

from __future__ import annotations

from pathlib import Path

from project.support.files import sha256_of
from project.tracking import DIGEST, OUTPUT, Record, finished_with_tag


def finished_job(output: Path, job: str) -> Record | None:
    """The run that wrote the file ``output``; None if the file or the job is another one.

    Parameters
    ----------
    output
        The file.
    job
        Digest of everything that determines the labels.
    """
    if not output.is_file():
        return None
    runs = finished_with_tag(OUTPUT, sha256_of(output))
    return next((run for run in runs if run.tags.get(DIGEST) == job), None)
