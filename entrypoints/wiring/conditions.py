"""What is trained: conditions, each one arm's labels under one recipe with several seeds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from project.annotation.cost import Spent, spent
from project.config.arms import LLM, Arm
from project.config.experiment import ExperimentConfig
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig
from project.data.task import Task
from project.labels.inputs import LabelInputs
from project.labels.sources import human_share, label
from project.stats.types import Floats
from project.support.errors import AssayError


@dataclass(frozen=True)
class Condition:
    """All that stays the same over some seeds.

    ``examples``: the training examples (rows of an examples table, in the order of the split), ``labels`` a labels table of them, without
    those that have no label; ``validation``: labels that pick the epoch. ``draw``: whose labels they are, where they are one draw's.
    Seed s is the arm's replicate ``first_replicate + s``. ``evaluated``: the split that is predicted, test or validation. ``params``: what else
    stands on every seed's run; ``name`` tells the labels of one experiment apart, ``setting`` the recipes. ``answers``: the annotations tables that
    the labels were made from.
    """

    arm: Arm
    name: str
    examples: pd.DataFrame
    labels: pd.DataFrame
    validation: pd.DataFrame
    config: FinetuneConfig
    seeds: Sequence[int]
    draw: int | None = None
    first_replicate: int = 0
    evaluated: str = "test"
    params: Mapping[str, object] = field(default_factory=dict)
    setting: str = ""
    answers: Sequence[pd.DataFrame] = ()

    @property
    def title(self) -> str:
        """What a person reads of the condition: its labels and, where there are several, its recipe."""
        return f"{self.name} {self.setting}".strip()

    @functools.cached_property
    def spent(self) -> Spent:
        """What the training labels have taken, whoever paid; those that pick the epoch are not counted."""
        return spent(self.answers, human_share(self.labels)[0])

    def absent(self, label_set: Sequence[str]) -> list[str]:
        """The classes without a training label."""
        return [name for name in label_set if name not in set(self.labels["label"])]


@dataclass(frozen=True)
class SplitAnnotations:
    """Annotations tables of one task, one for each draw: of the training split and, where arms pick the epoch themselves, of validation.

    ``embed`` gives sentence embeddings of examples, ``(n, size)``, to arms that learn which labels are wrong; ``human``: a human's answers by
    ``example_id``, where they are not the gold ones.
    """

    train: Sequence[pd.DataFrame] = ()
    validation: Sequence[pd.DataFrame] = ()
    embed: Callable[[pd.DataFrame], Floats] | None = None
    human: pd.Series | None = None

    def label_inputs(
        self,
        examples: pd.DataFrame,
        tables: Sequence[pd.DataFrame],
        draw: int,
        task: Task,
        config: LabelConfig,
    ) -> LabelInputs:
        """What arms go by on ``examples``, which may be some of the split's; ``draw`` comes first, the others follow in turn."""
        draws = [_of(table, examples) for table in (*tables[draw:], *tables[:draw])]
        embed = functools.partial(self.embed, examples) if self.embed else None
        return LabelInputs(examples, draws, tuple(task.label_set), config, embed, self.human)


def make_condition(
    arm: Arm,
    task: Task,
    drawn: SplitAnnotations,
    config: ExperimentConfig,
    *,
    examples: pd.DataFrame | None = None,
    draw: int = 0,
) -> Condition:
    """``arm`` with all seeds on ``examples``, which default to the training split.

    On fewer examples an arm decides what to replace among these alone, as somebody with no more texts would; what the annotator said to a text
    stays what it said. ``draw``: the one that an arm follows which follows one draw.
    """
    train, validation = (
        task.split("train") if examples is None else examples,
        task.split("validation"),
    )
    label_inputs = drawn.label_inputs(train, drawn.train, draw, task, config.label)
    labels, answers = label(arm, label_inputs), list(label_inputs.draws[: arm.draws])
    if config.finetune.validation_labels == "arm":
        held = label(arm, drawn.label_inputs(validation, drawn.validation, draw, task, config.label))
    else:
        held = validation.rename(columns={"gold_label": "label"})
    recipe = (
        dataclasses.replace(config.finetune, targets="soft")
        if arm.facts.soft
        else config.finetune
    )
    return Condition(
        arm,
        arm.name,
        train,
        labels,
        held,
        recipe,
        range(config.finetune.seeds),
        draw if arm.one_draw else None,
        answers=answers,
    )


def _of(table: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    if len(table) == len(examples):
        return table
    return table[table["example_id"].isin(set(examples["example_id"]))].reset_index(drop=True)


def draws_needed(compared: Sequence[Arm], config: ExperimentConfig, n_draws: int) -> int:
    """How many draws of annotations the arms need with these replicates, of ``n_draws`` that there are."""
    replicate, seeds = config.replicate.replicate, config.finetune.seeds
    kinds, least = {arm.kind for arm in compared}, max(arm.draws for arm in compared)
    if replicate == "training":
        return least
    if replicate == "pipeline":
        if not any(arm.one_draw for arm in compared):
            raise AssayError(
                "replicate=pipeline needs an arm with labels of its own in every replicate, such as llm or entropy. Add one to arms."
            )
        if n_draws < seeds:
            raise AssayError(
                f"replicate=pipeline needs a draw for each seed: ensemble_size must be at least {seeds}; got {n_draws}. "
                "Raise ensemble_size, or lower seeds."
            )
        return max(least, seeds)
    if LLM not in kinds or min(n_draws, seeds) < 2:
        raise AssayError(
            f"replicate=crossed needs the arm llm with at least 2 draws and 2 seeds; got arms {','.join(arm.name for arm in compared)}, "
            f"ensemble_size {n_draws}, seeds {seeds}. Add llm to arms, or raise ensemble_size or seeds."
        )
    return n_draws


def annotated_splits(config: ExperimentConfig, n_draws: int, *, tested: bool) -> dict[str, int]:
    """How many draws each split is annotated under: validation only where arms pick the epoch by their own labels. ``tested``: the annotator is."""
    validated = config.finetune.validation_labels == "arm"
    return {
        "train": n_draws,
        **({"test": 1} if tested else {}),
        **({"validation": n_draws} if validated else {}),
    }


def replicate_conditions(
    compared: Sequence[Arm], task: Task, drawn: SplitAnnotations, config: ExperimentConfig
) -> list[Condition]:
    """The conditions of all arms, with the replicates that ``replicate`` asks for."""
    made = []
    for arm in compared:
        seeds = config.finetune.seeds
        if config.replicate.replicate == "pipeline" and arm.one_draw:
            for replicate in range(seeds):
                one = make_condition(arm, task, drawn, config, draw=replicate)
                made.append(
                    dataclasses.replace(
                        one, name=f"{arm.name} draw {replicate:02d}", seeds=[replicate]
                    )
                )
        elif config.replicate.replicate == "crossed" and arm.kind == LLM:
            for draw in range(len(drawn.train)):
                one = make_condition(arm, task, drawn, config, draw=draw)
                made.append(
                    dataclasses.replace(
                        one, name=f"{arm.name} draw {draw:02d}", first_replicate=draw * seeds
                    )
                )
        else:
            made.append(make_condition(arm, task, drawn, config))
    return made


def replicate_counts(
    compared: Sequence[Arm], config: ExperimentConfig, n_draws: int
) -> dict[str, int]:
    """How many replicates each arm is to have."""
    seeds, crossed = config.finetune.seeds, config.replicate.replicate == "crossed"
    return {
        arm.name: seeds * n_draws if crossed and arm.kind == LLM else seeds for arm in compared
    }
