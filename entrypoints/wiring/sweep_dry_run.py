"""The dry run of a sweep: what the annotation of all its trials would take."""

from __future__ import annotations

from entrypoints.wiring.dry_run import dry_run
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.sweep_design import PreparedSweep
from entrypoints.wiring.sweep_runs import log_sweep_setup, sweep_run_name
from entrypoints.wiring.terminal import print_line
from project.tracking import root_run


def dry_run_sweep(prepared: PreparedSweep, invocation: Invocation) -> None:
    """Print and log what annotation would take for every number of demonstrations.

    All draws of the largest ensemble are counted, which the trials may not all need. No study is
    opened.
    """
    experiment = prepared.experiment
    workspace = experiment.config.host.workspace
    name = sweep_run_name(prepared, "sweep", "dry run")
    with root_run("dry run", name, invocation.params, workspace) as tracker:
        log_sweep_setup(tracker, prepared, invocation, {})
        if experiment.session is None:
            print_line("dry run: these arms need no annotation.")
            return
        for n_demonstrations in prepared.demonstration_counts():
            print_line(
                f"dry run: all draws with {n_demonstrations} demonstrations; the trials may need "
                "fewer."
            )
            dry_run(
                tracker,
                prepared.session_with(n_demonstrations),
                experiment.task,
                splits=experiment.splits,
                config=experiment.config,
            )
