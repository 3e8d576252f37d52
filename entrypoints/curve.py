"""Learning curves: training sizes x arms x seeds; every smaller training set is in the larger ones.

mlflow run . -e curve                               six sizes, evenly spaced on a logarithmic scale
mlflow run . -e curve -P task=ecommerce -P arms=gold,llm -P sizes=250,1000
python -m entrypoints.curve --arms gold,llm --curve_points 3 --seeds 2
"""

from __future__ import annotations

from collections.abc import Mapping

from entrypoints.wiring.command import main
from project.config.designs import CurveConfig
from project.config.fields import parse


def curve(params: Mapping[str, str]) -> None:
    """Every arm at every size with all seeds.

    The training split is annotated once; validation and test splits keep their sizes.
    """
    import dataclasses

    from analysis.questions.curve import publish
    from entrypoints.wiring.conditions import make_condition
    from entrypoints.wiring.designs import first_examples, training_sizes
    from entrypoints.wiring.experiment import experiment_run, prepare_experiment, publish_after
    from entrypoints.wiring.invocation import Invocation
    from entrypoints.wiring.trainer import Trainer

    design = parse(CurveConfig, params)
    with prepare_experiment(params) as prepared:
        config, task = prepared.config, prepared.task
        train = task.split("train")
        sizes = training_sizes(design, len(train))
        with experiment_run(
            "curve",
            f"{task.name} curve",
            Invocation("curve", params),
            prepared,
            design={"sizes": sizes},
        ) as (tracker, annotations):
            if annotations is None:
                return
            conditions = []
            for size in sizes:
                examples = first_examples(train, size, design.curve_seed)
                for arm in prepared.arms:
                    condition = make_condition(arm, task, annotations, config, examples=examples)
                    name = f"{arm.name} n={size}"
                    shared = {"curve_seed": design.curve_seed}
                    conditions.append(dataclasses.replace(condition, name=name, params=shared))
            with publish_after(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                Trainer(tracker, prepared.encoder, task, config).train(conditions)


if __name__ == "__main__":
    main("curve", curve)
