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
    """Train every arm at every size with all seeds.

    The training split is annotated once; validation and test splits keep their sizes.
    """
    from analysis.questions.curve import publish
    from entrypoints.wiring.arm_checks import check_audits
    from entrypoints.wiring.designs import curve_conditions, training_sizes
    from entrypoints.wiring.experiment import prepare_experiment, run_experiment
    from entrypoints.wiring.invocation import Invocation

    design = parse(CurveConfig, params)
    with prepare_experiment(params, trains_on_parts=True) as prepared:
        sizes = training_sizes(design, len(prepared.task.split("train")))
        smallest = {**prepared.task.counts, "train": min(sizes)}
        check_audits(prepared.arms, smallest, prepared.config)
        run_experiment(
            "curve",
            Invocation("curve", params),
            prepared,
            design={"sizes": sizes},
            conditions=lambda annotations: curve_conditions(
                prepared, annotations, sizes, seed=design.curve_seed
            ),
            publish=publish,
        )


if __name__ == "__main__":
    main("curve", curve)
