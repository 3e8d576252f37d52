"""One experiment's configuration: its sections, and the values that replace ``auto``."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from project.config.annotation import AnnotateConfig, RecordedConfig, ServerConfig, SpendConfig
from project.config.cluster import ClusterConfig
from project.config.engines import ENGINES, engine_facts
from project.config.fields import parse
from project.config.finetune import STACKED, FinetuneConfig
from project.config.labels import LabelConfig, ReplicateConfig
from project.config.prompt import PromptConfig, prompt_of_pairs
from project.config.results import HostConfig, StoreConfig, VerdictConfig
from project.config.task import TaskConfig
from project.support.errors import AssayError

PAPER_DEFAULTS: dict[str, Any] = {
    "label_style": "name",
    "calibration": "none",
}
"""The paper's values of parameters whose ``auto`` a task card may replace."""
CARD_DEFAULTS = (*PAPER_DEFAULTS, "learning_rate")
"""All parameters whose ``auto`` a task card may replace."""


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment: a task, an annotator, several arms."""

    task: TaskConfig = field(default_factory=TaskConfig)
    prompt: PromptConfig = field(default_factory=PromptConfig)
    annotate: AnnotateConfig = field(default_factory=AnnotateConfig)
    server: ServerConfig = field(default_factory=ServerConfig)
    recorded: RecordedConfig = field(default_factory=RecordedConfig)
    spend: SpendConfig = field(default_factory=SpendConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    replicate: ReplicateConfig = field(default_factory=ReplicateConfig)
    finetune: FinetuneConfig = field(default_factory=FinetuneConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    host: HostConfig = field(default_factory=HostConfig)
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        """Refuse what does not go together, such as a system message in a private run.

        ``mlflow run`` logs parameters before any code of the project runs, so the text is in the
        store by now. It can only be deleted there.
        """
        if self.store.private and self.prompt.system_prompt:
            raise AssayError(
                "system_prompt must be empty with private=true: mlflow run logs parameters before "
                "Assay starts (delete that run). Put the text into a file and set template=FILE."
            )
        if self.finetune.batching == STACKED and self.replicate.replicate == "pipeline":
            raise AssayError(
                "batching=stacked needs replicate=seed: with replicate=pipeline every seed has "
                "labels of its own, and none is trained beside another. Set batching=auto."
            )
        engine = self.annotate.annotator
        if engine in ENGINES and engine_facts(engine).scores_pairs:
            # Whatever reads the configuration then finds the prompts that there are.
            prompt = prompt_of_pairs(self.prompt, engine)
            object.__setattr__(self, "prompt", prompt)

    def resolved(self, card: Mapping[str, Any]) -> ExperimentConfig:
        """The configuration with values in place of ``auto``, where a task card may set them.

        ``card`` holds the card's ``defaults``. What it lacks comes from the paper: labels by name,
        no calibration. A learning rate that it lacks stays open: it depends on the encoder.
        """
        sections = {}
        for item in dataclasses.fields(self):
            section = getattr(self, item.name)
            values = {}
            for name in CARD_DEFAULTS:
                # A section holds None for auto. Any other default marks a parameter it lacks.
                if getattr(section, name, "") is None:
                    values[name] = card.get(name, PAPER_DEFAULTS.get(name))
            sections[item.name] = dataclasses.replace(section, **values)
        return ExperimentConfig(**sections)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """A plain nested dictionary, ready for JSON."""
        return dataclasses.asdict(self)


def experiment_config(values: Mapping[str, Any]) -> ExperimentConfig:
    """A configuration from texts or values by name; the other parameters keep their defaults."""
    sections = typing.get_type_hints(ExperimentConfig)
    return ExperimentConfig(**{name: parse(cls, values) for name, cls in sections.items()})


def defaults_of_card(values: Mapping[str, Any]) -> dict[str, Any]:
    """The ``defaults`` of a task card, checked and converted by the parameters' own rules."""
    config = experiment_config({name: str(value) for name, value in values.items()})
    checked = {}
    for section in (config.prompt, config.annotate, config.finetune):
        for name in CARD_DEFAULTS:
            value = getattr(section, name, None)
            if value is not None:
                checked[name] = value
    return checked
