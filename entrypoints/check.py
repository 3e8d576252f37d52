"""Check that an experiment can run, before anything is paid for, and estimate what it would take.

mlflow run . -e check -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct
python -m entrypoints.check --annotator vllm --workspace /scratch/me/assay
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main


def check(params: Mapping[str, str]) -> None:
    """Check the tracking store, this machine, the models and the configuration.

    An error of one part does not stop the others; the first error is raised at the end. Nothing
    is annotated or trained.
    """
    from pathlib import Path

    from entrypoints.wiring.check_cluster import check_cluster
    from entrypoints.wiring.check_machine import machine_rows, store_rows
    from entrypoints.wiring.check_models import annotator_weights, encoder_weights
    from entrypoints.wiring.check_needs import experiment_rows
    from entrypoints.wiring.check_report import CheckReport
    from entrypoints.wiring.default_arms import with_possible_arms
    from project.config.cluster import NO_CLUSTER
    from project.config.experiment import experiment_config
    from project.config.labels import LabelConfig
    from project.labels.sources import arms

    report = CheckReport()
    workspace = Path(params["workspace"])
    report.section("tracking store", store_rows(workspace))
    report.section("this machine", machine_rows(workspace))
    with report.catch():
        config = experiment_config(params)
        arms(with_possible_arms(config, LabelConfig).label, config.prompt.ensemble_size)
        if config.cluster.cluster != NO_CLUSTER:
            check_cluster(report, config)
        annotator = report.section("annotator", annotator_weights(config))
        encoder = report.section("encoder", encoder_weights(config))
        report.section("experiment", experiment_rows(config, annotator, encoder))
    report.finish()


if __name__ == "__main__":
    main("check", check)
