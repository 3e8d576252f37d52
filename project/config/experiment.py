"""One experiment's configuration: its sections, what the paper and the task card fill in."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from project.config.annotation import AnnotateConfig, RecordedConfig, ServerConfig, SpendConfig
from project.config.fields import parse
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig, ReplicateConfig
from project.config.prompt import PromptConfig
from project.config.results import HostConfig, StoreConfig, VerdictConfig
from project.config.task import TaskConfig
from project.support.errors import AssayError

PAPER_DEFAULTS: dict[str, Any] = {
    "label_style": "name",
    "calibration": "none",
    "learning_rate": 2e-5,
}
"""Parameters that a task card may fill in at ``auto``, with the paper's values."""


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
    verdict: VerdictConfig = field(default_factory=VerdictConfig)
    host: HostConfig = field(default_factory=HostConfig)
    store: StoreConfig = field(default_factory=StoreConfig)

    def __post_init__(self) -> None:
        """Refuse a system message in a private run.

        ``mlflow run`` logs parameters before any code of the project runs, so that the text would
        be in the store already.
        """
        if self.store.private and self.prompt.system_prompt:
            raise AssayError(
                "system_prompt must be empty with private=true: mlflow run logs parameters before "
                "Assay starts (delete that run). Put the text into a file and set template=FILE."
            )

    def resolved(self, card: Mapping[str, Any]) -> ExperimentConfig:
        """The same with ``auto`` filled in where a task card may do so.

        The value comes from ``card``, else from the paper (labels by name, no calibration,
        learning rate 2e-5).
        """
        filled = {}
        for item in dataclasses.fields(self):
            part = getattr(self, item.name)
            answers = {
                name: card.get(name, value)
                for name, value in PAPER_DEFAULTS.items()
                if getattr(part, name, "") is None
            }
            filled[item.name] = dataclasses.replace(part, **answers)
        return ExperimentConfig(**filled)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """A plain nested dictionary, ready for JSON."""
        return dataclasses.asdict(self)


def experiment_config(values: Mapping[str, Any]) -> ExperimentConfig:
    """An experiment's configuration from parameters by name; the others keep their defaults."""
    sections = typing.get_type_hints(ExperimentConfig)
    return ExperimentConfig(**{name: parse(cls, values) for name, cls in sections.items()})


def defaults_of_card(values: Mapping[str, Any]) -> dict[str, Any]:
    """The ``defaults`` of a task card, checked by the rules of the parameters they stand for."""
    config = experiment_config({name: str(value) for name, value in values.items()})
    parts = (config.prompt, config.annotate, config.finetune)
    checked = {
        name: getattr(part, name)
        for part in parts
        for name in PAPER_DEFAULTS
        if hasattr(part, name)
    }
    return {name: value for name, value in checked.items() if value is not None}
