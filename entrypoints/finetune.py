"""Fine-tune an encoder on gold labels, or on labels from a file, with several seeds; ends with their scores and agreement.

mlflow run . -e finetune -P task=imdb -P encoder=roberta-base -P labels=my_labels.csv
python -m entrypoints.finetune --max_train 64 --seeds 2
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from analysis.report import publish
from entrypoints.wiring.command import main
from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.experiment import publish_after
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.seed_runs import Trainer
from entrypoints.wiring.setup import check_store, log_setup
from project.config.arms import Arm
from project.config.designs import LabelsConfig
from project.config.experiment import experiment_config
from project.config.fields import parse
from project.config.labels import LabelConfig
from project.data.raw_data import read_file
from project.data.task import Task, load_task
from project.labels.external import external_labels
from project.labels.inputs import LabelInputs
from project.labels.sources import label
from project.support.errors import AssayError
from project.tracking import read_uri, root_run
from project.training.encoder import Encoder


def finetune(params: Mapping[str, str]) -> None:
    """One arm, ``gold`` or ``given``, and its seeds."""
    config = experiment_config({**params, "annotator": "none", "annotator_model": "none"})
    if config.finetune.validation_labels == "arm":
        raise AssayError(
            "validation_labels must be gold here; got 'arm'. The file has labels for the training split alone."
        )
    check_store(config.host.workspace)
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    encoder = Encoder.find(config.finetune)
    arm, labels = _labels(parse(LabelsConfig, params).labels, task)

    with root_run(
        "experiment", f"{task.name} {arm.name}", params, config.host.workspace
    ) as tracker:
        log_setup(
            tracker, Invocation("finetune", params), task, config, arms=[arm.name], encoder=encoder
        )
        validation = task.split("validation").rename(columns={"gold_label": "label"})
        one = Condition(
            arm,
            arm.name,
            task.split("train"),
            labels,
            validation,
            config.finetune,
            range(config.finetune.seeds),
        )
        with publish_after(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
            Trainer(tracker, encoder, task, config).train([one])


def _labels(source: str, task: Task) -> tuple[Arm, pd.DataFrame]:
    train = task.split("train")
    if source == "gold":
        return Arm("gold"), label(
            Arm("gold"), LabelInputs(train, [], tuple(task.label_set), LabelConfig())
        )
    table = (
        read_uri(source) if source.startswith("runs:/") else read_file(Path(source).expanduser())
    )
    return Arm("given"), external_labels(table, train, task.label_set)


if __name__ == "__main__":
    main("finetune", finetune)
