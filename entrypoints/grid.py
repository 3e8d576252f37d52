"""A grid search over learning rate, batch size and epochs, as in Pangakis and Wolken (2024).

Configurations are chosen on validation; the test split is read once, for the chosen ones.

mlflow run . -e grid                          gold and the LLM's labels, 27 configurations each
mlflow run . -e grid -P task=imdb -P arms=llm -P grid_epochs=3 -P grid_seeds=3
python -m entrypoints.grid --arms gold --grid_train_batch_size 16 --grid_epochs 2,3
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.designs import GridConfig
from project.config.fields import parse


def grid(params: Mapping[str, str]) -> None:
    """Train every configuration for every arm; then the best of each arm with all seeds."""
    import dataclasses

    from analysis.questions.grid import publish
    from entrypoints.wiring.conditions import make_condition
    from entrypoints.wiring.designs import best_configurations, configurations, configured
    from entrypoints.wiring.experiment import experiment_run, prepare_experiment, publish_after
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.trainer import Trainer

    design = parse(GridConfig, params)
    values = configurations(design)
    with prepare_experiment(params, annotates_test=False) as prepared:
        config, task = prepared.config, prepared.task
        with experiment_run(
            "grid",
            f"{task.name} grid",
            Invocation("grid", params),
            prepared,
            design={"grid": values, "grid_seeds": design.grid_seeds},
        ) as (tracker, annotations):
            if annotations is None:
                return
            arms = [make_condition(arm, task, annotations, config) for arm in prepared.arms]
            trainer = Trainer(tracker, prepared.encoder, task, config)
            with publish_after(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                search = [
                    configured(condition, values[index], index)
                    for condition in arms
                    for index in range(len(values))
                ]
                on_validation = [
                    dataclasses.replace(
                        condition, seeds=range(design.grid_seeds), evaluated="validation"
                    )
                    for condition in search
                ]
                best = best_configurations(trainer.train(on_validation))
                trainer.train(
                    [
                        configured(
                            condition, values[best[condition.arm.name]], best[condition.arm.name]
                        )
                        for condition in arms
                    ]
                )


if __name__ == "__main__":
    main("grid", grid)
