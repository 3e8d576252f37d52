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
    """Train gold, the LLM's labels, and every source at every budget that it can use."""
    import dataclasses

    from entrypoints.wiring.designs import budget_arms
    from entrypoints.wiring.experiment import prepare_experiment, run_experiment
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.more_seeds import train_looks
    from entrypoints.wiring.reports import publish_experiment

    reach = parse(BudgetConfig, params).reach
    with prepare_experiment(params, checks_audits=False, labels=BudgetConfig) as with_all_arms:
        prepared = dataclasses.replace(with_all_arms, arms=budget_arms(with_all_arms))
        run_experiment(
            "budget",
            Invocation("budget", params),
            prepared,
            design={"reach": reach},
            conditions=prepared.conditions,
            publish=publish_experiment,
            train=train_looks(prepared.config),
        )


if __name__ == "__main__":
    main("budget", budget)
