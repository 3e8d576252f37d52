"""What can be refused before a model is read or anything is paid: all of it in one go."""

from __future__ import annotations

from typing import NamedTuple

from entrypoints.wiring import arm_checks
from entrypoints.wiring.default_arms import with_possible_arms
from entrypoints.wiring.human_answers import human_answers
from entrypoints.wiring.prompt_headings import with_note_for_arms
from entrypoints.wiring.setup import check_store
from project.annotation.engines.factory import check_engine
from project.config.arms import Arm
from project.config.experiment import ExperimentConfig
from project.config.labels import LabelConfig
from project.data.task import Task, comes_from_hub, load_task
from project.labels.human import HumanLabels
from project.labels.sources import arms
from project.support.errors import Refusals


class Checked(NamedTuple):
    """What an experiment reads before anything else.

    Attributes
    ----------
    task
        The task, read and split.
    answers
        Human labels from the files ``human``; None if gold labels are used in their place.
    """

    task: Task
    answers: HumanLabels | None


def first_checks(
    config: ExperimentConfig, labels: type[LabelConfig], *, checks_audits: bool
) -> Checked:
    """Check engine, label sources, store, data and human labels, each whatever the others say.

    Data of the hub are fetched only where nothing else is wrong.

    Parameters
    ----------
    config
        The configuration, without what the task card fills in.
    labels
        The entry point's section of label sources.
    checks_audits
        Whether an arm whose budget is too small for its audit is refused.

    Raises
    ------
    AssayError
        The first error, with all others in its ``others``.
    """
    refusals = Refusals()
    possible: list[Arm] = []
    with refusals.part():
        check_engine(config.annotate.annotator, config.cluster)
    with refusals.part():
        early = with_possible_arms(config, labels)
        possible = arms(early.label, config.prompt.ensemble_size)  # refuses impossible arms
        arm_checks.check_training(possible, config.finetune)
    with refusals.part():
        check_store(config.host.workspace)
    if comes_from_hub(config.task):
        refusals.finish()
    with refusals.part():
        task = with_note_for_arms(load_task(config.task), config)
        with refusals.part():
            arm_checks.check_order(task, config.finetune)
        with refusals.part():
            answers = human_answers(task, config)
        if possible:
            arm_checks.check_zones(possible, task, config.label)
        if checks_audits:
            arm_checks.check_audits(possible, task.counts, config.resolved(task.defaults))
    refusals.finish()
    return Checked(task, answers)
