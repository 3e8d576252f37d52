"""Annotate a task with an LLM and log every draw; no fine-tuning.

mlflow run . -e annotate -P task=imdb -P annotator_model=Qwen/Qwen2.5-7B-Instruct
mlflow run . -e annotate -P annotator=openai -P annotator_model=NAME -P dry_run=true
mlflow run . -e annotate -P task=letters.yaml -P splits=train,test      all labels of a text at once
python -m entrypoints.annotate --max_train 32 --ensemble_size 1 --splits train,test
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from entrypoints.wiring.command import main
from entrypoints.wiring.terminal import print_line
from project.config.designs import SplitsConfig
from project.config.experiment import ExperimentConfig, experiment_config
from project.config.fields import parse

if TYPE_CHECKING:
    from entrypoints.wiring.annotation_session import AnnotationSession
    from project.data.task import Task
    from project.tracking import Tracker


def annotate(params: Mapping[str, str]) -> None:
    """Annotate every split of the parameter ``splits`` with ``ensemble_size`` draws."""
    from analysis.store.publish import where_to_look
    from entrypoints.wiring.annotate_sets import annotate_sets
    from entrypoints.wiring.annotation_session import open_session
    from entrypoints.wiring.clusters import opened_cluster
    from entrypoints.wiring.dry_run import dry_run
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.prompt_headings import with_heading_note
    from entrypoints.wiring.root_facts import root_name
    from entrypoints.wiring.setup import check_store, log_setup
    from project.data.label_question import asks_for_sets
    from project.data.task import load_task
    from project.support.escape import escape_markdown
    from project.tracking import root_run

    config = experiment_config(params)
    splits = parse(SplitsConfig, params).splits
    if asks_for_sets(config.task):
        annotate_sets(params, config, splits)
        return
    check_store(config.host.workspace)
    task = with_heading_note(load_task(config.task), config)
    config = config.resolved(task.defaults)
    with (
        opened_cluster(config, trains=False) as cluster,
        contextlib.closing(open_session(task, config, cluster.annotation)) as session,
    ):
        config = session.resolved(config)
        session.check_rows(task, splits)
        n_draws = len(session.prompts)
        kind = "dry run" if config.spend.only_plans else "annotation set"
        what = "dry run" if config.spend.only_plans else "annotations"
        name = root_name(task.name, config, session.annotator, what)
        with root_run(kind, name, params, config.host.workspace) as tracker:
            invocation = Invocation("annotate", params)
            log_setup(tracker, invocation, task, config, annotator=session.annotator)
            if config.spend.only_plans:
                draws = dict.fromkeys(splits, n_draws)
                dry_run(tracker, session, task, splits=draws, config=config)
                return
            lines = _annotate_splits(tracker, session, task, splits, config)
            tracker.describe(escape_markdown(" ".join(lines)))
        print_line("\n".join(lines))
        print_line(where_to_look(tracker))


def _annotate_splits(
    tracker: Tracker,
    session: AnnotationSession,
    task: Task,
    splits: Sequence[str],
    config: ExperimentConfig,
) -> list[str]:
    """Annotate the splits and log the LLM's scores; a sentence on each split."""
    from analysis.questions.root_metrics import llm_metrics
    from entrypoints.wiring.annotation_runs import annotate_split, scores

    n_draws = len(session.prompts)
    lines = []
    for split in splits:
        tables = annotate_split(tracker, session, task, split=split, n_draws=n_draws, config=config)
        lines.append(
            f"{session.annotator.name} labelled {len(tables[0])} {split} texts of {task.name} in "
            f"{n_draws} draws."
        )
        if split == "test":
            found = scores(tables[0], task.split(split), task.label_set, ordered=task.ordered)
            tracker.log_metrics(llm_metrics(found, len(tables[0])))
    return lines


if __name__ == "__main__":
    main("annotate", annotate)
