"""Human-budget curves: label sources x shares of human labels x seeds, from one set of annotations.

mlflow run . -e budget                                     seven sources at eight budgets
mlflow run . -e budget -P task=ecommerce -P arms=random,learned -P replace_share=0,5,10,25
python -m entrypoints.budget --arms random,learned --replace_share 0,25,100 --seeds 2
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.designs import BudgetConfig
from project.config.fields import parse


def budget(params: Mapping[str, str]) -> None:
    """Gold, the LLM's labels, and every source at every budget that it can use, with all seeds."""
    import dataclasses

    from analysis.report import publish
    from entrypoints.wiring.conditions import make_condition
    from entrypoints.wiring.designs import budget_arms
    from entrypoints.wiring.experiment import experiment_run, prepare_experiment, publish_after
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.trainer import Trainer

    reach = parse(BudgetConfig, params).reach
    with prepare_experiment(params) as every_arm:
        prepared = dataclasses.replace(every_arm, arms=budget_arms(every_arm))
        config, task = prepared.config, prepared.task
        with experiment_run(
            "budget",
            f"{task.name} budget",
            Invocation("budget", params),
            prepared,
            design={"reach": reach},
        ) as (tracker, annotations):
            if annotations is None:
                return
            conditions = [make_condition(arm, task, annotations, config) for arm in prepared.arms]
            with publish_after(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                Trainer(tracker, prepared.encoder, task, config).train(conditions)


if __name__ == "__main__":
    main("budget", budget)
