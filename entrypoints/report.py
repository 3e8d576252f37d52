"""Write the report of a root run again, or that of several, from the tracking store alone.

mlflow run . -e report -P run_id=RUN
mlflow run . -e report -P run_id=RUN,RUN
python -m entrypoints.report
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.fields import parse
from project.config.upkeep import ReportConfig


def report(params: Mapping[str, str]) -> None:
    """Write the report of one root run of any kind, or that of several experiments."""
    from entrypoints.wiring.reports import publish_report, publish_side_by_side
    from project.tracking import KIND, read_run

    config = parse(ReportConfig, params)
    run_ids = [run_id.strip() for run_id in config.run_id.split(",")]
    if len(run_ids) > 1:
        publish_side_by_side(run_ids, config.workspace, config.tolerance, config.min_alpha)
        return
    kind = read_run(config.run_id).tags.get(KIND, "") if config.run_id else ""
    publish_report(
        config.run_id,
        kind,
        config.workspace,
        tolerance=config.tolerance,
        min_alpha=config.min_alpha,
    )


if __name__ == "__main__":
    main("report", report)
