"""A grid search over learning rate, batch size and epochs, as in Pangakis and Wolken (2024).

Configurations are chosen on validation; the test split is read once, for the chosen ones.

mlflow run . -e grid                          gold and the LLM's labels, 27 configurations each
mlflow run . -e grid -P task=imdb -P arms=llm -P grid_epochs=3 -P grid_seeds=3
python -m entrypoints.grid --arms gold --grid_train_batch_size 16 --grid_epochs 2,3
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.designs import GridConfig, GridLabelConfig
from project.config.fields import parse
from project.config.finetune import LINEAR, FinetuneConfig
from project.support.errors import AssayError


def grid(params: Mapping[str, str]) -> None:
    """Train every configuration for every arm; then the best of each arm with all seeds."""
    from analysis.questions.grid import publish
    from entrypoints.wiring.designs import configurations, search_and_test
    from entrypoints.wiring.experiment import prepare_experiment, run_experiment
    from entrypoints.wiring.invocation import Invocation

    config = parse(GridConfig, params)
    if parse(FinetuneConfig, params).encoder == LINEAR:
        raise AssayError(
            "encoder must be one that is fine-tuned, since linear has no learning rate, batch size "
            "or epochs to search; got linear. Name an encoder."
        )
    values = configurations(config)
    with prepare_experiment(
        params, annotates_test=False, sets_epochs=True, labels=GridLabelConfig
    ) as prepared:
        run_experiment(
            "grid",
            Invocation("grid", params),
            prepared,
            design={"grid": values, "grid_seeds": config.grid_seeds},
            conditions=prepared.conditions,
            publish=publish,
            train=lambda trainer, conditions, tracker: search_and_test(
                trainer, conditions, values, grid_seeds=config.grid_seeds
            ),
        )


if __name__ == "__main__":
    main("grid", grid)
