"""Fine-tune an encoder on gold labels, or on the labels of a file, with several seeds.

mlflow run . -e finetune -P task=imdb -P encoder=roberta-base -P labels=my_labels.csv
python -m entrypoints.finetune --max_train 64 --seeds 2
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from entrypoints.wiring.command import main
from project.config.arms import GOLD
from project.config.designs import LabelsConfig
from project.config.experiment import experiment_config
from project.config.fields import parse
from project.support.errors import AssayError


def finetune(params: Mapping[str, str]) -> None:
    """Train one arm, ``gold`` or ``given``, with all seeds, and report scores and agreement."""
    from entrypoints.wiring.arm_checks import check_order
    from entrypoints.wiring.clusters import opened_cluster
    from entrypoints.wiring.encoders import find_encoder, with_recipe_for
    from entrypoints.wiring.external_labels import labels_condition
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.reports import publish_after, publish_experiment
    from entrypoints.wiring.setup import check_store, log_setup
    from entrypoints.wiring.trainer import Trainer
    from project.data.task import load_task
    from project.tracking import root_run

    config = experiment_config({**params, "annotator": "none", "annotator_model": "none"})
    if config.finetune.validation_labels == "arm":
        raise AssayError(
            "validation_labels must be gold here; got 'arm'. The file has labels for the training "
            "split only."
        )
    check_store(config.host.workspace)
    task = load_task(config.task)
    check_order(task, config.finetune)
    config = config.resolved(task.defaults)
    with opened_cluster(config) as cluster:
        encoder = find_encoder(config.finetune, cluster.training)
        config = with_recipe_for(config, encoder, task)
        labels = parse(LabelsConfig, params).labels
        condition = labels_condition(labels, task, config.finetune)
        arm = condition.arm.name
        workspace = config.host.workspace
        with root_run("experiment", _name(task.name, arm, labels), params, workspace) as tracker:
            invocation = Invocation("finetune", params)
            log_setup(tracker, invocation, task, config, arms=[arm], encoder=encoder)
            with publish_after(tracker, lambda: publish_experiment(tracker.run_id, workspace)):
                Trainer(tracker, encoder, task, config, cluster).train([condition])


def _name(task: str, arm: str, labels: str) -> str:
    """The name of the root run, with the file of the labels."""
    from project.tracking import joined_name

    return joined_name(task, arm if arm == GOLD else Path(labels).name, "finetune")


if __name__ == "__main__":
    main("finetune", finetune)
