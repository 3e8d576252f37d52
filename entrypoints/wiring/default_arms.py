"""Default arms that the annotator or the recipe cannot serve become those that work.

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
from project.config.finetune import LINEAR
from project.config.labels import LabelConfig
from project.config.recipe import latent_conflict


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
    """The configuration with those of the default arms that annotator and recipe can serve.

    Arms that are not the default are unchanged. Once the annotator is open, it is printed what is
    left out.

    Parameters
    ----------
    config
        The configuration; once the annotator is open, ``ensemble_size`` is its number of draws.
    section
        The entry point's section of label sources, which has the default.
    annotator
        The recorded labels or the cross-encoder; None before it is open.
    """
    arms = config.label.arms
    if not is_default(section, "arms", arms):
        return config
    left_out = {**_not_served(config, annotator), **_not_trained(config)}
    kept = tuple(kind for kind in arms if kind not in left_out)
    if kept == arms:
        return config
    if annotator is not None:
        print_line(f"note: arms is {','.join(kept)} here: {', '.join(left_out.values())}.")
    return dataclasses.replace(config, label=dataclasses.replace(config.label, arms=kept))


def _not_served(config: ExperimentConfig, annotator: Annotator | None) -> dict[str, str]:
    """Arms that the annotator cannot serve, by the reason."""
    engine = engine_facts(config.annotate.annotator)
    if engine.has_prompt and not engine.scores_pairs:  # as many draws as are wanted
        return {}
    lacks: Sequence[Collection[str]] = getattr(annotator, "lacks", ())
    n_draws = config.prompt.ensemble_size
    without = "a cross-encoder does" if engine.scores_pairs else "these recorded labels do"
    found: dict[str, str] = {}
    for kind in config.label.arms:
        facts = arm_facts(kind)
        if facts.compares_draws and n_draws is not None and n_draws < 2:
            found[kind] = f"{kind} compares several draws, which {without} not have"
        elif lacks and facts.reads in lacks[0]:
            reads = facts.reads.replace("_", " ")
            found[kind] = f"{kind} reads the LLM's {reads}, which {without} not have"
    return found


def _not_trained(config: ExperimentConfig) -> dict[str, str]:
    """Arms that the classifier or its recipe cannot be trained with, by the reason."""
    conflict = latent_conflict(config.finetune)
    found: dict[str, str] = {}
    for kind in config.label.arms:
        facts = arm_facts(kind)
        if facts.latent and conflict:
            name, value = conflict
            found[kind] = f"{kind} needs {name}={value}"
        elif facts.two_phases and config.finetune.encoder == LINEAR:
            found[kind] = f"{kind} trains in two phases, which encoder=linear does not"
    return found
