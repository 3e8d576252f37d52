"""Results that this process did not compute: from the tracking store, or from another machine."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from project.data.tables import SourceRun
from project.support.checksums import damaged_files, seal
from project.support.errors import AssayError
from project.support.files import write_atomically
from project.training.results import (
    PREDICTIONS,
    RESULT,
    SOURCE,
    Job,
    SeedResult,
    load_result,
    publish,
    temporary_folder,
)


def save_files(folder: Path, job: Job, files: Mapping[str, bytes]) -> None:
    """Write a result that another machine computed to ``folder / digest``.

    Parameters
    ----------
    folder
        Folder of all results.
    job
        The finished job.
    files
        Content of each file of the sealed result, by its path in the result's folder.

    Raises
    ------
    AssayError
        If the files differ from their checksums.
    """
    with temporary_folder(folder, job) as temporary:
        for name, data in files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_bytes(data)
        if damaged := damaged_files(temporary):
            raise AssayError(f"the result arrived damaged ({', '.join(damaged)}). Run again.")
        publish(temporary, folder, job)


def import_result(
    folder: Path, job: Job, *, predictions: bytes, result: bytes, source: SourceRun
) -> None:
    """Write a result from the tracking store to ``folder / digest``, as if it were trained here.

    Parameters
    ----------
    folder
        Folder of all results.
    job
        The job with the same digest.
    predictions, result
        Bytes of ``predictions.parquet`` and ``result.json``.
    source
        The run that they come from.

    Raises
    ------
    AssayError
        If the files are not a valid result of the job.
    """
    files = {PREDICTIONS: predictions, RESULT: result, SOURCE: json.dumps(source).encode()}
    with temporary_folder(folder, job) as temporary:
        for name, data in files.items():
            write_atomically(temporary / name, data)
        _check_imported(temporary, job)
        seal(temporary)
        with contextlib.suppress(OSError):  # another process was faster
            temporary.rename(folder / job.digest)


def _check_imported(folder: Path, job: Job) -> None:
    """Refuse files that are no result, one of other examples, or one with an invalid history."""
    try:
        result = load_result(folder, job, reused=True)
    except (
        ValueError,  # AssayError is one
        TypeError,
        KeyError,
        AttributeError,
        OSError,
        RecursionError,
    ) as error:
        raise AssayError(
            f"not a valid trained seed: {' '.join(str(error).split())[:200]}"
        ) from error
    if tuple(result.predictions["example_id"]) != job.test_ids:
        raise AssayError("not a valid trained seed of this split: it predicts other examples.")
    if not _is_history_valid(result):
        raise AssayError("not a valid trained seed: its history is incomplete or no numbers.")


def _is_history_valid(result: SeedResult) -> bool:
    """Whether evaluations are numbered from 1, and all their values are finite numbers."""
    values: list[object] = [result.seconds]
    for evaluation in result.history:
        values += evaluation.as_json().values()
    numbers = [evaluation.number for evaluation in result.history]
    return (
        bool(numbers)
        and all(_is_finite(value) for value in values)
        and numbers == list(range(1, len(numbers) + 1))
        and isinstance(result.batching, str)
    )


def _is_finite(value: object) -> bool:
    """Whether ``value`` is a finite number; true and false, which Python counts, are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
