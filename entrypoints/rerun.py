"""Run a root run of the tracking store again, with the same parameters and inputs, as a new one.

mlflow run . -e rerun -P run_id=RUN
python -m entrypoints.rerun --run_id RUN --workspace fresh --reuse none    compute everything anew
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from entrypoints.wiring.command import main
from entrypoints.wiring.terminal import print_line
from project.config.fields import parse
from project.config.task import TaskConfig
from project.config.upkeep import RerunConfig
from project.support.errors import AssayError
from project.support.privacy import is_private, owner_only


def rerun(params: Mapping[str, str]) -> None:
    """Run again if inputs and models are the same; other differences are printed and logged."""
    from entrypoints.wiring.invocation import DIFF, DIFFERS, RERUN_OF
    from entrypoints.wiring.origin_changes import changed_inputs, differences
    from entrypoints.wiring.provenance import from_hub, provenance
    from entrypoints.wiring.repository import repository
    from entrypoints.wiring.setup import inputs_of
    from entrypoints.wiring.stored_invocation import (
        invocation_now,
        model_identities,
        read_invocation,
    )
    from project.data.task import load_task
    from project.tracking import tagged

    config = parse(RerunConfig, params)
    stored = read_invocation(config.run_id)
    run, then = stored
    invocation = invocation_now(stored, config)
    # Only loaded data of the hub have a hash; data in a file are hashed without loading them.
    task = load_task(parse(TaskConfig, invocation.params)) if from_hub(invocation.params) else None
    models = model_identities(then, invocation.params)
    now = provenance(invocation, repository(), inputs_of(invocation, task), models)
    if changed := changed_inputs(then, now):
        raise AssayError(
            f"run {run.run_id} ({run.name}) cannot be run again: {'; '.join(changed)}. Restore "
            "the inputs of then, or start a new run."
        )
    differing = differences(then, now)
    print_line(f"rerun: entry point {invocation.entry_point} as in run {run.run_id} ({run.name}).")
    for line in differing or ["code, machine and packages are the same."]:
        print_line(f"rerun: {line}")
    if then["git"]["diff_sha256"] and then["code_version"] != now["code_version"]:
        print_line(f"rerun: {_about_changes(then['git'], DIFF)}")
    # The databases of MLflow limit the length of a tag.
    tags = {RERUN_OF: run.run_id, DIFFERS: "; ".join(differing)[:4000]}
    workspace = Path(invocation.params["workspace"])
    with owner_only(is_private(invocation.params), workspace), tagged(tags):
        function_of(invocation.entry_point)(invocation.params)


def _about_changes(git: Mapping[str, Any], artifact: str) -> str:
    """Where the changes are that the code of a run had against its commit."""
    left_out = git.get("diff_left_out", "")
    if not left_out:
        return (
            f"the code of then is commit {git['commit']} with the changes in the run's artifact "
            f"{artifact}."
        )
    names = ", ".join(git["changed"][:5]) + (", ..." if len(git["changed"]) > 5 else "")
    return (
        f"the code of then cannot be restored from the store: it is commit {git['commit']} with "
        f"changes of {names} (sha256 {git['diff_sha256'][:12]}), which were not logged "
        f"({left_out}). They are only where the run was started. log_diff=true logs them."
    )


def function_of(entry_point: str) -> Callable[[Mapping[str, str]], None]:
    """The function that an entry point runs."""
    module = importlib.import_module(f"entrypoints.{entry_point}")
    name = "experiment" if entry_point == "main" else entry_point
    function: Callable[[Mapping[str, str]], None] = getattr(module, name)
    return function


if __name__ == "__main__":
    main("rerun", rerun)
