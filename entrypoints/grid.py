"""A grid search over learning rate, batch size and epochs, as in Pangakis and Wolken (2024): chosen on validation, tested once.

mlflow run . -e grid                                                 gold and the LLM's labels, 27 configurations each
mlflow run . -e grid -P task=imdb -P arms=llm -P grid_epochs=3 -P grid_seeds=3
python -m entrypoints.grid --arms gold --grid_learning_rate 2e-5,5e-5 --grid_train_batch_size 16 --grid_epochs 2,3
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.questions.grid import SEARCHED, publish
from entrypoints.wiring.command import main
from entrypoints.wiring.conditions import Condition, condition
from entrypoints.wiring.experiment import opened, published, study_run
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.seed_runs import Trained, Trainer
from project.config.designs import GridConfig
from project.config.fields import parse
from project.training.loop import best_macro_f1


def grid(params: Mapping[str, str]) -> None:
    """Every configuration is trained for every arm and scored on validation; the best of each arm is trained with all seeds and tested."""
    asked = parse(GridConfig, params)
    configurations = configurations_of(asked)
    with opened(params, tested=False) as study:
        config, task = study.config, study.task
        design = {"grid": configurations, "grid_seeds": asked.grid_seeds}
        with study_run("grid", f"{task.name} grid", Invocation("grid", params), study, design) as (
            tracker,
            drawn,
        ):
            if drawn is None:
                return
            arms, trainer = (
                [condition(arm, task, drawn, config) for arm in study.compared],
                Trainer(tracker, study.encoder, task, config),
            )
            with published(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                searched = [
                    dataclasses.replace(
                        configured(one, values, place),
                        seeds=range(asked.grid_seeds),
                        evaluated="validation",
                    )
                    for one in arms
                    for place, values in enumerate(configurations)
                ]
                best = chosen(trainer.train(searched))
                tested = [
                    configured(one, configurations[best[one.arm.name]], best[one.arm.name])
                    for one in arms
                ]
                trainer.train(tested)


def configurations_of(asked: GridConfig) -> list[dict[str, Any]]:
    """Every combination of the values asked for, in their order, the last one changing fastest."""
    values = (asked.grid_learning_rate, asked.grid_train_batch_size, asked.grid_epochs)
    return [dict(zip(SEARCHED, one, strict=True)) for one in itertools.product(*values)]


def chosen(done: Sequence[Trained]) -> dict[str, int]:
    """The place in the grid of every arm's best configuration: the highest mean validation macro-F1 over its seeds (ties: the earlier one)."""
    scores: dict[str, dict[int, list[float]]] = {}
    for one in done:
        place = int(str(one.condition.params["configuration"]))
        scores.setdefault(one.condition.arm.name, {}).setdefault(place, []).append(
            best_macro_f1(one.result.history)
        )
    return {
        arm: min(places, key=lambda place: (-float(np.mean(places[place])), place))
        for arm, places in scores.items()
    }


def configured(one: Condition, values: Mapping[str, Any], place: int) -> Condition:
    """``one`` with the hyper-parameters ``values``, the grid's configuration number ``place``."""
    setting = " ".join(f"{key}={value:g}" for key, value in values.items())
    return dataclasses.replace(
        one,
        setting=setting,
        config=dataclasses.replace(one.config, **values),
        params={"configuration": place},
    )


if __name__ == "__main__":
    main("grid", grid)
