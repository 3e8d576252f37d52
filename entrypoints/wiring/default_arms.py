"""Defaults that recorded labels or a cross-encoder cannot serve become what works.

This is said. A value that the user set is never changed: what cannot work is refused.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from entrypoints.wiring.terminal import print_line
from project.annotation.engines.base import Annotator
from project.config.arms import arm_facts
from project.config.engines import engine_facts
from project.config.experiment import ExperimentConfig
from project.config.fields import ConfigSection
from project.config.labels import LabelConfig


def is_default(section: type[ConfigSection], name: str, value: object) -> bool:
    """Whether a parameter of a section has its default."""
    return any(
        field.name == name and field.default == value for field in dataclasses.fields(section)
    )


def with_possible_arms(
    config: ExperimentConfig,
    section: type[LabelConfig],
    annotator: Annotator | None = None,
) -> ExperimentConfig:
    """The configuration with those of the default arms that the annotator can serve.

    Engines with as many draws as are wanted, and arms that are not the default, are unchanged. Once
    the annotator is open, it is printed what is left out.

    Parameters
    ----------
    config
        The configuration; once the annotator is open, ``ensemble_size`` is its number of draws.
    section
        The entry point's section of label sources, which has the default.
    annotator
        The recorded labels or the cross-encoder; None before it is open.
    """
    engine = engine_facts(config.annotate.annotator)
    if engine.has_prompt and not engine.scores_pairs:
        return config
    arms = config.label.arms
    if not is_default(section, "arms", arms):
        return config
    lacks: Sequence[Collection[str]] = getattr(annotator, "lacks", ())
    n_draws = config.prompt.ensemble_size
    left_out: dict[str, str] = {}
    for kind in arms:
        facts = arm_facts(kind)
        if facts.compares_draws and n_draws is not None and n_draws < 2:
            left_out[kind] = f"{kind} compares several draws"
        elif lacks and facts.reads in lacks[0]:
            left_out[kind] = f"{kind} reads the LLM's {facts.reads.replace('_', ' ')}"
    if not left_out:
        return config
    kept = tuple(kind for kind in arms if kind not in left_out)
    if annotator is not None:
        source = "a cross-encoder does" if engine.scores_pairs else "these recorded labels do"
        print_line(
            f"note: arms is {','.join(kept)} here: {', '.join(left_out.values())}, which {source} "
            "not have."
        )
    return dataclasses.replace(config, label=dataclasses.replace(config.label, arms=kept))
