"""Annotate a task with an LLM and log every draw; no fine-tuning.

mlflow run . -e annotate -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct -P splits=train,test
mlflow run . -e annotate -P annotator=openai -P annotator_url=http://127.0.0.1:8000/v1 -P annotator_model=NAME -P dry_run=true
python -m entrypoints.annotate --max_train 32 --ensemble_size 1
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from entrypoints.wiring.annotation_runs import (
    AnnotationSession,
    annotate_split,
    dry_run,
    open_draws,
)
from entrypoints.wiring.command import main, print_line
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.setup import log_setup, ready
from project.config.designs import SplitsConfig
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.fields import parse
from project.data.task import Task, load_task
from project.support.escape import escape_markdown
from project.tracking import root_run


def annotate(params: Mapping[str, str]) -> None:
    """``ensemble_size`` draws over every split asked for."""
    config = experiment_config(params)
    splits = parse(SplitsConfig, params).splits
    ready(config.host.workspace)
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    with contextlib.closing(open_draws(task, config)) as asked:
        _annotate(params, asked.settled(config), task, asked, splits)


def _annotate(
    params: Mapping[str, str],
    config: ExperimentConfig,
    task: Task,
    asked: AnnotationSession,
    splits: Sequence[str],
) -> None:
    n_draws = len(asked.prompts)
    kind = "dry run" if config.spend.dry_run else "annotation set"
    with root_run(kind, f"{task.name} annotations", params, config.host.workspace) as tracker:
        log_setup(tracker, Invocation("annotate", params), task, config, annotator=asked.annotator)
        if config.spend.dry_run:
            dry_run(tracker, asked, task, dict.fromkeys(splits, n_draws), config)
            return
        lines = []
        for split in splits:
            tables = annotate_split(tracker, asked, task, split, n_draws, config)
            lines.append(
                f"{asked.annotator.name} labelled {len(tables[0])} {split} texts of {task.name} in {n_draws} draws."
            )
        tracker.describe(escape_markdown(" ".join(lines)))
    print_line(
        "\n".join([*lines, f"MLflow   {tracker.open_command()}", f"run      {tracker.run_id}"])
    )


if __name__ == "__main__":
    main("annotate", annotate)
