"""Replicates of arms: how many, from which draws, and what draws they need."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from entrypoints.wiring.conditions import Condition, SplitAnnotations, make_condition
from project.config.arms import LLM, Arm
from project.config.experiment import ExperimentConfig
from project.data.task import Task
from project.support.errors import AssayError


def draws_needed(arms: Sequence[Arm], config: ExperimentConfig, n_draws: int) -> int:
    """Number of draws that the arms need with the replicates of the configuration.

    Parameters
    ----------
    arms
        The arms to compare.
    config
        The experiment's configuration; its ``replicate`` decides.
    n_draws
        Number of draws of the session.

    Raises
    ------
    AssayError
        If the arms, draws and seeds do not allow such replicates.
    """
    replicate = config.replicate.replicate
    seeds = config.finetune.seeds
    most_of_an_arm = max(arm.draws for arm in arms)
    if replicate == "training":
        return most_of_an_arm
    if replicate == "pipeline":
        if not any(arm.one_draw for arm in arms):
            raise AssayError(
                "replicate=pipeline needs an arm that follows a single draw, such as llm or "
                "entropy. Add one to arms."
            )
        if n_draws < seeds:
            raise AssayError(
                "replicate=pipeline needs a draw for each seed: ensemble_size must be at least "
                f"{seeds}; got {n_draws}. Raise ensemble_size, or lower seeds."
            )
        return max(most_of_an_arm, seeds)
    if LLM not in {arm.kind for arm in arms} or min(n_draws, seeds) < 2:
        names = ",".join(arm.name for arm in arms)
        raise AssayError(
            "replicate=crossed needs the arm llm with at least 2 draws and 2 seeds; got arms "
            f"{names}, ensemble_size {n_draws}, seeds {seeds}. Add llm to arms, or raise "
            "ensemble_size or seeds."
        )
    return n_draws


def annotated_splits(
    config: ExperimentConfig, n_draws: int, *, annotates_test: bool
) -> dict[str, int]:
    """Number of draws by split to annotate.

    Parameters
    ----------
    config
        The validation split is annotated if arms pick the epoch by their own labels.
    n_draws
        Number of draws of the training split.
    annotates_test
        Whether the test split gets one draw, to score the annotator.
    """
    splits = {"train": n_draws}
    if annotates_test:
        splits["test"] = 1
    if config.finetune.validation_labels == "arm":
        splits["validation"] = n_draws
    return splits


def replicate_conditions(
    arms: Sequence[Arm], task: Task, annotations: SplitAnnotations, config: ExperimentConfig
) -> list[Condition]:
    """The conditions of all arms, with the replicates of the configuration.

    Parameters
    ----------
    arms
        The arms to compare.
    task, annotations, config
        The experiment's task, annotations and configuration.
    """
    return [condition for arm in arms for condition in _replicates(arm, task, annotations, config)]


def _replicates(
    arm: Arm, task: Task, annotations: SplitAnnotations, config: ExperimentConfig
) -> list[Condition]:
    """The conditions of one arm: one, or one for each draw."""
    # A pipeline replicate r is draw r with seed r; crossed, all draws are trained with all seeds.
    replicate = config.replicate.replicate
    seeds = config.finetune.seeds
    if replicate == "pipeline" and arm.one_draw:
        by_draw = [
            make_condition(arm, task, annotations, config, draw=draw) for draw in range(seeds)
        ]
        return [
            dataclasses.replace(condition, name=_name(arm, draw), seeds=[draw])
            for draw, condition in enumerate(by_draw)
        ]
    if replicate == "crossed" and arm.kind == LLM:
        by_draw = [
            make_condition(arm, task, annotations, config, draw=draw)
            for draw in range(len(annotations.train))
        ]
        return [
            dataclasses.replace(condition, name=_name(arm, draw), first_replicate=draw * seeds)
            for draw, condition in enumerate(by_draw)
        ]
    return [make_condition(arm, task, annotations, config)]


def _name(arm: Arm, draw: int) -> str:
    return f"{arm.name} draw {draw:02d}"


def replicate_counts(arms: Sequence[Arm], config: ExperimentConfig, n_draws: int) -> dict[str, int]:
    """Number of replicates by arm.

    Parameters
    ----------
    arms, config
        See :func:`replicate_conditions`.
    n_draws
        Number of draws of the session.
    """
    seeds = config.finetune.seeds
    crossed = config.replicate.replicate == "crossed"
    return {arm.name: seeds * n_draws if crossed and arm.kind == LLM else seeds for arm in arms}
