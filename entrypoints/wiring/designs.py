"""What the entry points curve, grid and budget vary: training sizes, configurations, budgets."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.questions.grid import SEARCHED
from entrypoints.wiring.conditions import Condition, SplitAnnotations, make_condition
from entrypoints.wiring.experiment import PreparedExperiment
from entrypoints.wiring.terminal import print_line
from entrypoints.wiring.trainer import Trained, Trainer
from project.config.arms import GOLD, LLM, Arm
from project.config.designs import CurveConfig, GridConfig
from project.config.labels import LabelConfig
from project.labels.audited import smallest_audit
from project.labels.shares import share_size
from project.support.errors import AssayError
from project.training.history import best_evaluation


def training_sizes(config: CurveConfig, n_train: int) -> list[int]:
    """The training sizes of a learning curve, rising.

    They are those of the configuration, or ``curve_points`` sizes from ``min_size`` to
    ``n_train``, evenly spaced on a logarithmic scale. Raises AssayError for sizes above
    ``n_train``.
    """
    if config.sizes is not None:
        if max(config.sizes) > n_train:
            raise AssayError(
                f"sizes must be at most the size of the training split, {n_train}; got "
                f"{max(config.sizes)}. Lower it, or raise max_train."
            )
        return sorted(config.sizes)
    if config.min_size >= n_train:
        raise AssayError(
            f"min_size must be below the size of the training split, {n_train}; got "
            f"{config.min_size}. Lower it, or raise max_train."
        )
    spaced = np.geomspace(config.min_size, n_train, config.curve_points)
    return sorted({round(size) for size in spaced})


def curve_conditions(
    experiment: PreparedExperiment,
    annotations: SplitAnnotations,
    sizes: Sequence[int],
    *,
    seed: int,
) -> list[Condition]:
    """Every arm at every training size, with all seeds.

    Parameters
    ----------
    experiment, annotations
        The arms, and the annotations of the whole training split.
    sizes
        The training sizes.
    seed
        See :func:`first_examples`.
    """
    task = experiment.task
    train = task.split("train")
    conditions = []
    for size in sizes:
        examples = first_examples(train, size, seed)
        for arm in experiment.arms:
            condition = make_condition(arm, task, annotations, experiment.config, examples=examples)
            name = f"{arm.name} n={size}"
            conditions.append(
                dataclasses.replace(
                    condition, name=name, params={**condition.params, "curve_seed": seed}
                )
            )
    return conditions


def first_examples(train: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """Some rows of the training split, in its order; every smaller set is part of the larger ones.

    This holds for all arms, and also when the split grows. Labels play no part in the choice, since
    there are none before annotation: a small set may lack a rare class.

    Parameters
    ----------
    train
        The training split, an examples table.
    size
        Number of rows.
    seed
        The rows with the lowest hashes of this seed and their id are chosen.
    """
    rank = train["example_id"].map(
        lambda name: hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).hexdigest()
    )
    chosen = rank.sort_values().index[:size]
    return train.loc[chosen.sort_values()].reset_index(drop=True)


def configurations(config: GridConfig) -> list[dict[str, Any]]:
    """Every combination of the grid's values; the last hyper-parameter changes fastest."""
    values = (config.grid_learning_rate, config.grid_train_batch_size, config.grid_epochs)
    return [
        dict(zip(SEARCHED, combination, strict=True)) for combination in itertools.product(*values)
    ]


def best_configurations(trained: Sequence[Trained]) -> dict[str, int]:
    """Index of every arm's best configuration.

    It has the highest validation macro-F1, averaged over its seeds; of equal ones the first counts.
    """
    scores: dict[str, dict[int, list[float]]] = {}
    for seed in trained:
        index = int(str(seed.condition.params["configuration"]))
        by_index = scores.setdefault(seed.condition.arm.name, {})
        by_index.setdefault(index, []).append(
            best_evaluation(seed.result.history).validation_macro_f1
        )
    return {
        arm: min(by_index, key=lambda index: (-float(np.mean(by_index[index])), index))
        for arm, by_index in scores.items()
    }


def search_and_test(
    trainer: Trainer,
    conditions: Sequence[Condition],
    values: Sequence[Mapping[str, Any]],
    *,
    grid_seeds: int,
) -> None:
    """Train every configuration of every condition; then the best of each with all seeds.

    Parameters
    ----------
    trainer
        The trainer of the root run.
    conditions
        One condition for each arm.
    values
        The configurations of the grid.
    grid_seeds
        Number of seeds of every configuration. They are scored on the validation split, so that
        the test split plays no part in the choice.
    """
    search = []
    for condition in conditions:
        on_validation = dataclasses.replace(
            condition, seeds=range(grid_seeds), evaluated="validation"
        )
        search += [configured(on_validation, values[index], index) for index in range(len(values))]
    best = best_configurations(trainer.train(search))
    chosen = []
    for condition in conditions:
        index = best[condition.arm.name]
        chosen.append(configured(condition, values[index], index))
    trainer.train(chosen)


def configured(condition: Condition, values: Mapping[str, Any], index: int) -> Condition:
    """A condition with the hyper-parameters of one configuration of a grid.

    Parameters
    ----------
    condition
        One with the recipe of the experiment.
    values
        Hyper-parameters by name, which replace those of the recipe.
    index
        Index of the configuration in the grid.
    """
    return dataclasses.replace(
        condition,
        setting=" ".join(f"{name}={value:g}" for name, value in values.items()),
        config=dataclasses.replace(condition.config, **values),
        params={**condition.params, "configuration": index},
    )


def budget_arms(experiment: PreparedExperiment) -> list[Arm]:
    """Gold, the LLM's labels, and every arm whose budget is large enough.

    Prints which arms are left out, and why.
    """
    task = experiment.task
    n_train = len(task.split("train"))
    arms = []
    if not task.counts.get("unlabelled"):
        arms.append(Arm(GOLD))
    if experiment.session:
        arms.append(Arm(LLM))
    for arm in experiment.arms:
        if arm.kind in (GOLD, LLM):
            continue
        if reason := too_small(arm, n_train, len(task.label_set), experiment.config.label):
            print_line(f"budget: {arm.name} is left out: {reason}.")
        else:
            arms.append(arm)
    return arms


def too_small(arm: Arm, n_train: int, n_classes: int, config: LabelConfig | None = None) -> str:
    """Why an arm's budget is too small; empty where it is large enough.

    Parameters
    ----------
    arm
        An arm with a budget.
    n_train, n_classes
        Numbers of training texts and of classes.
    config
        Parameters of the label sources; the defaults without them.
    """
    n_labels = share_size(arm.replace_share or 0.0, n_train)
    minimum = smallest_audit(arm, config or LabelConfig())
    needs_one = arm.facts.audit and (n_labels > 0 or arm.facts.remade == "certified")
    if needs_one and n_labels < minimum:
        return f"its audit needs {minimum} labels, and the budget is {n_labels}"
    if arm.facts.human_labels_alone and n_labels < n_classes:
        return f"{n_labels} labels are too few to train on {n_classes} classes"
    return ""
