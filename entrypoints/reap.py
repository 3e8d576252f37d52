"""End runs that are RUNNING in the tracking store although their process is gone.

mlflow run . -e reap
python -m entrypoints.reap --dry_run true
python -m entrypoints.reap --owner any
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from entrypoints.wiring.terminal import print_line
from project.config.entry_points import ENTRY_POINTS
from project.config.fields import parse
from project.config.upkeep import ReapConfig


def reap(params: Mapping[str, str]) -> None:
    """End dead runs as KILLED. Results that wait in a workspace can still be logged later."""
    from project.tracking import USER, current_user, dead_runs, end_dead

    config = parse(ReapConfig, params)
    owner = current_user() if config.owner == "mine" else ""
    # Runs that `mlflow run` made have the parameters that MLproject declares and no mark of Assay.
    parameter_names = {name: set(entry.everyday()) for name, entry in ENTRY_POINTS.items()}
    dead = dead_runs(parameter_names, owner=owner, run_id=config.run_id)
    for run in dead:
        children = f" and {len(run.children)} runs below it" if run.children else ""
        verb = "would be ended" if config.dry_run else "ended"
        print_line(
            f"reap: run {run.run.run_id} ({run.run.name}, of "
            f"{run.run.tags.get(USER, 'unknown user')}){children} {verb}."
        )
        if not config.dry_run:
            end_dead(run)
    of_owner = f" of {owner}" if owner else ""
    print_line(
        f"reap: {len(dead)} RUNNING runs{of_owner} have lost their process. Runs whose process may "
        "be alive are left alone."
    )


if __name__ == "__main__":
    main("reap", reap)
