"""Learning curves: training sizes x arms x seeds, every smaller training set inside the larger ones.

mlflow run . -e curve                                                six sizes, evenly spaced in their logarithm
mlflow run . -e curve -P task=ecommerce -P arms=gold,llm -P sizes=250,1000
python -m entrypoints.curve --arms gold,llm --curve_points 3 --seeds 2
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
import pandas as pd

from analysis.questions.curve import publish
from entrypoints.wiring.command import main
from entrypoints.wiring.conditions import Condition, condition
from entrypoints.wiring.experiment import opened, published, study_run
from entrypoints.wiring.provenance import Invocation
from entrypoints.wiring.seed_runs import Trainer
from project.config.designs import CurveConfig
from project.config.fields import parse
from project.support.errors import AssayError


def curve(params: Mapping[str, str]) -> None:
    """Every arm at every size with all seeds; the training split is annotated once, and validation and test stay whole."""
    asked = parse(CurveConfig, params)
    with opened(params) as study:
        config, task = study.config, study.task
        train = task.split("train")
        sizes = training_sizes(asked, len(train))
        with study_run(
            "curve", f"{task.name} curve", Invocation("curve", params), study, {"sizes": sizes}
        ) as (tracker, drawn):
            if drawn is None:
                return
            conditions: list[Condition] = []
            for size in sizes:
                examples = first_examples(train, size, asked.curve_seed)
                for arm in study.compared:
                    one = condition(arm, task, drawn, config, examples=examples)
                    conditions.append(
                        dataclasses.replace(
                            one,
                            name=f"{arm.name} n={size}",
                            params={"curve_seed": asked.curve_seed},
                        )
                    )
            with published(tracker, lambda: publish(tracker.run_id, config.host.workspace)):
                Trainer(tracker, study.encoder, task, config).train(conditions)


def training_sizes(asked: CurveConfig, n: int) -> list[int]:
    """The sizes asked for, rising; else ``curve_points`` from ``min_size`` to ``n``, the training split's, evenly spaced in their logarithm."""
    if asked.sizes is not None:
        if max(asked.sizes) > n:
            raise AssayError(
                f"sizes must be at most the training split's size, {n}; got {max(asked.sizes)}. Lower it, or raise max_train."
            )
        return sorted(asked.sizes)
    if asked.min_size >= n:
        raise AssayError(
            f"min_size must be below the training split's size, {n}; got {asked.min_size}. Lower it, or raise max_train."
        )
    return sorted({round(size) for size in np.geomspace(asked.min_size, n, asked.curve_points)})


def first_examples(train: pd.DataFrame, size: int, seed: int) -> pd.DataFrame:
    """The first ``size`` rows of ``train`` in the order of a hash of their id and ``seed``; they keep the split's order among themselves.

    The order asks for no label, since nobody has one before annotation; it is the same for all arms, and a row keeps its place when the split
    grows. Classes therefore come in as they would to somebody who labels texts at random: a small set may lack a rare one.
    """
    rank = train["example_id"].map(
        lambda name: hashlib.sha256(f"{seed}:{name}".encode("utf-8", "surrogatepass")).hexdigest()
    )
    chosen = rank.sort_values().index[:size]
    return train.loc[chosen.sort_values()].reset_index(drop=True)


if __name__ == "__main__":
    main("curve", curve)
