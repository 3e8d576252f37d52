"""The experiments of all labels of a card, with one encoder for all of them.

Every label has its annotations, label sources and root run as in an experiment of its own. Only the
encoder is shared: an output for each label, trained once for each source of labels and seed.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.experiment import experiment_run, prepare_experiment
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.replicates import replicate_conditions, replicate_counts
from entrypoints.wiring.reports import publish_after, publish_experiment
from entrypoints.wiring.trainer import Planned, Setting, Trained, Trainer
from project.config.cluster import NO_CLUSTER
from project.support.errors import AssayError
from project.tracking import ONE_ENCODER, tagged
from project.training.one_encoder import check_one_encoder, in_one_encoder


class LabelOfMany(NamedTuple):
    """A label, and the tags of its root run."""

    label: str
    tags: Mapping[str, str]


class _Opened(NamedTuple):
    """A root run that is open: its trainer, and what is to be trained."""

    label: str
    trainer: Trainer
    conditions: Sequence[Condition]


def run_labels(params: Mapping[str, str], labels: Sequence[LabelOfMany]) -> None:
    """Run the experiments of several labels of one card with one encoder.

    Parameters
    ----------
    params
        Every parameter of the entry point ``main`` as text, but for ``label``.
    labels
        The labels, at least two.

    Raises
    ------
    AssayError
        If a parameter does not allow it, or the labels cannot be trained together.
    """
    together = ", ".join(one.label for one in labels)
    with contextlib.ExitStack() as stack:
        opened = [_open(stack, {**params, "label": one.label}, one, together) for one in labels]
        _train(opened)


def _open(
    stack: contextlib.ExitStack, params: Mapping[str, str], one: LabelOfMany, together: str
) -> _Opened:
    """Annotate the texts for one label, in a root run that stays open."""
    prepared = stack.enter_context(prepare_experiment(params))
    config = prepared.config
    check_one_encoder(
        config.finetune,
        is_linear=prepared.encoder.is_linear,
        on_cluster=params["cluster"] != NO_CLUSTER,
        other_losses=[arm.name for arm in prepared.arms if arm.facts.own_training],
    )
    if config.verdict.until == "decided":
        raise AssayError(
            "until=decided needs one_encoder=false: the labels may need different numbers of "
            "seeds. Leave one of the two out."
        )
    counts = replicate_counts(prepared.arms, config, prepared.n_draws)
    with tagged({**one.tags, ONE_ENCODER: together}):
        tracker, annotations = stack.enter_context(
            experiment_run(
                "experiment",
                "",
                Invocation("main", params),
                prepared,
                design={"replicates": counts},
            )
        )
    if annotations is None:
        raise AssayError("dry_run must be false with one_encoder=true. Use it with one label.")
    conditions = [
        dataclasses.replace(each, params={**each.params, "one_encoder": together})
        for each in replicate_conditions(prepared.arms, prepared.task, annotations, config)
    ]
    run_id, workspace = tracker.run_id, config.host.workspace
    stack.enter_context(publish_after(tracker, lambda: publish_experiment(run_id, workspace)))
    trainer = Trainer(tracker, prepared.encoder, prepared.task, config, prepared.cluster)
    return _Opened(one.label, trainer, conditions)


def _train(opened: Sequence[_Opened]) -> None:
    """Train the conditions of all labels; every seed is logged below each label's root run."""
    by_label = [one.trainer.planned(one.conditions) for one in opened]
    for one, planned in zip(opened, by_label, strict=True):
        if len(planned) != len(by_label[0]):
            raise AssayError(
                f"one encoder needs as many trainings of every label; {one.label} has "
                f"{len(planned)} and {opened[0].label} {len(by_label[0])}. Set one_encoder=false, "
                "which trains each label alone."
            )
    joined = [in_one_encoder([one.job for one in row]) for row in zip(*by_label, strict=True)]
    todo: list[tuple[Trainer, Planned]] = []
    for place, one in enumerate(opened):
        jobs = [row[place] for row in joined]
        one.trainer.announce(jobs)
        todo += [
            (one.trainer, planned._replace(job=job))
            for planned, job in zip(by_label[place], jobs, strict=True)
        ]
    by_setting: dict[Setting, list[Trained]] = {}
    failure = opened[0].trainer.run(todo, by_setting)
    for setting, seeds in by_setting.items():
        setting.trainer.report_not_learned(seeds)
    if failure:
        raise failure
