"""Which annotator labels the texts, where it runs, and what it may cost."""

from __future__ import annotations

import urllib.parse

from project.config.engines import engine_facts, engines_help
from project.config.fields import AUTO, ConfigSection, parameter, section
from project.support.errors import AssayError
from project.support.models import BUNDLED

QUANTIZATIONS = (
    AUTO,
    "fp8",
    "int8_per_channel_weight_only",
    "awq",
    "gptq",
    "compressed-tensors",
)
CALIBRATIONS = ("none", "contextual", "batch")


@section
class AnnotateConfig(ConfigSection):
    """Which annotator labels the texts, and how its answers are read."""

    annotator: str = parameter(
        default="transformers",
        help=f"what labels the texts: {engines_help()}",
        everyday=True,
    )
    annotator_model: str = parameter(
        default="bundled",
        help="annotating LLM: bundled (SmolLM2-135M-Instruct), a local folder or a hub id; with "
        "openai, the server's name for it; with rerank, a cross-encoder",
        everyday=True,
    )
    annotator_revision: str = parameter(default="main", help="hub revision of the annotator")
    annotator_dtype: str = parameter(
        default=AUTO,
        help="dtype of the annotator; auto: bfloat16 where it is faster than float32 on this "
        "machine (measured once), the model's own with vllm",
        choices=(AUTO, "float32", "bfloat16", "float16"),
    )
    annotator_batch_tokens: int | None = parameter(
        default=None,
        help="tokens in one forward pass of the annotator; auto: 1024 on a CPU, 8192 on a GPU with "
        "transformers and rerank, vLLM's own",
        ge=16,
    )
    calibration: str | None = parameter(
        default=None,
        help="prior by which the class probabilities are divided: none, contextual or batch; "
        "auto: the card's, else none",
        choices=CALIBRATIONS,
    )
    min_label_mass: float = parameter(
        default=0.01,
        help="least mean probability that the annotator must give to all labels together (label "
        "mass); below it, annotation stops after its first texts; 0: never",
        ge=0,
        le=1,
    )
    repeats: int = parameter(
        default=0,
        help="R: labels sampled at a temperature for every text, for the consistency score; 0: "
        "none",
        ge=0,
        le=1000,
    )
    temperature: float = parameter(
        default=0.6,
        help="temperature of the repeats; 0.6 as in gpt_annotate, the program of Pangakis and "
        "Wolken",
        gt=0,
        le=100,
    )
    reasoning: str = parameter(
        default="off",
        help="on: a model behind a server thinks before it answers, the label is read from the "
        "answer, and repeats give the distribution; off: the label is read from the first tokens",
        choices=("off", "on"),
    )
    max_reasoning_tokens: int = parameter(
        default=4096,
        help="with reasoning=on: most tokens of thoughts and answer; a reply that needs more has "
        "no label",
        ge=16,
        le=1_000_000,
    )
    tensor_parallel: int = parameter(
        default=1, help="GPUs that share one copy of the model (vllm)", ge=1, le=1024
    )
    annotator_processes: int | None = parameter(
        default=None,
        help="copies of the engine on a machine, each in a process with GPUs of its own; auto: as "
        "many as the GPUs allow, 1 on a CPU",
        ge=1,
        le=1024,
    )
    gpu_memory: float = parameter(
        default=0.9, help="share of a GPU's memory that vllm may take", gt=0, le=1
    )
    max_num_seqs: int | None = parameter(
        default=None,
        help="most texts in one forward pass (vllm); auto: vLLM's own",
        ge=1,
        le=65_536,
    )
    quantization: str = parameter(
        default=AUTO,
        help="how vllm holds the weights; auto: as the model comes, quantised or not; fp8 and int8 "
        "quantise it while it is loaded, which changes its answers",
        choices=QUANTIZATIONS,
    )
    enforce_eager: bool = parameter(
        default=False,
        help="vllm without compiling and CUDA graphs: starts about a minute sooner and reads "
        "somewhat slower, for some thousand texts",
    )
    max_model_len: int | None = parameter(
        default=None,
        help="longest prompt in tokens; longer ones are cut and counted; auto: the model's own "
        "limit",
        ge=16,
        le=100_000_000,
    )

    def __post_init__(self) -> None:
        """Refuse thoughts without a server, and the bundled LLM where pairs are scored."""
        if self.reasoning == "on" and not engine_facts(self.annotator).server:
            raise AssayError(
                "reasoning=on needs annotator=openai, with the model behind a server such as vllm "
                f"serve; got annotator={self.annotator}."
            )
        if self.annotator_model == BUNDLED and engine_facts(self.annotator).scores_pairs:
            raise AssayError(
                f"annotator={self.annotator} needs annotator_model: a cross-encoder, a reranker or "
                "an NLI model, as a folder or a hub id. The bundled model is an LLM; use "
                "annotator=transformers for it."
            )


def _check_address(url: object) -> None:
    """Refuse a URL that is not the address of a server, or in which a key could stand.

    The errors do not repeat the URL, because of the key.
    """
    text = str(url)
    try:
        parts = urllib.parse.urlsplit(text)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port  # raises ValueError for what is not a number from 0 to 65535
    except ValueError:
        is_address = False
    if any(mark in text for mark in "@?#"):
        raise AssayError(
            "annotator_url must hold no user name, password, query or fragment: it is written "
            "into the tracking store. Put the key into the environment variable named by "
            "api_key_variable."
        )
    if not is_address:
        raise AssayError(
            "annotator_url must be the address of a server, such as http://127.0.0.1:8000/v1."
        )


@section
class ServerConfig(ConfigSection):
    """The OpenAI-compatible server behind ``annotator=openai``.

    Its key is read from the environment and nowhere else.
    """

    annotator_url: str = parameter(
        default="http://127.0.0.1:8000/v1",
        help="address of the server, ending in /v1",
        check=_check_address,
    )
    annotator_tokenizer: str = parameter(
        default=AUTO,
        help="tokenizer of the server's model: bundled, a local folder, a hub id, or none; auto: "
        "that of annotator_model where it can be loaded",
    )
    api_key_variable: str = parameter(
        default="OPENAI_API_KEY", help="environment variable with the server's key, if it needs one"
    )
    max_concurrency: int = parameter(
        default=64,
        help="most requests at the same time; fewer while the server is busy",
        ge=1,
        le=4096,
    )
    request_timeout: float = parameter(
        default=60, help="seconds to wait for one answer of the server", gt=0, le=86_400
    )
    request_retries: int = parameter(
        default=6,
        help="times a failed request is sent again, with a longer wait each time",
        ge=0,
        le=100,
    )
    max_refused: float = parameter(
        default=0.05,
        help="share of the texts that the server may refuse, one by one, before the run stops; ten "
        "texts may always be refused",
        ge=0,
        le=1,
    )


@section
class RecordedConfig(ConfigSection):
    """The file behind ``annotator=recorded``."""

    recorded: str = parameter(
        default="",
        help="file with labels that exist already: .csv, .jsonl or .parquet",
        everyday=True,
    )
    recorded_columns: str = parameter(
        default="",
        help="columns of that file with labels, one draw each, comma-separated, * allowed; or "
        "NAME of columns NAME.<label> with probabilities; empty: the column label",
    )
    recorded_missing: float = parameter(
        default=2.0,
        help="percent of the examples asked about that may have no row in that file; these are "
        "left out of the LLM's scores and labels; with more, the run stops before anything",
        ge=0,
        le=100,
    )


@section
class SpendConfig(ConfigSection):
    """What annotation may cost. Answers that are on disk already cost nothing."""

    dry_run: str = parameter(
        default="false",
        help="true: show one full prompt, and tokens, requests and price of every draw, then stop; "
        "nothing is sent to a server. probe: a few texts are sent to a server too, for the time",
        choices=("false", "true", "probe"),
    )
    price_input: float = parameter(
        default=0.0, help="price of a million prompt tokens", ge=0, le=1e9
    )
    price_output: float = parameter(
        default=0.0, help="price of a million generated tokens", ge=0, le=1e9
    )
    price_hour: float = parameter(
        default=0.0, help="price of this machine with its GPUs for an hour", ge=0, le=1e9
    )
    price_label: float = parameter(default=0.0, help="price of one human label", ge=0, le=1e9)
    max_cost: float | None = parameter(
        default=None,
        help="stop when annotation has cost this much in this run, all answers kept; auto: no "
        "limit",
        gt=0,
        le=1e12,
    )
    max_minutes: float | None = parameter(
        default=None,
        help="stop when annotation has taken this long in this run, all answers kept; auto: no "
        "limit",
        gt=0,
        le=10_000_000,
    )

    @property
    def only_plans(self) -> bool:
        """Whether annotation is planned and not done."""
        return self.dry_run != "false"

    def __post_init__(self) -> None:
        """Refuse a limit of the cost where no price is set."""
        prices = (self.price_input, self.price_output, self.price_hour)
        if self.max_cost is not None and not any(prices):
            raise AssayError(
                "max_cost needs a price: set price_input and price_output (a million tokens "
                "each), or price_hour."
            )
