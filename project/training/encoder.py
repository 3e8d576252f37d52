"""The encoder to fine-tune: any model of transformers for sequence classification, or its LoRA."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoConfig, AutoTokenizer

from project.config.finetune import LINEAR, FinetuneConfig
from project.support.models import (
    BUNDLED,
    ModelSource,
    embedding_only,
    encoder_source,
    quiet_transformers,
)
from project.support.positions import max_positions
from project.training.model_settings import add_lora, set_dropout, set_padding
from project.training.precision import DTYPES, Machine, device, embedding_precision, precision
from project.training.pretrained import load_pretrained
from project.training.seed_memory import UNKNOWN_SHAPE, ModelShape, model_bytes
from project.training.tokens import Tokens, encode
from project.training.trial import TRIAL_CLASSES, check_reads, load_model, try_encoder


@dataclass(frozen=True)
class Encoder:
    """The encoder to fine-tune. Plain data, so that it can be sent to worker processes.

    Attributes
    ----------
    source
        Where its weights and its tokenizer are loaded from.
    precision
        fp32, tf32, bf16 or fp16.
    max_length
        Longest input in tokens; longer texts are cut.
    remote_code
        Whether Python code that comes with the model may run.
    is_linear
        Whether its embeddings are the input of a logistic regression, and it stays as it is.
    old_head
        Names of the weights of a classification head that the checkpoint brings along. They are
        not loaded: the head is new in every seed. None: not looked for yet.
    n_parameters, n_trained
        Number of its parameters, and of those that are trained; 0: not counted yet.
    shape
        Shape of its layers, for an estimate of memory.
    device
        Where it is trained: ``cuda`` or ``cpu``.
    """

    source: ModelSource
    precision: str
    max_length: int
    remote_code: bool = False
    is_linear: bool = False
    old_head: tuple[str, ...] | None = None
    n_parameters: int = 0
    n_trained: int = 0
    shape: ModelShape = UNKNOWN_SHAPE
    device: str = dataclasses.field(default_factory=device)

    @classmethod
    def find(cls, config: FinetuneConfig, machine: Machine | None = None) -> Encoder:
        """The encoder that ``config`` names, with the precision for the machine that trains it.

        ``machine`` is the one that trains; None: this one.
        ``max_length`` is at most the model's own longest input. The encoder is loaded once and
        reads a text, so that one that will not do is refused here and not in the first training.

        Raises
        ------
        AssayError
            If there is no such encoder, it cannot be loaded or trained, or its weights, its
            tokenizer and its configuration do not belong together.
        """
        if config.encoder == LINEAR:
            return _linear(config)
        encoder = cls(
            encoder_source(config.encoder, config.encoder_revision),
            precision(config.precision, machine),
            config.max_length,
            bool(config.remote_code),
            device=machine.device if machine else device(),
        )
        longest = max_positions(encoder._load(AutoConfig))
        if longest is not None:
            encoder = dataclasses.replace(encoder, max_length=min(config.max_length, longest))
        return dataclasses.replace(encoder, **_tried(encoder, config)._asdict())

    @property
    def identity(self) -> list[object]:
        """Everything of the encoder that can change predictions, ready for JSON."""
        return [
            self.source.identity,
            self.precision,
            self.device,
            self.max_length,
            # Only where it makes a difference: other results keep their names.
            *(["new head"] if self.old_head else []),
        ]

    @property
    def note(self) -> str:
        """A sentence for the user on a classification head that is not used; empty without one."""
        if not self.old_head:
            return ""
        return (
            f"encoder {self.source.name} comes with a classification head ({len(self.old_head)} "
            "weights), which is not used: the head is new in every seed."
        )

    def training_bytes(self, config: FinetuneConfig) -> int:
        """Bytes of its weights in training and all that belongs to them; 0 if not counted yet."""
        bytes_of_frozen = self._dtype(config).itemsize
        return model_bytes(self.n_parameters, self.n_trained, bytes_of_frozen)

    def tokens(self, texts: list[str], folder: Path) -> Tokens:
        """The tokens of ``texts``, cut to ``max_length``, kept in a folder below ``folder``."""
        return Tokens.of(texts, [self.source.identity, self.max_length], folder, self.encode)

    def encode(self, texts: list[str]) -> Iterator[tuple[list[int], int]]:
        """Token ids of every text, cut to ``max_length``, and their number before the cut."""
        return encode(self._load(AutoTokenizer), texts, self.max_length)

    def model(self, n_classes: int, config: FinetuneConfig) -> Any:
        """The encoder with a new classification layer.

        Its initial weights come from torch's global generator, also where the checkpoint has such
        a layer. Weights are float32; under LoRA those that are not trained have the dtype of
        ``precision``.
        """
        old_head = _old_head(self, config) if self.old_head is None else self.old_head
        settings = self._settings(n_classes, config.dropout)
        model = load_model(self._load, settings, self._dtype(config), old_head)
        if hasattr(model.config, "use_cache"):
            model.config.use_cache = False  # a causal model would keep keys and values
        if model.config.pad_token_id is None:
            set_padding(model.config, self._load(AutoTokenizer))
        return add_lora(model, config) if config.lora_rank else model

    def save(self, model: Any, label_set: Sequence[str], folder: Path) -> None:
        """Write a trained model and its tokenizer as ``save_pretrained`` does, in safetensors.

        Parameters
        ----------
        model
            The trained model; the matrices of LoRA are added to its weights.
        label_set
            Names of the classes, which the model's configuration gets.
        folder
            Where to write them.
        """
        if hasattr(model, "merge_and_unload"):
            model = model.merge_and_unload()
        model.config.id2label = dict(enumerate(label_set))
        model.config.label2id = {name: code for code, name in enumerate(label_set)}
        tokenizer = self._load(AutoTokenizer)
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)

    def _settings(self, n_classes: int, dropout: float) -> Any:
        """The model's configuration for classes, with a dropout before their layer."""
        settings = self._load(AutoConfig, num_labels=n_classes)
        set_dropout(settings, dropout, self.source.name)
        return settings

    def _dtype(self, config: FinetuneConfig) -> torch.dtype:
        """The type in which weights are loaded."""
        return DTYPES[self.precision] if config.lora_rank else torch.float32

    def _load(self, auto_class: Any, **options: Any) -> Any:
        """:func:`load_pretrained` of this encoder."""
        return load_pretrained(auto_class, self.source, remote_code=self.remote_code, **options)


class _Facts(NamedTuple):
    """What a trial finds out about an encoder, named as there."""

    old_head: tuple[str, ...]
    n_parameters: int
    n_trained: int
    shape: ModelShape


def _tried(encoder: Encoder, config: FinetuneConfig) -> _Facts:
    """The facts about an encoder; AssayError for one that will not do."""
    # Only what the trial depends on, so that other changes do not load the encoder again.
    names = ("dropout", "lora_rank", "lora_alpha", "lora_dropout", "batching")
    return _trial(encoder, FinetuneConfig(**{name: getattr(config, name) for name in names}))


@functools.lru_cache(maxsize=8)
def _trial(encoder: Encoder, config: FinetuneConfig) -> _Facts:
    """:func:`_tried`; the identity of the encoder's source stands for its files."""
    model, old_head = _try(encoder, config)
    n_parameters = sum(weight.numel() for weight in model.parameters())
    check_reads(encoder._load, encoder.source.name, model, config)
    # LoRA has frozen weights of the same model by now.
    n_trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    return _Facts(old_head, n_parameters, n_trained, ModelShape.of(model.config))


@functools.lru_cache(maxsize=8)
def _old_head(encoder: Encoder, config: FinetuneConfig) -> tuple[str, ...]:
    """``old_head`` of an encoder for which :meth:`Encoder.find` did not look for it."""
    return _try(encoder, config)[1]


def _try(encoder: Encoder, config: FinetuneConfig) -> tuple[Any, tuple[str, ...]]:
    """A model of the trial, and ``old_head``."""
    settings = encoder._settings(TRIAL_CLASSES, config.dropout)
    model, old_head = try_encoder(
        encoder._load, encoder.source.name, settings, encoder._dtype(config)
    )
    return model, tuple(old_head)


def _linear(config: FinetuneConfig) -> Encoder:
    """The bundled encoder, for its embeddings alone."""
    config = dataclasses.replace(config, encoder=BUNDLED, precision=embedding_precision())
    encoder = Encoder.find(config)
    return dataclasses.replace(encoder, source=embedding_only(encoder.source), is_linear=True)
