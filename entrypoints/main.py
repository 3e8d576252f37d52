"""The experiment: annotate with an LLM, fine-tune on gold and on LLM labels, show the damage.

mlflow run . --env-manager local                                    the embedded task on a laptop
mlflow run . -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P encoder=roberta-base
mlflow run . -P annotator=vllm -P dry_run=true                      what the annotation will take, before it is paid for
python -m entrypoints.main --max_train 48 --max_test 48 --seeds 2 --ensemble_size 2      a minute, to see it run
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from analysis.arms import publish
from entrypoints.command import main
from entrypoints.draws import Asked, annotate_split, dry_run, open_draws
from entrypoints.seeds import finetune_arms
from entrypoints.setup import log_setup
from project.annotators.open import check_engine
from project.config import (
    AnnotateConfig,
    ExperimentConfig,
    FinetuneConfig,
    HostConfig,
    LabelConfig,
    PromptConfig,
    RecordedConfig,
    ServerConfig,
    SpendConfig,
    TaskConfig,
    experiment_config,
)  # fmt: skip
from project.encoder import Encoder
from project.errors import Incomplete
from project.label import arms, label
from project.task import Task, load_task
from project.tracking import root_run

STAGES = (TaskConfig, PromptConfig, AnnotateConfig, ServerConfig, RecordedConfig, SpendConfig, LabelConfig, FinetuneConfig, HostConfig)


def experiment(params: Mapping[str, str]) -> None:
    """One task, one annotator, several arms, several seeds; ends with the report."""
    config = experiment_config(params)
    check_engine(config.annotate.annotator)
    arms(config.label, config.prompt.ensemble_size)  # refuses what cannot be, before anything is loaded
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    encoder = Encoder.find(config.finetune)
    asked = open_draws(task, config) if config.label.arms != ("gold",) else None
    with contextlib.closing(asked) if asked else contextlib.nullcontext():
        _compare(params, asked.settled(config) if asked else config, task, encoder, asked)


def _compare(params: Mapping[str, str], config: ExperimentConfig, task: Task, encoder: Encoder, asked: Asked | None) -> None:
    compared = arms(config.label, len(asked.prompts) if asked else 1)
    n_draws = max(arm.draws for arm in compared)

    with root_run("dry run" if config.spend.dry_run else "experiment", task.name, params) as tracker:
        log_setup(tracker, task, config, arms=[arm.name for arm in compared], annotator=asked.annotator if asked else None, encoder=encoder)
        validate = config.finetune.validation_labels == "arm"
        if asked and config.spend.dry_run:
            dry_run(tracker, asked, task, {"train": n_draws, "test": 1, **({"validation": n_draws} if validate else {})}, config)
            return
        gold = task.split("validation").rename(columns={"gold_label": "label"})
        annotations, validated = [], []
        if asked:
            annotations = annotate_split(tracker, asked, task, "train", n_draws, config)
            annotate_split(tracker, asked, task, "test", 1, config)
            if validate:
                validated = annotate_split(tracker, asked, task, "validation", n_draws, config)
            asked.close()  # its memory is the encoder's now

        seed = config.label.tie_seed
        labels = {arm: label(arm, task.split("train"), annotations, task.label_set, tie_seed=seed) for arm in compared}
        validation = {arm: label(arm, task.split("validation"), validated, task.label_set, tie_seed=seed) if validated else gold for arm in compared}
        try:
            finetune_arms(tracker, encoder, task, labels, validation, config)
        except Incomplete:
            publish(tracker.run_id, config.host.workspace)  # what there is; it names what is missing
            raise
        publish(tracker.run_id, config.host.workspace)


if __name__ == "__main__":
    main("main", "Annotate with an LLM, fine-tune on gold and on LLM labels, show the damage.", STAGES, experiment)
