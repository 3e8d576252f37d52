"""The experiment: annotate with an LLM, fine-tune on gold and on LLM labels, show the damage.

mlflow run . --env-manager local                                    the embedded task on a laptop
mlflow run . -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P encoder=roberta-base
python -m entrypoints.main --max_train 48 --max_test 48 --seeds 2 --ensemble_size 2      a minute, to see it run
"""

from __future__ import annotations

from collections.abc import Mapping

from analysis.arms import publish
from entrypoints.command import main
from entrypoints.steps import annotate_split, finetune_arms, load_annotator, log_setup, prompts
from project.annotators import check_engine
from project.config import AnnotateConfig, FinetuneConfig, HostConfig, LabelConfig, PromptConfig, TaskConfig, experiment_config
from project.errors import Incomplete
from project.finetune import Encoder
from project.label import arms, label
from project.task import load_task
from project.tracking import root_run

STAGES = (TaskConfig, PromptConfig, AnnotateConfig, LabelConfig, FinetuneConfig, HostConfig)


def experiment(params: Mapping[str, str]) -> None:
    """One task, one annotator, several arms, several seeds; ends with the report."""
    config = experiment_config(params)
    check_engine(config.annotate.annotator)
    compared = arms(config.label, config.prompt.ensemble_size)
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    encoder = Encoder.find(config.finetune)
    n_draws = max(arm.draws for arm in compared)
    drawn = prompts(task, config, n_draws)
    annotator = load_annotator(config) if n_draws else None

    with root_run("experiment", task.name, params) as tracker:
        log_setup(tracker, task, config, arms=[arm.name for arm in compared], annotator=annotator, encoder=encoder)
        gold = task.split("validation").rename(columns={"gold_label": "label"})
        annotations, validated = [], []
        if annotator:
            annotations = annotate_split(tracker, annotator, task, "train", drawn, config)
            annotate_split(tracker, annotator, task, "test", drawn[:1], config)
            if config.finetune.validation_labels == "arm":
                validated = annotate_split(tracker, annotator, task, "validation", drawn, config)
            annotator = None  # its memory is the encoder's now

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
