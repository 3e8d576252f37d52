"""Every entry point (``mlflow run . -e NAME``): what it does and which sections it takes.

``MLproject`` is written by hand; a test compares it with this table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from project.config.annotation import AnnotateConfig, RecordedConfig, ServerConfig, SpendConfig
from project.config.ask import AskConfig
from project.config.audit import (
    AuditAnnotateConfig,
    AuditConfig,
    AuditFinetuneConfig,
    AuditPromptConfig,
    AuditTaskConfig,
    PoolConfig,
)
from project.config.cluster import ClusterConfig
from project.config.designs import (
    BudgetConfig,
    CurveConfig,
    GridConfig,
    GridLabelConfig,
    LabelsConfig,
    SplitsConfig,
    SweepConfig,
)
from project.config.fields import ConfigSection, Rule, parameters, rule_of, section_name
from project.config.finetune import FinetuneConfig
from project.config.init import InitConfig
from project.config.labels import LabelConfig, ReplicateConfig
from project.config.monitor import MonitorConfig
from project.config.predict import PredictConfig
from project.config.prompt import PromptConfig
from project.config.results import HostConfig, StoreConfig, VerdictConfig, VerdictLimits
from project.config.suite import SuiteConfig, SuiteTaskConfig
from project.config.task import TaskConfig
from project.config.taxonomy import TAXONOMY
from project.config.upkeep import (
    HitsConfig,
    InvocationConfig,
    ReapConfig,
    RelogConfig,
    ReportConfig,
    RerunConfig,
)

ANNOTATION = (PromptConfig, AnnotateConfig, ServerConfig, RecordedConfig, SpendConfig)
"""The sections of every entry point that annotates."""
_DESIGN = (
    *ANNOTATION,
    LabelConfig,
    ReplicateConfig,
    FinetuneConfig,
    ClusterConfig,
    VerdictConfig,
    HostConfig,
    StoreConfig,
)
"""The sections of an experiment beside that of its texts."""
_NOT_IN_FILES = ("config", "show_config")


@dataclass(frozen=True)
class EntryPoint:
    """One entry point.

    Attributes
    ----------
    name
        Its name after ``-e``.
    summary
        What it does, in one sentence.
    sections
        Sections with its parameters. :class:`InvocationConfig` is left out: every entry point has
        it.
    computes
        Whether it makes a root run, which ``rerun`` can repeat.
    not_in_files
        Parameters that a configuration file cannot set: it cannot name another file, nor stop the
        run that reads it; and a suite names its tasks elsewhere.
    """

    name: str
    summary: str
    sections: tuple[type[ConfigSection], ...]
    computes: bool = True
    not_in_files: tuple[str, ...] = _NOT_IN_FILES

    @property
    def all_sections(self) -> tuple[type[ConfigSection], ...]:
        """Its sections, with :class:`InvocationConfig`."""
        return (*self.sections, InvocationConfig)

    def rules(self) -> dict[str, Rule]:
        """The rule of every parameter by name, in the order of the sections."""
        return {field.name: rule_of(field) for field in parameters(*self.all_sections)}

    def everyday(self) -> list[str]:
        """The parameters of everyday use, without those of :class:`InvocationConfig`."""
        return [field.name for field in parameters(*self.sections) if rule_of(field).everyday]

    def aliases(self) -> dict[str, str]:
        """The parameter's own name by each of its other names."""
        own_names = {}
        for name, rule in self.rules().items():
            own_names.update(dict.fromkeys(rule.aliases, name))
        return own_names

    def accepted_names(self) -> set[str]:
        """Every name under which a parameter can be set, aliases included."""
        return {*self.rules(), *self.aliases()}

    def named_sections(self) -> Iterator[tuple[str, type[ConfigSection]]]:
        """The sections with the names that they have in a configuration file."""
        for cls in self.all_sections:
            yield section_name(cls), cls


_DECLARED = (
    EntryPoint(
        "init",
        "Look at a file, and propose a task card, parameters and the next commands.",
        (InitConfig,),
        computes=False,
    ),
    EntryPoint(
        "main",
        "Label texts with an LLM, fine-tune on gold labels, on the LLM's and on remedies, and "
        "report what the LLM's labels cost.",
        (TaskConfig, *_DESIGN),
    ),
    EntryPoint(
        "suite",
        "Put several tasks through the same experiment, and sum up what the LLM's labels cost over "
        "all of them.",
        (SuiteConfig, SuiteTaskConfig, *_DESIGN),
        computes=False,
        not_in_files=(*_NOT_IN_FILES, "task"),
    ),
    EntryPoint(
        "annotate",
        "Label the texts of a task with an LLM, and log every draw as a run.",
        (TaskConfig, *ANNOTATION, SplitsConfig, ClusterConfig, HostConfig, StoreConfig),
    ),
    EntryPoint(
        "finetune",
        "Fine-tune an encoder on gold labels, or on the labels of a file, with several seeds.",
        (TaskConfig, LabelsConfig, FinetuneConfig, ClusterConfig, HostConfig, StoreConfig),
    ),
    EntryPoint(
        "curve",
        "Measure learning curves: label sources at growing sizes of the training set.",
        (
            TaskConfig,
            *ANNOTATION,
            LabelConfig,
            CurveConfig,
            FinetuneConfig,
            ClusterConfig,
            HostConfig,
            StoreConfig,
        ),
    ),
    EntryPoint(
        "grid",
        "Search learning rate, batch size and epochs on validation, and test the best once.",
        (
            TaskConfig,
            *ANNOTATION,
            GridLabelConfig,
            GridConfig,
            FinetuneConfig,
            ClusterConfig,
            HostConfig,
            StoreConfig,
        ),
    ),
    EntryPoint(
        "budget",
        "Compare label sources at equal human budgets.",
        (
            TaskConfig,
            *ANNOTATION,
            BudgetConfig,
            FinetuneConfig,
            ClusterConfig,
            VerdictConfig,
            HostConfig,
            StoreConfig,
        ),
    ),
    EntryPoint(
        "ask",
        "Choose the texts that a person should label, and write them for a person or for Label "
        "Studio.",
        (TaskConfig, *ANNOTATION, PoolConfig, AskConfig, ClusterConfig, HostConfig, StoreConfig),
    ),
    EntryPoint(
        "sweep",
        "Search label sources, shares and ensemble sizes in a study of Optuna.",
        (
            TaskConfig,
            *ANNOTATION,
            SweepConfig,
            FinetuneConfig,
            ClusterConfig,
            HostConfig,
            StoreConfig,
        ),
    ),
    EntryPoint(
        "audit",
        "Judge an LLM's labels, and a classifier trained on them, by a few hundred human labels.",
        (
            AuditTaskConfig,
            AuditPromptConfig,
            AuditAnnotateConfig,
            ServerConfig,
            RecordedConfig,
            SpendConfig,
            PoolConfig,
            AuditConfig,
            AuditFinetuneConfig,
            ClusterConfig,
            VerdictLimits,
            HostConfig,
            StoreConfig,
        ),
    ),
    EntryPoint(
        "taxonomy",
        "Propose labels for texts that have none, label the texts by them, and say how stable they "
        "are.",
        (*TAXONOMY, ServerConfig, SpendConfig, HostConfig, StoreConfig),
    ),
    EntryPoint(
        "predict",
        "Label any number of texts with a classifier of an experiment, and register it.",
        (PredictConfig,),
        computes=False,
    ),
    EntryPoint(
        "monitor",
        "Compare a new batch of texts with the old ones, and raise an alarm that looking every day "
        "does not make false.",
        (MonitorConfig,),
        computes=False,
    ),
    EntryPoint(
        "report",
        "Write the report of a root run again, from what the tracking store holds.",
        (ReportConfig,),
        computes=False,
    ),
    EntryPoint(
        "hits",
        "Show how often the audits of the tracking store were right.",
        (HitsConfig,),
        computes=False,
    ),
    EntryPoint(
        "relog",
        "Log what a tracking store did not take, because it was away or broke down.",
        (RelogConfig,),
        computes=False,
    ),
    EntryPoint(
        "reap",
        "End runs that are RUNNING in the tracking store although their process is gone.",
        (ReapConfig,),
        computes=False,
    ),
    EntryPoint(
        "rerun",
        "Run a root run again, with the same parameters and inputs, as a new root run.",
        (RerunConfig,),
        computes=False,
    ),
    EntryPoint(
        "check",
        "Check the tracking store, this machine and the models, and estimate what an "
        "experiment would take.",
        (TaskConfig, *_DESIGN),
        computes=False,
    ),
)

ENTRY_POINTS = {entry.name: entry for entry in _DECLARED}
"""Every entry point by its name."""


def every_parameter() -> set[str]:
    """Names of all parameters of all entry points, aliases included."""
    return set().union(*(entry.accepted_names() for entry in ENTRY_POINTS.values()))
