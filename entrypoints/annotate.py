"""Annotate a task with an LLM and log every draw; no fine-tuning.

mlflow run . -e annotate -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P splits=train,test
python -m entrypoints.annotate --max_train 32 --ensemble_size 1
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.command import main, say
from entrypoints.steps import annotate_split, load_annotator, log_setup, prompts
from project.config import AnnotateConfig, HostConfig, PromptConfig, SplitsConfig, TaskConfig, experiment_config, parse
from project.task import load_task
from project.tracking import root_run

STAGES = (TaskConfig, PromptConfig, AnnotateConfig, SplitsConfig, HostConfig)


def annotate(params: Mapping[str, str]) -> None:
    """``ensemble_size`` draws over every split asked for."""
    config = experiment_config(params)
    splits = parse(SplitsConfig, params).splits
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    drawn = prompts(task, config, config.prompt.ensemble_size)
    annotator = load_annotator(config)

    with root_run("annotation set", f"{task.name} annotations", params) as tracker:
        log_setup(tracker, task, config, annotator=annotator)
        lines = []
        for split in splits:
            tables = annotate_split(tracker, annotator, task, split, drawn, config)
            lines.append(f"{annotator.name} labelled {len(tables[0])} {split} texts of {task.name} under {len(tables)} demonstration sets.")
        tracker.describe(" ".join(lines))
    say("\n".join([*lines, f"MLflow   {tracker.open_command()}", f"run      {tracker.run_id}"]))


if __name__ == "__main__":
    main("annotate", "Annotate a task with an LLM and log every draw; no fine-tuning.", STAGES, annotate)
