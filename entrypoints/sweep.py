"""A study of Optuna over label source, replace share, ensemble size, demonstrations, calibration.

Trials are compared on validation; the chosen ones are tested once. The same command on another
machine joins the study if both use the same ``sweep_storage``.

mlflow run . -e sweep                    four sources, 20 trials, the Pareto front
mlflow run . -e sweep -P task=imdb -P objective=single -P price_label=0.1 -P price_point=2
python -m entrypoints.sweep --sampler grid --arms ensemble --sweep_ensemble_size 2,3,4,5
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from entrypoints.wiring.terminal import print_line
from project.config.designs import SweepConfig
from project.config.fields import parse


def sweep(params: Mapping[str, str]) -> None:
    """Run trials until the study has enough; then test the chosen ones and gold with all seeds."""
    import dataclasses
    from pathlib import Path

    from analysis.questions.sweep import publish
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.reports import publish_after
    from entrypoints.wiring.sweep_design import prepare_sweep
    from entrypoints.wiring.sweep_dry_run import dry_run_sweep
    from entrypoints.wiring.sweep_runs import log_sweep_setup, sweep_run_name
    from entrypoints.wiring.sweep_worker import Worker
    from project.search.storage import dashboard_command, refuse_password, storage_errors
    from project.search.study import SharedStudy
    from project.support.files import digest
    from project.tracking import STUDY, root_run

    refuse_password(params.get("sweep_storage", ""))
    config = parse(SweepConfig, params)
    invocation = Invocation("sweep", params)
    with prepare_sweep(params, config) as prepared:
        experiment = prepared.experiment
        if experiment.config.spend.only_plans:
            dry_run_sweep(prepared, invocation)
            return
        workspace = experiment.config.host.workspace
        # The digest of the design is in the name: other settings make another study.
        design = prepared.design()
        name = config.sweep_name or f"{experiment.task.name}-{digest(design)[:8]}"
        study = SharedStudy(
            config,
            experiment.config.label,
            prepared.space,
            name,
            design=design,
            workspace=Path(workspace),
        )
        with root_run("sweep", sweep_run_name(prepared, "sweep"), params, workspace) as tracker:
            facts = {
                "study": study.study_id,
                "name": name,
                "space": dataclasses.asdict(prepared.space),
                "sweep": dataclasses.asdict(config),
            }
            log_sweep_setup(tracker, prepared, invocation, facts)
            tracker.tag({STUDY: study.study_id})
            print_line(f"sweep: study {name}, {study.done()} of {study.wanted} trials done.")
            publishing = publish_after(tracker, lambda: publish(tracker.run_id, workspace))
            with publishing, storage_errors(name):
                Worker(tracker, prepared, study).run()
        print_line(f"Optuna   {dashboard_command(config, Path(workspace), name)}")


if __name__ == "__main__":
    main("sweep", sweep)
