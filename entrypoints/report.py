"""Write the report of a root run again, from the tracking store alone.

mlflow run . -e report -P run_id=RUN
python -m entrypoints.report
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.fields import parse
from project.config.upkeep import ReportConfig


def report(params: Mapping[str, str]) -> None:
    """Write the report of one root run: an experiment, a budget, a curve, a grid or a sweep."""
    from entrypoints.wiring.reports import publish_report
    from project.tracking import KIND, read_run

    config = parse(ReportConfig, params)
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
