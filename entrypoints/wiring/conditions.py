"""What is trained: conditions, each with one arm's labels, one recipe and several seeds."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from project.annotation.cost import Spent, spent
from project.config.arms import Arm
from project.config.experiment import ExperimentConfig
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig
from project.data.task import Task
from project.labels.inputs import LabelInputs
from project.labels.sources import human_share, label, label_and_count
from project.stats.types import Floats, Mask


@dataclass(frozen=True)
class Condition:
    """Everything that is the same for some seeds.

    Attributes
    ----------
    arm
        The label source.
    name
        Name of the labels; it differs between all labels of one experiment.
    examples
        Training examples: rows of an examples table in the order of the split.
    labels
        Labels table of ``examples``, without those that have no label.
    validation
        Labels by which the best epoch is picked.
    config
        The recipe.
    seeds
        Seeds to train. Seed ``s`` is the arm's replicate ``first_replicate + s``.
    draw
        Index of the draw from which the labels are made; None without a draw or with several.
    first_replicate
        Number of the replicate of seed 0.
    evaluated
        Split to predict: ``test`` or ``validation``.
    params
        Further parameters to log with every seed.
    setting
        Name of the recipe, where an experiment has several.
    answers
        Annotations tables from which the labels were made.
    n_questions
        Number of training examples that a human was to label.
    unanswered
        Ids of those of them without an answer.
    chance
        Why an arm that learns from an audit chose at random all the same; "" if it did not.
    note
        What became of labels that are made anew; "" for other arms.
    noise
        Share of the labels that two networks which teach each other leave out; 0: one network.
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
    n_questions: int = 0
    unanswered: tuple[str, ...] = ()
    chance: str = ""
    note: str = ""
    noise: float = 0.0

    @property
    def title(self) -> str:
        """Name of the labels and of the recipe, for people."""
        return f"{self.name} {self.setting}".strip()

    @functools.cached_property
    def spent(self) -> Spent:
        """What the training labels cost, no matter which run paid; without validation labels."""
        n_human, _ = human_share(self.labels)
        return spent(self.answers, n_human)

    def absent(self, label_set: Sequence[str]) -> list[str]:
        """Classes without a training label."""
        present = set(self.labels["label"])
        return [name for name in label_set if name not in present]


@dataclass(frozen=True)
class SplitAnnotations:
    """Annotations tables of one task, one for each draw.

    Attributes
    ----------
    train
        Annotations of the training split.
    validation
        Annotations of the validation split, where arms pick the epoch by their own labels.
    embed
        Returns sentence embeddings of examples, ``(n, size)``, for arms that fit an error model;
        a function, since few experiments need them.
    human
        Human labels by ``example_id``, where they are not the gold labels.
    """

    train: Sequence[pd.DataFrame] = ()
    validation: Sequence[pd.DataFrame] = ()
    embed: Callable[[pd.DataFrame], Floats] | None = None
    human: pd.Series | None = None

    def label_inputs(
        self,
        examples: pd.DataFrame,
        tables: Sequence[pd.DataFrame],
        *,
        draw: int,
        task: Task,
        config: LabelConfig,
    ) -> LabelInputs:
        """What an arm uses to label ``examples``.

        Parameters
        ----------
        examples
            All examples of a split, or some of them.
        tables
            Annotations of the whole split, one table for each draw.
        draw
            Index of the draw that comes first; the others follow in turn.
        task
            The task, for its label set.
        config
            The configuration of label sources.
        """
        # An arm that reads one draw reads the first of these.
        draws = [_rows_of(table, examples) for table in (*tables[draw:], *tables[:draw])]
        embed = functools.partial(self.embed, examples) if self.embed else None
        in_zones = functools.partial(_in_zones, config.zones, examples, draws[:1])
        return LabelInputs(
            examples=examples,
            draws=draws,
            label_set=tuple(task.label_set),
            config=config,
            embed=embed,
            human=self.human,
            in_zones=in_zones if config.zones else None,
        )


def _in_zones(run_id: str, examples: pd.DataFrame, draws: Sequence[pd.DataFrame]) -> Mask:
    """Which examples are in a confirmed zone of another experiment ``(n,)``."""
    from analysis.questions.zone_aim import aim_at

    return aim_at(run_id, examples["text"].tolist(), draws[0]).within


def make_condition(
    arm: Arm,
    task: Task,
    annotations: SplitAnnotations,
    config: ExperimentConfig,
    *,
    examples: pd.DataFrame | None = None,
    draw: int = 0,
) -> Condition:
    """``arm`` with all seeds.

    Parameters
    ----------
    arm, task, annotations, config
        The label source, and the experiment's task, annotations and configuration.
    examples
        Training examples; the whole training split by default. On fewer examples, an arm chooses
        which labels to replace among these alone; annotations stay the same.
    draw
        Index of the draw used by arms that follow a single draw.
    """
    train = task.split("train") if examples is None else examples
    validation = task.split("validation")
    inputs = annotations.label_inputs(
        train, annotations.train, draw=draw, task=task, config=config.label
    )
    if config.finetune.validation_labels == "arm":
        # As in practice, where no gold labels exist: the epoch is picked by the arm's own labels.
        own_inputs = annotations.label_inputs(
            validation, annotations.validation, draw=draw, task=task, config=config.label
        )
        validation_labels = label(arm, own_inputs)
    else:
        validation_labels = validation.rename(columns={"gold_label": "label"})
    recipe = config.finetune
    if arm.facts.soft:
        recipe = dataclasses.replace(recipe, targets="soft")
    made = label_and_count(arm, inputs)
    return Condition(
        arm=arm,
        name=arm.name,
        examples=train,
        labels=made.table,
        validation=validation_labels,
        config=recipe,
        seeds=range(config.finetune.seeds),
        draw=draw if arm.one_draw else None,
        answers=list(inputs.draws[: arm.draws]),
        n_questions=made.n_questions,
        unanswered=made.unanswered,
        chance=made.chance,
        note=made.note,
        noise=made.noise,
        params={"coteach_noise": 100 * made.noise} if arm.facts.remade == "coteach" else {},
    )


def _rows_of(table: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    """The rows of an annotations table that belong to ``examples``."""
    if len(table) == len(examples):  # the whole split: no copy
        return table
    return table[table["example_id"].isin(set(examples["example_id"]))].reset_index(drop=True)
