"""How many texts, answers and trainings an experiment has, before any model is read."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, cast

from entrypoints.wiring.default_arms import with_possible_arms
from entrypoints.wiring.replicates import annotated_splits, draws_needed, replicate_counts
from project.annotation.engines.base import PromptlessAnnotator
from project.annotation.engines.factory import open_annotators
from project.config.arms import Arm
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.labels import PAPER_DRAWS, LabelConfig
from project.data.label_question import load_one_card
from project.data.task import comes_from_hub, load_task
from project.labels.sources import arms


class TaskSize(NamedTuple):
    """Texts by split, number of classes, a remark, and the recorded labels if there are any."""

    texts: dict[str, int]
    n_classes: int
    remark: str = ""
    recorded: PromptlessAnnotator | None = None


class CountedExperiment(NamedTuple):
    """An experiment, counted as it would count itself.

    Attributes
    ----------
    size
        Its task.
    config
        Its configuration with the arms that recorded labels can serve.
    arms
        The label sources.
    draws
        Draws of the annotator by split.
    seeds
        Trainings by arm.
    """

    size: TaskSize
    config: ExperimentConfig
    arms: Sequence[Arm]
    draws: dict[str, int]
    seeds: dict[str, int]

    @property
    def n_answers(self) -> int:
        """Answers of the annotator."""
        return sum(n * self.size.texts[split] for split, n in self.draws.items())


def count_experiment(config: ExperimentConfig) -> CountedExperiment:
    """How many texts, answers and trainings an experiment has; no model is read."""
    size = _task_size(config)
    n_recorded_draws = len(size.recorded.draws) if size.recorded else 0
    n_draws = config.prompt.ensemble_size or n_recorded_draws or PAPER_DRAWS
    if size.recorded or engine_facts(config.annotate.annotator).scores_pairs:
        counted_draws = dataclasses.replace(config.prompt, ensemble_size=n_draws)
        config = dataclasses.replace(config, prompt=counted_draws)
        config = with_possible_arms(config, LabelConfig, size.recorded)
    compared = arms(config.label, n_draws)
    draws: dict[str, int] = {}
    if any(arm.draws for arm in compared):
        n_needed = draws_needed(compared, config, n_draws)
        draws = annotated_splits(config, n_needed, annotates_test=True)
    seeds = replicate_counts(compared, config, n_draws)
    return CountedExperiment(size, config, compared, draws, seeds)


def _task_size(config: ExperimentConfig) -> TaskSize:
    """The size of the task. Data of the hub are not fetched: the limits of the card are taken."""
    splits = ("train", "validation", "test")
    card = load_one_card(config.task.task, config.task.label)
    if comes_from_hub(config.task):
        limits = {
            split: getattr(config.task, f"max_{split}") or card.sizes[split] for split in splits
        }
        remark = f", at most; the data come from the hub, {card.source.hub}"
        return TaskSize(limits, len(card.labels), remark)
    task = load_task(config.task)
    recorded = None
    if not engine_facts(config.annotate.annotator).has_prompt:
        recorded = cast("PromptlessAnnotator", open_annotators(config, task)[0])
    texts = {split: len(task.split(split)) for split in splits}
    return TaskSize(texts, len(task.label_set), recorded=recorded)
