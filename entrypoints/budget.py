"""Human-budget curves: label sources x shares of human labels x seeds, from one set of annotations.

mlflow run . -e budget                                               seven sources at eight budgets
mlflow run . -e budget -P task=ecommerce -P arms=random,entropy,learned -P replace_share=0,5,10,25
python -m entrypoints.budget --arms random,learned --replace_share 0,25,100 --seeds 2
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from analysis.report import publish
from entrypoints.wiring.command import main, print_line
from entrypoints.wiring.conditions import make_condition
from entrypoints.wiring.experiment import prepare_experiment, publish_after, experiment_run
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.seed_runs import Trainer
from project.config.arms import GOLD, LLM, Arm
from project.config.designs import BudgetConfig
from project.config.fields import parse
from project.labels.error_model import MIN_AUDIT
from project.labels.selection import share_size


def budget(params: Mapping[str, str]) -> None:
    """Gold, the LLM's labels, and every source at every budget that it can use, with all seeds."""
    reach = parse(
        BudgetConfig, params
    ).reach  # refuses what is no source of labels, before anything is loaded
    with prepare_experiment(params) as asked:
        config, task = asked.config, asked.task
        n = len(task.split("train"))
        possible = [
            *([] if task.counts.get("unlabelled") else [Arm(GOLD)]),
            *([Arm(LLM)] if asked.asked else []),
        ]
        for arm in (one for one in asked.compared if one.kind not in (GOLD, LLM)):
            if why := impossible(arm, n, len(task.label_set)):
                print_line(f"budget: {arm.name} is left out: {why}.")
            else:
                possible.append(arm)
        study = dataclasses.replace(asked, compared=possible)
        with experiment_run(
            "budget", f"{task.name} budget", Invocation("budget", params), study, {"reach": reach}
        ) as (tracker, drawn):
            if drawn is None:
                return
            conditions = [make_condition(arm, task, drawn, config) for arm in possible]
            with publish_after(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                Trainer(tracker, study.encoder, task, config).train(conditions)


def impossible(arm: Arm, n: int, n_classes: int) -> str:
    """Why ``arm`` cannot be with ``n`` training texts; empty where it can."""
    labels = share_size(arm.replace_share or 0.0, n)
    if arm.facts.audit and 0 < labels < MIN_AUDIT:
        return f"its audit takes {MIN_AUDIT} labels, and this budget is {labels}"
    if arm.facts.human_labels_alone and labels < n_classes:
        return f"{labels} labels of {n_classes} classes are nothing to train on"
    return ""


if __name__ == "__main__":
    main("budget", budget)
