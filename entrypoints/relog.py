"""Log what a tracking store did not take: results, reports and how the runs ended.

mlflow run . -e relog -P workspace=outputs
python -m entrypoints.relog
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from entrypoints.wiring.command import main
from entrypoints.wiring.terminal import print_line
from project.config.fields import parse
from project.config.upkeep import RelogConfig
from project.support.errors import AssayError


def relog(params: Mapping[str, str]) -> None:
    """Log everything that waits in the workspace, run by run.

    An error of one run does not stop the others; the first error is raised at the end.
    """
    from entrypoints.wiring.relogging import log_waiting
    from project.tracking import spools

    workspace = Path(parse(RelogConfig, params).workspace)
    waiting = [spool for spool in spools(workspace) if spool.pending() or spool.refused()]
    print_line(f"relog: {len(waiting)} runs wait below {workspace / 'spool'}.")
    errors: list[AssayError] = []
    for spool in waiting:
        errors += log_waiting(spool, workspace)
    if errors:
        raise errors[0]


if __name__ == "__main__":
    main("relog", relog)
