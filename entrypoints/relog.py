"""Log what a tracking store did not take, because it was away or broke down: results, reports and how the runs ended.

mlflow run . -e relog -P workspace=outputs
python -m entrypoints.relog
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from entrypoints.report import publish
from entrypoints.wiring.command import main, print_line
from project.config.fields import parse
from project.config.upkeep import RelogConfig
from project.support.errors import AssayError
from project.tracking import RootRun, StoreUnavailable, relog, spools


def log_again(params: Mapping[str, str]) -> None:
    """Everything that waits below the workspace, run by run; what one run cannot have takes nothing from the others."""
    workspace = Path(parse(RelogConfig, params).workspace)
    failed: list[AssayError] = []
    waiting = [spool for spool in spools(workspace) if spool.pending() or spool.refused()]
    print_line(f"relog: {len(waiting)} runs wait below {workspace / 'spool'}.")
    for spool in waiting:
        try:
            if not spool.lock():
                print_line(
                    f"relog: run {spool.folder.name} is at work, and logs what waits itself."
                )
                continue
            with contextlib.closing(spool):
                spool.retry()
                ended = spool.ended()
                n = relog(spool, lambda root: failed.extend(_report(root, workspace)))
                print_line(
                    f"relog: {n} entries of run {spool.folder.name} are logged.{'' if ended else ' Its process died; -e reap ends the run.'}"
                )
        except (
            AssayError,
            OSError,
            ValueError,
            TypeError,
            KeyError,
        ) as error:  # a damaged one takes nothing from the others
            found = (
                error
                if isinstance(error, AssayError)
                else AssayError(f"{spool.folder} cannot be read: {type(error).__name__}: {error}")
            )
            print_line(f"relog: {found}")
            failed.append(found)
    if failed:
        raise failed[0]


def _report(root: RootRun, workspace: Path) -> list[AssayError]:
    """Make a root run's report; why there is none, where what the store holds gives none: that does not keep the run from its end."""
    try:
        publish(root.run_id, root.kind, str(workspace))
    except StoreUnavailable:
        raise
    except AssayError as error:
        print_line(f"relog: run {root.run_id} has no report: {error}")
        return [error]
    return []


if __name__ == "__main__":
    main("relog", log_again)
