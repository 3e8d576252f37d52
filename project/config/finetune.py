"""How an encoder is fine-tuned: every hyper-parameter.

The defaults are those of Lu and Smith (2025), Appendix B, and where the paper is silent, those of
transformers' Trainer. :mod:`project.config.recipe` fills in epochs, steps and learning rate.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from project.config.fields import AUTO, ConfigSection, parameter, section
from project.support.errors import AssayError

LINEAR = "linear"
"""Name of the cheap classifier among the encoders."""
STACKED = "stacked"
"""Value of ``batching``: all seeds of an arm are trained at once."""
PAPER = "paper"
STEPS = "steps"
SCHEDULERS = ("linear", "cosine", "constant")
# Parameters that a seed's digest holds in another form, or that cannot change its predictions.
_NOT_RECIPE = {
    "encoder",
    "encoder_revision",
    "remote_code",
    "seeds",
    "max_length",
    "validation_labels",
    "precision",
    "workers",
    "checkpoint_seconds",
    "log_model",
    # The digest holds the epochs and evaluations that these come to.
    "recipe",
    "min_steps",
    "evaluations",
    # These make the targets, and the digest holds the targets.
    "targets",
    "target_temperature",
    "target_mix",
    "label_smoothing",
    "ordinal_targets",
    "ordinal_sharpness",
    "class_weights",
}


@section
class FinetuneConfig(ConfigSection):
    """The recipe of Lu and Smith (2025), Appendix B."""

    encoder: str = parameter(
        default="bundled",
        help="encoder to fine-tune: bundled (all-MiniLM-L6-v2, 22M), a local folder or a hub id; "
        "the paper has roberta-base. linear: no fine-tuning but a logistic regression on "
        "sentence embeddings, in seconds",
        everyday=True,
    )
    encoder_revision: str = parameter(default="main", help="hub revision of the encoder")
    remote_code: str = parameter(
        default="",
        help="the encoder's name again: allows the Python code that comes with it to run; empty: "
        "such code never runs",
    )
    seeds: int = parameter(
        default=5,
        help="fine-tuning seeds for each arm (0, 1, ...); the paper has 5",
        ge=1,
        le=1000,
        everyday=True,
    )
    recipe: str = parameter(
        default=AUTO,
        help="what auto of epochs, min_steps, evaluations and learning_rate stands for. paper: 3 "
        "epochs at 2e-5. steps: 3 epochs but enough steps, and a rate by encoder size. "
        "auto: paper for the paper's tasks at its 5,000 training texts, else steps",
        choices=(AUTO, PAPER, STEPS),
    )
    epochs: int | None = parameter(
        default=None,
        help="passes over the training split; auto: 3, and more where min_steps needs them",
        ge=1,
        le=10_000,
    )
    min_steps: int | None = parameter(
        default=None,
        help="epochs are added until a training has this many steps, in every arm and phase; "
        "auto: 200 or 15 a class, whichever is more; 0 with recipe=paper or where epochs is set",
        ge=0,
        le=1_000_000,
    )
    evaluations: int | None = parameter(
        default=None,
        help="how often the validation texts are predicted, evenly over the steps; the best time "
        "is kept; 0: after every epoch; auto: 10, or 0 with recipe=paper or where epochs is set",
        ge=0,
        le=10_000,
    )
    train_batch_size: int = parameter(
        default=16, help="texts in one training step", ge=1, le=65_536
    )
    gradient_accumulation: int = parameter(
        default=1,
        help="parts into which a training step is divided to save memory; the result is the same",
        ge=1,
        le=65_536,
    )
    eval_batch_size: int = parameter(
        default=32, help="texts in one evaluation step", ge=1, le=65_536
    )
    learning_rate: float | None = parameter(
        default=None,
        help="peak learning rate of AdamW; auto: the card's, else 2e-5 with recipe=paper, else by "
        "the encoder's size: 2e-5 from 125 million parameters on, 1e-4 for the bundled one",
        gt=0,
    )
    scheduler: str = parameter(
        default="linear",
        help="learning rate after the warm-up: linear to 0, cosine to 0, or constant",
        choices=SCHEDULERS,
    )
    warmup_ratio: float = parameter(
        default=0.05, help="share of steps with rising learning rate", ge=0, le=1
    )
    weight_decay: float = parameter(
        default=0.01, help="weight decay, not on biases and layer norms", ge=0, le=100
    )
    adam_beta1: float = parameter(
        default=0.9, help="AdamW's decay of the mean gradient", ge=0, le=0.9999
    )
    adam_beta2: float = parameter(
        default=0.999, help="AdamW's decay of the mean squared gradient", ge=0, le=0.99999
    )
    adam_epsilon: float = parameter(default=1e-8, help="AdamW's epsilon", gt=0, le=1)
    max_grad_norm: float = parameter(
        default=1.0,
        help="gradient norm is clipped to this (Trainer's default; the paper is silent)",
        gt=0,
    )
    dropout: float = parameter(
        default=0.1, help="dropout before the classification layer", ge=0, le=0.99
    )
    max_length: int = parameter(
        default=256,
        help="tokens of a text the encoder reads; longer texts are cut and counted",
        ge=4,
        le=1_000_000,
    )
    lora_rank: int = parameter(
        default=0,
        help="rank of LoRA's matrices on every linear layer, with all other weights frozen; 0: "
        "all weights are fine-tuned",
        ge=0,
        le=65_536,
    )
    lora_alpha: int = parameter(
        default=16, help="LoRA's scale: its matrices count alpha / rank times", ge=1, le=65_536
    )
    lora_dropout: float = parameter(
        default=0.05, help="dropout before LoRA's matrices", ge=0, le=0.99
    )
    targets: str = parameter(
        default="hard",
        help="what is learned: hard labels, or soft ones (the annotator's probabilities)",
        choices=("hard", "soft"),
    )
    target_temperature: float = parameter(
        default=1.0,
        help="temperature of soft targets: above 1 flatter, below 1 sharper",
        gt=0,
        le=1000,
    )
    target_mix: float = parameter(
        default=1.0, help="share of the soft target in its mix with the hard label", ge=0, le=1
    )
    label_smoothing: float = parameter(
        default=0.0, help="share of every target that is spread over all classes", ge=0, le=0.99
    )
    ordinal_targets: str = parameter(
        default="none",
        help="targets of hard labels in an ordinal task: none (the label alone), or shares of all "
        "labels that fall with their distance from it in steps, absolute or squared (SORD, Diaz "
        "and Marathe 2019)",
        choices=("none", "absolute", "squared"),
    )
    ordinal_sharpness: float = parameter(
        default=1.0,
        help="how fast these shares fall: a label has exp(-sharpness x distance), normalised",
        gt=0,
        le=1000,
    )
    class_weights: str = parameter(
        default="none",
        help="weight of examples by class: none, or balanced, which gives every class the same "
        "total weight",
        choices=("none", "balanced"),
    )
    batching: str = parameter(
        default=AUTO,
        help="how a mini-batch is read: packed (without padding) or padded (in parts of similar "
        "length); stacked: padded, and all seeds of an arm at once on one GPU; auto: packed where "
        "that is exact",
        choices=(AUTO, "packed", "padded", STACKED),
    )
    validation_labels: str = parameter(
        default="gold",
        help="labels by which the weights to keep are picked: gold, or arm (its own); the paper "
        "does not say which",
        choices=("gold", "arm"),
    )
    precision: str = parameter(
        default=AUTO,
        help="arithmetic of training; auto: bf16 where the hardware has it (GPUs from compute "
        "capability 8.0), else fp16 on a GPU from 7.0, else fp32. tf32: float32 with faster, "
        "coarser products on a GPU from 8.0; fp32 never uses them",
        choices=(AUTO, "fp32", "tf32", "bf16", "fp16"),
    )
    workers: int | None = parameter(
        default=None,
        help="seeds trained at the same time, without influence on results; auto: number of CPU "
        "cores, or up to five on a GPU, if memory holds as many",
        ge=1,
        le=1024,
    )
    checkpoint_seconds: float = parameter(
        default=10.0,
        help="a checkpoint is written at the end of an epoch if the last one is older than this; "
        "a killed seed continues from it",
        ge=0,
        le=1e9,
    )
    log_model: str = parameter(
        default="none",
        help="weights to log as safetensors: none, best (per arm and training size, the seed with "
        "the best validation macro-F1) or all",
        choices=("none", "best", "all"),
    )

    def __post_init__(self) -> None:
        """Refuse values that do not fit together."""
        if self.remote_code and self.remote_code != self.encoder:
            raise AssayError(
                f"remote_code must repeat the encoder's name, {self.encoder!r}; got "
                f"{self.remote_code!r}. Leave it empty to run no such code."
            )
        if self.encoder == LINEAR:
            self._check_linear()
        if self.batching == STACKED:
            self._check_stacked()
        if self.gradient_accumulation > self.train_batch_size:
            raise AssayError(
                f"gradient_accumulation must be at most train_batch_size, {self.train_batch_size}; "
                f"got {self.gradient_accumulation}."
            )

    def _check_stacked(self) -> None:
        """Refuse what stacked weights cannot do."""
        rules = (
            ("encoder", self.encoder != LINEAR, "an encoder that is fine-tuned"),
            ("lora_rank", self.lora_rank == 0, "lora_rank=0"),
            ("precision", self.precision != "fp16", "precision auto, bf16, tf32 or fp32"),
        )
        for name, holds, needed in rules:
            if not holds:
                raise AssayError(
                    f"batching=stacked needs {needed}; got {name}={getattr(self, name)}. Set "
                    "batching=auto, which trains every seed by itself."
                )

    def _check_linear(self) -> None:
        """Refuse what a logistic regression has not."""
        allowed: dict[str, tuple[object, ...]] = {
            "lora_rank": (0,),
            "log_model": ("none",),
            "max_length": (type(self).max_length,),
            "precision": (AUTO, "fp32"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise AssayError(
                    f"{name} must be {values[0]} with encoder=linear, a logistic regression on the "
                    f"bundled encoder's embeddings; got {getattr(self, name)}. Name an encoder, or "
                    f"leave {name} out."
                )

    def hyper_parameters(self) -> dict[str, Any]:
        """The hyper-parameters that are part of a seed's digest.

        Left out are parameters that cannot change predictions, and those that the digest holds in
        another form: the encoder, the examples, their targets, the schedule. A logistic regression
        has none.
        """
        if self.encoder == LINEAR:
            return {}
        return {
            item.name: getattr(self, item.name)
            for item in dataclasses.fields(self)
            if item.name not in _NOT_RECIPE
        }
