"""One experiment's configuration: its sections, what the paper and the task card fill in."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project.config.annotation import AnnotateConfig, RecordedConfig, ServerConfig, SpendConfig
from project.config.fields import ConfigSection, parse
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig, ReplicateConfig
from project.config.prompt import PromptConfig
from project.config.results import HostConfig, StoreConfig, VerdictConfig
from project.config.task import TaskConfig
from project.support.errors import AssayError

CARD_DEFAULTS = ("label_style", "calibration", "learning_rate")
"""Parameters that a task card may answer where they are left at ``auto``."""

ANNOTATION = (PromptConfig, AnnotateConfig, ServerConfig, RecordedConfig, SpendConfig)
"""The stages of annotation, for an entry point's parameters."""


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment: a task, an annotator, several arms."""

    task: TaskConfig = TaskConfig()
    prompt: PromptConfig = PromptConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    server: ServerConfig = ServerConfig()
    recorded: RecordedConfig = RecordedConfig()
    spend: SpendConfig = SpendConfig()
    label: LabelConfig = LabelConfig()
    replicate: ReplicateConfig = ReplicateConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    verdict: VerdictConfig = VerdictConfig()
    host: HostConfig = HostConfig()
    store: StoreConfig = StoreConfig()

    def __post_init__(self) -> None:
        """Prompt text that is a parameter is in the store before anything of ours runs: ``mlflow run`` logs parameters first."""
        if self.store.private and self.prompt.system_prompt:
            raise AssayError(
                "system_prompt must be empty with private=true: parameters are logged, by mlflow run before Assay starts (delete that run if it was "
                "one). Put its words into a template file: -P template=FILE."
            )

    def resolved(self, defaults: Mapping[str, Any]) -> ExperimentConfig:
        """The same with every ``auto`` that a task card may answer filled in: from ``defaults``, else as in the paper (labels by name)."""
        paper = {"label_style": "name", "calibration": "none", "learning_rate": 2e-5}
        filled = {}
        for item in dataclasses.fields(self):
            stage = getattr(self, item.name)
            absent = {
                name: defaults.get(name, value)
                for name, value in paper.items()
                if getattr(stage, name, "") is None
            }
            filled[item.name] = dataclasses.replace(stage, **absent)
        return ExperimentConfig(**filled)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain nested dictionary, JSON-ready."""
        return dataclasses.asdict(self)


def experiment_config(texts: Mapping[str, str]) -> ExperimentConfig:
    """An experiment's configuration from the texts of a command line; what they do not name keeps its default."""
    kinds = {
        item.name: typing.cast("type[ConfigSection]", type(item.default))
        for item in dataclasses.fields(ExperimentConfig)
    }
    stages: dict[str, Any] = {name: parse(kind, texts) for name, kind in kinds.items()}
    return ExperimentConfig(**stages)


def defaults_of_card(values: Mapping[str, Any]) -> dict[str, Any]:
    """A task card's ``defaults``, parsed and checked by the rules of the fields they stand for."""
    config = experiment_config({key: str(value) for key, value in values.items()})
    found = {
        name: getattr(stage, name)
        for stage in (config.prompt, config.annotate, config.finetune)
        for name in CARD_DEFAULTS
        if hasattr(stage, name)
    }
    return {name: value for name, value in found.items() if value is not None}
