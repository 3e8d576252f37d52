"""What can be configured: one frozen dataclass for each stage, defaults and rules in one place.

Every field is a parameter of the command line and of ``MLproject``; ``None`` is written ``auto`` there and means
"what the task card, or else the paper, says". A field's metadata holds its help, its unit and its rule.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from project.errors import AssayError, suggest

AUTO = "auto"
CARD_DEFAULTS = ("label_style", "calibration", "learning_rate")
"""Parameters that a task card may answer where they are left at ``auto``."""
ARM_KINDS = ("gold", "llm", "entropy", "ensemble")


def parameter(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    above: float | None = None,
) -> Any:
    """A dataclass field with its help text and its rule; bounds are inclusive but for ``above``."""
    rule = {"choices": choices, "at_least": at_least, "at_most": at_most, "above": above}
    return dataclasses.field(default=default, metadata={"help": text, **rule})


def _check(name: str, value: Any, rule: Mapping[str, Any]) -> None:
    values = value if isinstance(value, tuple) else (value,)
    if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
        raise AssayError(
            f"{name} must name at least one value, each once; got {','.join(map(str, value)) or 'nothing'!r}. Give others with -P {name}=..."
        )
    for one in values:
        if rule["choices"] and one not in rule["choices"]:
            raise suggest(name, str(one), rule["choices"])
        for bound, holds, word in (
            (rule["at_least"], lambda v, b: v >= b, "at least"),
            (rule["at_most"], lambda v, b: v <= b, "at most"),
            (rule["above"], lambda v, b: v > b, "above"),
        ):
            if bound is not None and not holds(one, bound):
                raise AssayError(f"{name} must be {word} {bound:g}; got {one:g}. Give another value with -P {name}=...")


@dataclass(frozen=True)
class Stage:
    """A stage's configuration. Checks every field's rule when it is made."""

    def __post_init__(self) -> None:
        """Check the fields; subclasses add rules that span fields."""
        for item in dataclasses.fields(self):
            value = getattr(self, item.name)
            if value is not None:
                _check(item.name, value, item.metadata)


@dataclass(frozen=True)
class TaskConfig(Stage):
    """Which texts, and how they are split."""

    task: str = parameter("catalogue", "task: a card's name (catalogue, imdb, ecommerce, manifestos, toxic) or a path to a card.yaml")
    data: str = parameter("", "file to read instead of the card's source: .csv, .jsonl or .parquet; empty: the card's source")
    text_column: str = parameter("", "column with the text; empty: the card's")
    label_column: str = parameter("", "column with the gold label; empty: the card's")
    id_column: str = parameter("", "column with a unique id; empty: the card's, else a hash of the text")
    where: str = parameter("", "keep only rows with COLUMN=VALUE; empty: all rows")
    bad_rows: str = parameter("error", "null labels and empty texts: stop, or drop and count them", choices=("error", "drop"))
    max_train: int | None = parameter(None, "most training examples; auto: the card's cap (5000 in the paper)", at_least=1)
    max_validation: int | None = parameter(None, "most validation examples; auto: the card's", at_least=1)
    max_test: int | None = parameter(None, "most test examples; auto: the card's cap (2000 in the paper)", at_least=1)
    split_seed: int = parameter(0, "seed of the split", at_least=0)


@dataclass(frozen=True)
class PromptConfig(Stage):
    """What the annotator is shown."""

    n_demonstrations: int = parameter(3, "demonstrations in a prompt; the paper has 3", at_least=0, at_most=64)
    ensemble_size: int = parameter(5, "K: demonstration sets, each one draw over the training split", at_least=1, at_most=100)
    demonstration_seed: int = parameter(0, "seed of the demonstration sets", at_least=0)
    label_style: str | None = parameter(
        None, "how labels are written: name, or integer as in the paper; auto: the card's", choices=("name", "integer")
    )


@dataclass(frozen=True)
class AnnotateConfig(Stage):
    """Who answers, and how the answers are read."""

    annotator: str = parameter("transformers", "engine that reads the label probabilities: transformers, or vllm where it is installed")
    annotator_model: str = parameter("bundled", "annotating LLM: bundled (SmolLM2-135M-Instruct), a local folder or a hub id")
    annotator_revision: str = parameter("main", "hub revision of the annotator")
    annotator_dtype: str = parameter(
        AUTO, "dtype of the annotator; auto: float32 on CPU, bfloat16 on GPU", choices=(AUTO, "float32", "bfloat16", "float16")
    )
    annotator_batch_size: int = parameter(8, "texts in one forward pass of the annotator", at_least=1)
    calibration: str | None = parameter(
        None, "divide the class probabilities by a prior: none, contextual or batch; auto: the card's, else none",
        choices=("none", "contextual", "batch"),
    )  # fmt: skip


@dataclass(frozen=True)
class LabelConfig(Stage):
    """Where the training labels come from."""

    arms: tuple[str, ...] = parameter(ARM_KINDS, "label sources to compare, comma-separated: gold, llm, entropy, ensemble", choices=ARM_KINDS)
    replace_share: tuple[float, ...] = parameter(
        (5.0, 25.0), "alpha of the paper: per cent of the highest-entropy labels replaced by gold, comma-separated", at_least=0, at_most=100
    )
    tie_seed: int = parameter(0, "seed that breaks ties of entropy", at_least=0)


@dataclass(frozen=True)
class FinetuneConfig(Stage):
    """The recipe of Lu and Smith (2025), Appendix B."""

    encoder: str = parameter(
        "bundled", "encoder to fine-tune: bundled (all-MiniLM-L6-v2, 22M), a local folder or a hub id; the paper has roberta-base"
    )
    encoder_revision: str = parameter("main", "hub revision of the encoder")
    seeds: int = parameter(5, "fine-tuning seeds for each arm (0, 1, ...); the paper has 5", at_least=1, at_most=1000)
    epochs: int = parameter(3, "passes over the training split", at_least=1)
    train_batch_size: int = parameter(16, "texts in one training step", at_least=1)
    eval_batch_size: int = parameter(32, "texts in one evaluation step", at_least=1)
    learning_rate: float | None = parameter(None, "peak learning rate of AdamW; auto: the card's, else 2e-5", above=0)
    weight_decay: float = parameter(0.01, "weight decay, not on biases and layer norms", at_least=0)
    warmup_ratio: float = parameter(0.05, "share of steps with rising learning rate, then linear decay", at_least=0, at_most=1)
    max_grad_norm: float = parameter(1.0, "gradient norm is clipped to this (Trainer's default; the paper is silent)", above=0)
    dropout: float = parameter(0.1, "dropout before the classification layer", at_least=0, at_most=0.99)
    max_length: int = parameter(256, "tokens of a text the encoder reads; longer texts are cut and counted", at_least=4)
    validation_labels: str = parameter(
        "gold", "labels that pick the best epoch: gold, or the arm's own labels; the paper does not say", choices=("gold", "arm")
    )
    precision: str = parameter(
        AUTO, "arithmetic of training; auto: bf16 where the hardware has it, else fp16 on GPU, fp32 on CPU", choices=(AUTO, "fp32", "bf16", "fp16")
    )
    workers: int | None = parameter(None, "seeds trained at once, no matter for the result; auto: the CPU cores there are, 1 on a GPU", at_least=1)


@dataclass(frozen=True)
class HostConfig(Stage):
    """Where things are kept."""

    workspace: str = parameter("outputs", "folder for everything that was paid for: answers, trained seeds, reports")


@dataclass(frozen=True)
class SplitsConfig(Stage):
    """Which splits the entry point ``annotate`` annotates."""

    splits: tuple[str, ...] = parameter(
        ("train",), "splits to annotate, comma-separated: train, validation, test", choices=("train", "validation", "test")
    )


@dataclass(frozen=True)
class LabelsConfig(Stage):
    """Which labels the entry point ``finetune`` trains on."""

    labels: str = parameter(
        "gold", "gold, or a .csv or .parquet file (or runs:/RUN/labels.parquet) with example_id and label for every training example"
    )


@dataclass(frozen=True)
class ReportConfig(Stage):
    """Which experiment the entry point ``report`` shows."""

    run_id: str = parameter("", "root run of an experiment; empty: the newest finished one")
    workspace: str = parameter("outputs", "folder to write the report below")


@dataclass(frozen=True)
class ExperimentConfig:
    """One experiment: a task, an annotator, several arms."""

    task: TaskConfig = TaskConfig()
    prompt: PromptConfig = PromptConfig()
    annotate: AnnotateConfig = AnnotateConfig()
    label: LabelConfig = LabelConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    host: HostConfig = HostConfig()

    def resolved(self, defaults: Mapping[str, Any]) -> ExperimentConfig:
        """The same with every ``auto`` that a task card may answer filled in: from ``defaults``, else as in the paper (labels by name)."""
        paper = {"label_style": "name", "calibration": "none", "learning_rate": 2e-5}
        filled = {}
        for item in dataclasses.fields(self):
            stage = getattr(self, item.name)
            absent = {name: defaults.get(name, value) for name, value in paper.items() if getattr(stage, name, "") is None}
            filled[item.name] = dataclasses.replace(stage, **absent)
        return ExperimentConfig(**filled)

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Plain nested dictionary, JSON-ready."""
        return dataclasses.asdict(self)


S = TypeVar("S", bound=Stage)


def parse(stage: type[S], texts: Mapping[str, str]) -> S:
    """Make ``stage`` from the texts of a command line; names that are not its fields are ignored."""
    hints = typing.get_type_hints(stage)
    names = [item.name for item in dataclasses.fields(stage)]
    return stage(**{name: _value(name, hints[name], texts[name]) for name in names if name in texts})


def experiment_config(texts: Mapping[str, str]) -> ExperimentConfig:
    """An experiment's configuration from the texts of a command line; what they do not name keeps its default."""
    return ExperimentConfig(
        parse(TaskConfig, texts), parse(PromptConfig, texts), parse(AnnotateConfig, texts),
        parse(LabelConfig, texts), parse(FinetuneConfig, texts), parse(HostConfig, texts),
    )  # fmt: skip


def defaults_of_card(values: Mapping[str, Any]) -> dict[str, Any]:
    """A task card's ``defaults``, parsed and checked by the rules of the fields they stand for."""
    config = experiment_config({key: str(value) for key, value in values.items()})
    found = {
        name: getattr(stage, name) for stage in (config.prompt, config.annotate, config.finetune) for name in CARD_DEFAULTS if hasattr(stage, name)
    }
    return {name: value for name, value in found.items() if value is not None}


def _value(name: str, hint: Any, text: str) -> Any:
    if isinstance(hint, types.UnionType):
        if text.strip().lower() in (AUTO, ""):
            return None
        hint = next(kind for kind in typing.get_args(hint) if kind is not type(None))
    if typing.get_origin(hint) is tuple:
        kind = typing.get_args(hint)[0]
        return tuple(_value(name, kind, part.strip()) for part in text.split(",") if part.strip())
    if hint is str:
        return text
    try:
        return hint(text)
    except ValueError:
        kind = "a whole number" if hint is int else "a number"
        raise AssayError(f"{name} must be {kind}; got {text!r}. Give another value with -P {name}=...") from None


def written(value: Any) -> str:
    """How a field's value is written on a command line: the inverse of parsing."""
    if value is None:
        return AUTO
    if isinstance(value, tuple):
        return ",".join(written(one) for one in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
