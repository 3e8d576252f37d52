"""What can be configured: one frozen dataclass for each stage, defaults and rules in one place.

Every field is a parameter of the command line and of ``MLproject``; see :mod:`project.config.fields`. ``None`` is written ``auto``
there and means "what the task card, or else the paper, says".
"""

from __future__ import annotations

import dataclasses
import typing
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from project.config.arms import ARM_KINDS
from project.config.fields import AUTO, ConfigSection, parameter, parse
from project.config.finetune import FinetuneConfig as FinetuneConfig
from project.support.errors import AssayError

CARD_DEFAULTS = ("label_style", "calibration", "learning_rate")
"""Parameters that a task card may answer where they are left at ``auto``."""
PAPER_ARMS = ("gold", "llm", "entropy", "ensemble")
PAPER_DRAWS = 5  # the largest ensemble of Lu and Smith (2025), section 4
LABEL_STYLES = ("name", "integer", "letter")


@dataclass(frozen=True)
class TaskConfig(ConfigSection):
    """Which texts, and how they are split."""

    task: str = parameter(
        "catalogue",
        "task: a card's name (catalogue, imdb, ecommerce, manifestos, toxic) or a path to a card.yaml",
    )
    data: str = parameter(
        "",
        "file to read instead of the card's source: .csv, .jsonl or .parquet; empty: the card's source",
    )
    text_column: str = parameter("", "column with the text; empty: the card's")
    label_column: str = parameter("", "column with the gold label; empty: the card's")
    id_column: str = parameter(
        "", "column with a unique id; empty: the card's, else a hash of the text"
    )
    where: str = parameter("", "keep only rows with COLUMN=VALUE; empty: all rows")
    bad_rows: str = parameter(
        "error",
        "null labels and empty texts: stop, or drop and count them",
        choices=("error", "drop"),
    )
    unlabelled: bool = parameter(
        False,
        "rows without a gold label are training texts, for a human's answers to label (-e ask, then human=...); gold labels are left to the "
        "other splits first",
    )
    max_train: int | None = parameter(
        None, "most training examples; auto: the card's cap (5000 in the paper)", at_least=1
    )
    max_validation: int | None = parameter(
        None, "most validation examples; auto: the card's", at_least=1
    )
    max_test: int | None = parameter(
        None, "most test examples; auto: the card's cap (2000 in the paper)", at_least=1
    )
    split_seed: int = parameter(0, "seed of the split", at_least=0)


@dataclass(frozen=True)
class PromptConfig(ConfigSection):
    """What the annotator is shown."""

    n_demonstrations: int = parameter(
        3, "demonstrations in a prompt, 0 for none; the paper has 3", at_least=0, at_most=64
    )
    demonstration_choice: str = parameter(
        "random",
        "how demonstrations are drawn: random as in the paper, or balanced over the classes",
        choices=("random", "balanced"),
    )
    ensemble_size: int | None = parameter(
        None,
        "K: demonstration sets, each one draw over the training split; auto: 5 as in the paper, or all recorded draws",
        at_least=1,
        at_most=1000,
    )
    demonstration_seed: int = parameter(
        0, "seed of the demonstration sets and of permute_labels", at_least=0
    )
    label_style: str | None = parameter(
        None,
        "how labels are written: name, integer as in the paper, or letter; auto: the card's, else name",
        choices=LABEL_STYLES,
    )
    permute_labels: bool = parameter(
        False,
        "list the labels in another order in every draw but the first (integers and letters move along)",
    )
    template: str = parameter("", "file with a prompt template of your own; empty: the paper's")
    chat_template: bool = parameter(
        False, "send the prompt as a user's message in the model's own chat template"
    )
    system_prompt: str = parameter("", "system message before the prompt; needs chat_template=true")

    def __post_init__(self) -> None:
        """A system message stands only in a chat."""
        super().__post_init__()
        if self.system_prompt and not self.chat_template:
            raise AssayError(
                "system_prompt needs chat_template=true; a plain prompt has no system message. Put it into a template file instead."
            )


@dataclass(frozen=True)
class AnnotateConfig(ConfigSection):
    """Who answers, and how the answers are read."""

    annotator: str = parameter(
        "transformers",
        "where the labels come from: transformers, vllm, openai (any OpenAI-compatible server), or recorded (labels in a file)",
    )
    annotator_model: str = parameter(
        "bundled",
        "annotating LLM: bundled (SmolLM2-135M-Instruct), a local folder or a hub id; with openai, the server's name for it",
    )
    annotator_revision: str = parameter("main", "hub revision of the annotator")
    annotator_dtype: str = parameter(
        AUTO,
        "dtype of the annotator; auto: bfloat16 where it is faster than float32 here (measured once), the model's own with vllm",
        choices=(AUTO, "float32", "bfloat16", "float16"),
    )
    annotator_batch_tokens: int | None = parameter(
        None,
        "tokens in one forward pass of the annotator; auto: 1024 on a CPU, 8192 on a GPU with transformers, vLLM's own",
        at_least=16,
    )
    calibration: str | None = parameter(
        None,
        "divide the class probabilities by a prior: none, contextual or batch; auto: the card's, else none",
        choices=("none", "contextual", "batch"),
    )
    repeats: int = parameter(
        0,
        "R: labels sampled at a temperature for every text, for the consistency score; 0 for none",
        at_least=0,
        at_most=1000,
    )
    temperature: float = parameter(
        0.6,
        "temperature of the repeats; 0.6 as in gpt_annotate, the program of Pangakis and Wolken",
        above=0,
    )
    tensor_parallel: int = parameter(1, "GPUs that share one copy of the model (vllm)", at_least=1)
    annotator_processes: int | None = parameter(
        None,
        "copies of the engine at work, each in a process and on GPUs of its own; auto: as many as the GPUs allow, 1 on a CPU",
        at_least=1,
    )
    gpu_memory: float = parameter(
        0.9, "share of a GPU's memory that vllm may take", above=0, at_most=1
    )
    max_model_len: int | None = parameter(
        None,
        "longest prompt in tokens; longer ones are cut and counted; auto: the model's own limit",
        at_least=16,
    )


@dataclass(frozen=True)
class ServerConfig(ConfigSection):
    """The OpenAI-compatible server behind ``annotator=openai``. Its key is read from the environment and nowhere else."""

    annotator_url: str = parameter(
        "http://127.0.0.1:8000/v1", "address of the server, ending in /v1"
    )
    annotator_tokenizer: str = parameter(
        AUTO,
        "tokenizer of the server's model: bundled, a local folder, a hub id, or none; auto: that of annotator_model where it can be had",
    )
    api_key_variable: str = parameter(
        "OPENAI_API_KEY", "environment variable that holds the server's key, if it wants one"
    )
    max_concurrency: int = parameter(
        64,
        "most requests under way at once; fewer while the server says it is busy",
        at_least=1,
        at_most=4096,
    )
    request_timeout: float = parameter(60, "seconds to wait for one answer of the server", above=0)
    request_retries: int = parameter(
        6, "times a failed request is sent again, waiting longer each time", at_least=0, at_most=100
    )

    def __post_init__(self) -> None:
        """The address must be one, and hold no key."""
        _check_address(self.annotator_url)  # before the general rule, since it names the way out
        super().__post_init__()


def _check_address(url: str) -> None:
    """Refuse, without repeating it, a URL that could hold a key."""
    try:
        parts = urllib.parse.urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        sound = False
        parts = urllib.parse.SplitResult("", "", "", "", "")
    if "@" in url or "?" in url or "#" in url:
        raise AssayError(
            "annotator_url must hold no user name, password, query or fragment: it is written into the tracking store. "
            "Give the key in the environment variable that -P api_key_variable=... names."
        )
    if not sound:
        raise AssayError(
            "annotator_url must be a server's address such as http://127.0.0.1:8000/v1. Give one with -P annotator_url=..."
        )


@dataclass(frozen=True)
class RecordedConfig(ConfigSection):
    """The file behind ``annotator=recorded``."""

    recorded: str = parameter(
        "", "file with labels that somebody has already: .csv, .jsonl or .parquet"
    )
    recorded_columns: str = parameter(
        "",
        "its columns with labels, one draw each, comma-separated, * allowed; or NAME of columns NAME.<label> with probabilities; empty: label",
    )


@dataclass(frozen=True)
class SpendConfig(ConfigSection):
    """What annotation may cost. Answers that are on disk already cost nothing and count for nothing."""

    dry_run: bool = parameter(
        False,
        "show one full prompt, tokens, requests, estimated time and price of every draw, and stop",
    )
    price_input: float = parameter(0.0, "price of a million prompt tokens", at_least=0)
    price_output: float = parameter(0.0, "price of a million generated tokens", at_least=0)
    price_hour: float = parameter(
        0.0, "price of this machine, its GPUs included, for an hour", at_least=0
    )
    price_label: float = parameter(0.0, "price of one label that a human gives", at_least=0)
    max_cost: float | None = parameter(
        None,
        "stop when annotation has cost this much in this run, all answers kept; auto: no limit",
        above=0,
    )
    max_minutes: float | None = parameter(
        None,
        "stop when annotation has taken this long in this run, all answers kept; auto: no limit",
        above=0,
    )

    def __post_init__(self) -> None:
        """A limit on the price needs a price."""
        super().__post_init__()
        if self.max_cost is not None and not (
            self.price_input or self.price_output or self.price_hour
        ):
            raise AssayError(
                "max_cost needs a price: give -P price_input=... and -P price_output=... (a million tokens each) or -P price_hour=..."
            )


@dataclass(frozen=True)
class LabelConfig(ConfigSection):
    """Where the training labels come from."""

    arms: tuple[str, ...] = parameter(
        PAPER_ARMS,
        f"label sources to compare, comma-separated, out of {', '.join(ARM_KINDS)}; README says what each is",
        choices=ARM_KINDS,
    )
    replace_share: tuple[float, ...] = parameter(
        (5.0, 25.0),
        "alpha of the paper: per cent of the labels that a human gives in place of the LLM, comma-separated",
        at_least=0,
        at_most=100,
    )
    ensemble_share: float | None = parameter(
        None,
        "most per cent of the labels that a human gives in the arm ensemble, those first that divide the draws most; auto: all where they "
        "disagree, as in the paper",
        at_least=0,
        at_most=100,
    )
    consistency_below: float | None = parameter(
        None,
        "least consistency score in [0, 1] that the arms consistency and drop_consistency let pass; auto: they take replace_share per cent, "
        "the least consistent first",
        above=0,
        at_most=1,
    )
    audit_share: float = parameter(
        20.0,
        "per cent of a human's labels that are drawn at random, to learn from, in the arm learned",
        at_least=1,
        at_most=100,
    )
    soft_labels: str = parameter(
        "draw",
        "the distribution that the arm soft learns: of one draw, with a temperature calibrated on replace_share per cent of human labels, "
        "or the mean over the draws",
        choices=("draw", "calibrated", "mean"),
    )
    flip_rate: tuple[float, ...] = parameter(
        (10.0, 20.0, 40.0),
        "per cent of the gold labels that the arm flip turns into another class, drawn at random, comma-separated",
        at_least=0,
        at_most=100,
    )
    human: str = parameter(
        "",
        "file of a human's answers (.csv, .jsonl, .parquet with example_id and label, or Label Studio's .json), as -e ask asks for them; empty: "
        "the gold labels are the human's",
    )
    tie_seed: int = parameter(
        0, "seed that breaks ties of a ranking, and of what is drawn at random", at_least=0
    )


@dataclass(frozen=True)
class VerdictConfig(ConfigSection):
    """What labels must not cost to be called safe."""

    tolerance: float = parameter(
        2.0,
        "largest loss of macro-F1 against gold labels that is safe, in points (x 100)",
        at_least=0,
        at_most=100,
    )
    least_alpha: float = parameter(
        0.8,
        "least agreement of the seeds with one another that is safe: Krippendorff's alpha; 0.8 is his own rule",
        at_least=-1,
        at_most=1,
    )


@dataclass(frozen=True)
class HostConfig(ConfigSection):
    """Where things are kept."""

    workspace: str = parameter(
        "outputs", "folder for everything that was paid for: answers, trained seeds, reports"
    )


@dataclass(frozen=True)
class StoreConfig(ConfigSection):
    """What the tracking store is given, and what is taken from it."""

    reuse: str = parameter(
        "team",
        "finished annotations and seeds of the same digest that are taken from the store: none, mine (my own runs'), or team (anybody's); "
        "what the workspace holds is always used",
        choices=("none", "mine", "team"),
    )
    private: bool = parameter(
        False,
        "keep texts and prompts out of the store, hashes in their place, and the workspace's files to their owner",
    )
    register_prompt: bool = parameter(
        False, "register every prompt in MLflow's Prompt Registry too, each once"
    )

    def __post_init__(self) -> None:
        """A private prompt cannot be registered."""
        super().__post_init__()
        if self.private and self.register_prompt:
            raise AssayError(
                "register_prompt must be false with private=true: the registry would hold the prompt. Leave one of the two away."
            )


@dataclass(frozen=True)
class ReplicateConfig(ConfigSection):
    """What differs between the replicates of an arm; the paper leaves it open."""

    replicate: str = parameter(
        "training",
        "what replicates differ in: training (one label file, seeds differ), pipeline (replicate r has labels of its own too, draw r), "
        "or crossed (arm llm: every draw with every seed, so that the variance is split into the two)",
        choices=("training", "pipeline", "crossed"),
    )


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
