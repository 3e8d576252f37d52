"""Seeds that are added until the verdict is decided (``until=decided``)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.trainer import Trainer
from project.config.experiment import ExperimentConfig
from project.support.errors import AssayError
from project.tracking import SEEDS_TRAINED, Tracker


def check_until(config: ExperimentConfig) -> None:
    """Refuse until=decided with replicates that have no seeds to add."""
    replicate = config.replicate.replicate
    if config.verdict.until == "decided" and replicate != "training":
        raise AssayError(
            f"until=decided adds seeds, and needs replicate=training; got {replicate}. Leave one "
            "of the two out."
        )


def train_looks(
    config: ExperimentConfig,
) -> Callable[[Trainer, Sequence[Condition], Tracker], None] | None:
    """Returns a function that trains conditions with more and more seeds; None if none are added.

    It trains all of them with the seeds asked for, with twice and with four times as many, and
    stops as soon as more seeds cannot change the headline of the verdict: the LLM's labels are
    safe, or they are decided and a remedy is named, or more seeds would hardly decide. After each
    look the number of seeds is a tag of the root run, so that a report reads complete looks alone.
    """
    if config.verdict.until != "decided":
        return None
    from analysis.questions.verdict_looks import FACTORS

    def train(trainer: Trainer, conditions: Sequence[Condition], tracker: Tracker) -> None:
        trained = 0
        for factor in FACTORS:
            wanted = factor * config.finetune.seeds
            added = range(trained, wanted)
            trainer.train([dataclasses.replace(condition, seeds=added) for condition in conditions])
            trained = wanted
            tracker.tag({SEEDS_TRAINED: str(trained)})
            tracker.flush()  # the verdict is made from the store
            if factor == FACTORS[-1] or not _goes_on(tracker.run_id, config, trained):
                return

    return train


def _goes_on(run_id: str, config: ExperimentConfig, trained: int) -> bool:
    """Whether more seeds may decide the verdict; prints how it stands."""
    from analysis.questions.verdict import judge_experiment, level_of
    from analysis.questions.verdict_judge import arms_that_seeds_may_decide, open_criteria
    from analysis.questions.verdict_looks import last_level
    from analysis.questions.verdict_requirements import (
        MIN_SEEDS,
        reason_beyond_seeds,
        reason_to_refuse,
    )
    from analysis.store.experiment import read_experiment

    experiment = read_experiment(run_id)
    if reason_beyond_seeds(experiment):
        return False
    if trained < MIN_SEEDS:
        print_line(f"verdict: {trained} seeds are too few to tell; more are trained.")
        return True
    if reason_to_refuse(experiment):
        return False
    level = level_of(experiment, config.verdict)
    judged = judge_experiment(experiment, config.verdict, level)
    word = judged.rows.set_index("arm").loc["llm", "safe"]
    names = " and ".join(open_criteria(judged, config.verdict))
    standing = "llm is not safe" if word == "no" else f"{names} undecided"
    arms = arms_that_seeds_may_decide(judged, config.verdict, last_level())
    if arms:
        print_line(
            f"verdict: {standing} after {trained} seeds; more are trained, which may decide on "
            f"{', '.join(arms)}."
        )
    elif word == "undecided":
        print_line(f"verdict: {standing} after {trained} seeds, and more would hardly decide.")
    return bool(arms)
