"""End runs that are RUNNING in the tracking store although their process is gone; one's own, unless others' are asked for.

mlflow run . -e reap
python -m entrypoints.reap --dry_run true
python -m entrypoints.reap --owner any
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main, print_line
from project.config.entry_points import ENTRY_POINTS
from project.config.fields import parse
from project.config.upkeep import ReapConfig
from project.tracking import USER, current_user, dead_runs, end_dead


def reap(params: Mapping[str, str]) -> None:
    """End them as KILLED; results that wait in a workspace can be logged afterwards all the same."""
    asked = parse(ReapConfig, params)
    names = {name: set(entry.rules()) for name, entry in ENTRY_POINTS.items()}
    user = current_user() if asked.owner == "mine" else ""
    found = dead_runs(names, owner=user, run_id=asked.run_id)
    for dead in found:
        below = f" and {len(dead.children)} runs below it" if dead.children else ""
        owner, would = dead.run.tags.get(USER, "nobody"), " would be" if asked.dry_run else ""
        print_line(
            f"reap: run {dead.run.run_id} ({dead.run.name}, of {owner}){below}{would} ended."
        )
        if not asked.dry_run:
            end_dead(dead)
    of = f" of {user}" if user else ""
    print_line(
        f"reap: {len(found)} RUNNING runs{of} have lost their process. Those that may be at work are left alone."
    )


if __name__ == "__main__":
    main("reap", reap)
