"""The encoder to fine-tune: any model of transformers for sequence classification, or its LoRA."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from project.config.fields import AUTO
from project.config.finetune import LINEAR, FinetuneConfig
from project.support.errors import AssayError
from project.support.machine import faster_cpu_dtype
from project.support.models import BUNDLED, ModelSource, encoder_source, quiet_transformers
from project.training.model_settings import add_lora, max_positions, set_dropout, set_padding
from project.training.pretrained import load_pretrained
from project.training.tokens import Tokens

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_TOKENIZED_TOGETHER = 10_000  # texts


@dataclass(frozen=True)
class Encoder:
    """The encoder to fine-tune. Plain data, so that it can be sent to worker processes.

    Attributes
    ----------
    source
        Where its weights and its tokenizer are loaded from.
    precision
        fp32, bf16 or fp16.
    max_length
        Longest input in tokens; longer texts are cut.
    remote_code
        Whether Python code that comes with the model may run.
    is_linear
        Whether its embeddings are the input of a logistic regression, and it stays as it is.
    """

    source: ModelSource
    precision: str
    max_length: int
    remote_code: bool = False
    is_linear: bool = False

    @classmethod
    def find(cls, config: FinetuneConfig) -> Encoder:
        """The encoder that ``config`` names, with the precision for this machine.

        ``max_length`` is at most the model's own longest input.
        """
        if config.encoder == LINEAR:
            return _linear(config)
        encoder = cls(
            encoder_source(config.encoder, config.encoder_revision),
            precision(config.precision),
            config.max_length,
            bool(config.remote_code),
        )
        longest = max_positions(encoder._load(AutoConfig))
        if longest is None:
            return encoder
        return dataclasses.replace(encoder, max_length=min(config.max_length, longest))

    @property
    def identity(self) -> list[object]:
        """Everything of the encoder that can change predictions, ready for JSON."""
        return [
            self.source.identity,
            self.precision,
            "cuda" if torch.cuda.is_available() else "cpu",
            self.max_length,
        ]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights on disk, 0 if they are not downloaded yet."""
        return sum(path.stat().st_size for path in Path(self.source.location).glob("*.safetensors"))

    def tokens(self, texts: list[str], folder: Path) -> Tokens:
        """The tokens of ``texts``, cut to ``max_length``, kept in a folder below ``folder``."""
        return Tokens.of(texts, [self.source.identity, self.max_length], folder, self.encode)

    def encode(self, texts: list[str]) -> Iterator[tuple[list[int], int]]:
        """Token ids of every text, cut to ``max_length``, and their number before the cut."""
        tokenizer = self._load(AutoTokenizer)
        for start in range(0, len(texts), _TOKENIZED_TOGETHER):
            batch = texts[start : start + _TOKENIZED_TOGETHER]
            with quiet_transformers():
                uncut = tokenizer(batch, split_special_tokens=True)["input_ids"]
                # Long texts are tokenised again, so that the cut keeps the special tokens.
                cut = {
                    index: tokenizer(
                        batch[index],
                        split_special_tokens=True,
                        truncation=True,
                        max_length=self.max_length,
                    )["input_ids"]
                    for index, ids in enumerate(uncut)
                    if len(ids) > self.max_length
                }
            for index, ids in enumerate(uncut):
                yield cut.get(index, ids), len(ids)

    def model(self, n_classes: int, config: FinetuneConfig) -> Any:
        """The encoder with a new classification layer.

        Its initial weights come from torch's global generator. Weights are float32; under LoRA
        those that are not trained have the dtype of ``precision``.
        """
        settings = self._load(AutoConfig, num_labels=n_classes)
        set_dropout(settings, config.dropout, self.source.name)
        model = self._load(
            AutoModelForSequenceClassification,
            config=settings,
            use_safetensors=True,
            dtype=_DTYPES[self.precision] if config.lora_rank else torch.float32,
        )
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

    def _load(self, auto_class: Any, **options: Any) -> Any:
        """:func:`load_pretrained` of this encoder."""
        return load_pretrained(auto_class, self.source, remote_code=self.remote_code, **options)


def _linear(config: FinetuneConfig) -> Encoder:
    """The bundled encoder, for its embeddings alone."""
    encoder = Encoder.find(dataclasses.replace(config, encoder=BUNDLED, precision="fp32"))
    source = dataclasses.replace(
        encoder.source,
        name=f"logistic regression on {encoder.source.name}",
        identity=f"logistic regression on {encoder.source.identity}",
    )
    return dataclasses.replace(encoder, source=source, is_linear=True)


def precision(requested: str) -> str:
    """The precision ``requested``, or for ``auto`` the fastest one of this machine.

    That is bf16 if the hardware has it, else fp16 on a GPU and fp32 on a CPU.
    """
    cuda = torch.cuda.is_available()
    if requested == AUTO:
        if cuda:
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return "bf16" if faster_cpu_dtype() == "bfloat16" else "fp32"
    if requested == "fp16" and not cuda:
        raise AssayError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU.")
    return requested


def autocast(precision: str, device: str) -> torch.autocast:
    """The context in which a model computes in ``precision``; float32 weights are cast in it."""
    return torch.autocast(
        device,
        dtype=_DTYPES["fp16" if precision == "fp16" else "bf16"],
        enabled=precision != "fp32",
    )
