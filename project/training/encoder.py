"""What is fine-tuned: any model that transformers loads for sequence classification, whole or through LoRA."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from project.config.fields import AUTO
from project.config.finetune import FinetuneConfig
from project.support.errors import AssayError
from project.support.machine import faster_cpu_dtype
from project.support.models import ModelSource, encoder_source, quiet_transformers
from project.training.tokens import Tokens

# where the architectures of transformers keep the dropout before the classification layer
_DROPOUT_FIELDS = (
    "classifier_dropout",
    "classifier_dropout_prob",
    "seq_classif_dropout",
    "summary_last_dropout",
    "cls_dropout",
)
# their positions begin behind the padding index
_BEHIND_PADDING = (
    "camembert",
    "data2vec-text",
    "longformer",
    "luke",
    "mpnet",
    "roberta",
    "roberta-prelayernorm",
    "xlm-roberta",
    "xlm-roberta-xl",
    "xmod",
)
_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_AT_ONCE = 10_000  # texts that are tokenised together


@dataclass(frozen=True)
class Encoder:
    """What is fine-tuned: weights, tokenizer, arithmetic. Plain data, so that it travels to worker processes."""

    source: ModelSource
    precision: str
    max_length: int
    remote_code: bool = False

    @classmethod
    def find(cls, config: FinetuneConfig) -> Encoder:
        """The encoder that ``config`` names, with ``auto`` settled for this machine and the model's own longest input."""
        source = encoder_source(config.encoder, config.encoder_revision)
        found = cls(
            source, precision(config.precision), config.max_length, bool(config.remote_code)
        )
        settings = found._settings()
        positions = getattr(settings, "max_position_embeddings", None) or 0
        if settings.model_type in _BEHIND_PADDING:
            positions -= 2
        if positions <= 0:  # relative positions without an end
            return found
        return cls(source, found.precision, min(config.max_length, positions), found.remote_code)

    @property
    def identity(self) -> list[object]:
        """What of the encoder can change predictions, JSON-ready; the device is part of it."""
        return [
            self.source.identity,
            self.precision,
            "cuda" if torch.cuda.is_available() else "cpu",
            self.max_length,
        ]

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights on disk, 0 where they are not at hand yet."""
        return sum(path.stat().st_size for path in Path(self.source.location).glob("*.safetensors"))

    def tokens(self, texts: list[str], folder: Path) -> Tokens:
        """The token ids of ``texts``, cut to ``max_length``: out of ``folder`` if they are there, else tokenised and kept there."""
        return Tokens.of(texts, [self.source.identity, self.max_length], folder, self._encode)

    def _encode(self, texts: list[str]) -> Iterator[tuple[list[int], int]]:
        """Token ids of every text, cut to ``max_length``, and how many there were before the cut."""
        with _loading(self.source), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                self.source.location,
                revision=self.source.revision,
                trust_remote_code=self.remote_code,
            )
        for start in range(0, len(texts), _AT_ONCE):
            part = texts[start : start + _AT_ONCE]
            with quiet_transformers():
                whole = tokenizer(part, split_special_tokens=True)["input_ids"]
                long = [index for index, ids in enumerate(whole) if len(ids) > self.max_length]
                cut = {
                    index: tokenizer(
                        part[index],
                        split_special_tokens=True,
                        truncation=True,
                        max_length=self.max_length,
                    )["input_ids"]
                    for index in long
                }
            for index, ids in enumerate(whole):
                yield cut.get(index, ids), len(ids)

    def model(self, n_classes: int, config: FinetuneConfig) -> Any:
        """The encoder with a new classification layer; its initial weights come from torch's current random state.

        Weights are float32. Under LoRA those that do not learn stand in the dtype of ``precision`` instead.
        """
        with _loading(self.source), quiet_transformers():
            settings = self._settings(num_labels=n_classes)
            _set_dropout(settings, config.dropout, self.source.name)
            model: Any = AutoModelForSequenceClassification.from_pretrained(
                self.source.location,
                revision=self.source.revision,
                trust_remote_code=self.remote_code,
                config=settings,
                use_safetensors=True,
                dtype=_DTYPES[self.precision] if config.lora_rank else torch.float32,
            )
            self._settle_padding(model)
        return _with_lora(model, config) if config.lora_rank else model

    def save(self, model: Any, label_set: Sequence[str], folder: Path) -> None:
        """Write a trained ``model`` and its tokenizer as ``save_pretrained`` does, in safetensors; LoRA's matrices are added to the weights."""
        if hasattr(model, "merge_and_unload"):
            model = model.merge_and_unload()
        model.config.id2label, model.config.label2id = (
            dict(enumerate(label_set)),
            {name: code for code, name in enumerate(label_set)},
        )
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                self.source.location,
                revision=self.source.revision,
                trust_remote_code=self.remote_code,
            )
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)

    def _settings(self, **more: object) -> Any:
        with _loading(self.source), quiet_transformers():
            settings: Any = AutoConfig.from_pretrained(
                self.source.location,
                revision=self.source.revision,
                trust_remote_code=self.remote_code,
                **more,
            )
        return settings

    def _settle_padding(self, model: Any) -> None:
        """A causal model reads its answer at the last token that is no padding: it must know which token that is, and keep no cache."""
        if hasattr(model.config, "use_cache"):
            model.config.use_cache = False
        if model.config.pad_token_id is None:
            tokenizer = AutoTokenizer.from_pretrained(
                self.source.location,
                revision=self.source.revision,
                trust_remote_code=self.remote_code,
            )
            found = (
                tokenizer.pad_token_id
                if tokenizer.pad_token_id is not None
                else tokenizer.eos_token_id
            )
            model.config.pad_token_id = 0 if found is None else found


def _set_dropout(settings: Any, dropout: float, name: str) -> None:
    """Set the dropout before the classification layer, or refuse one that is not the default where there is none to set."""
    fields = [field for field in _DROPOUT_FIELDS if hasattr(settings, field)]
    if settings.model_type.startswith("deberta"):
        fields.append("cls_dropout")  # read where it is set, but not declared
    if not fields and dropout != FinetuneConfig.dropout:
        raise AssayError(
            f"dropout cannot be set for encoder {name} ({settings.model_type}). Leave it at {FinetuneConfig.dropout}."
        )
    for field in fields:
        setattr(settings, field, dropout)


def _with_lora(model: Any, config: FinetuneConfig) -> Any:
    """``model`` with LoRA's matrices (Hu et al. 2021, arXiv 2106.09685) on all linear layers but the classification layer, which is trained whole."""
    try:
        import peft
    except ImportError as error:
        raise AssayError(
            f"lora_rank={config.lora_rank} needs the package peft, which is not installed here: run `pip install peft`."
        ) from error
    lora: Any = peft.LoraConfig(
        task_type=peft.TaskType.SEQ_CLS,
        r=config.lora_rank,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        target_modules="all-linear",
    )
    model = peft.get_peft_model(model, lora)
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    return model


@contextlib.contextmanager
def _loading(source: ModelSource) -> Iterator[None]:
    try:
        yield
    except AssayError:
        raise
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        if "trust_remote_code" in reason:
            raise AssayError(
                f"encoder {source.name} comes with Python code of its own, which is run only if you say so: read it, then give its name "
                "once more with -P remote_code=..."
            ) from error
        raise AssayError(
            f"encoder {source.name} could not be loaded for sequence classification: {reason}"
        ) from error


def precision(asked: str) -> str:
    """``auto`` settled for this machine: bf16 where the hardware has it, else fp16 on a GPU, fp32 on a CPU."""
    cuda = torch.cuda.is_available()
    if asked == AUTO:
        if cuda:
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return "bf16" if faster_cpu_dtype() == "bfloat16" else "fp32"
    if asked == "fp16" and not cuda:
        raise AssayError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU.")
    return asked


def arithmetic(precision: str, device: str) -> torch.autocast:
    """The context in which a model computes in ``precision``; its float32 weights are cast on the way."""
    return torch.autocast(
        device,
        dtype=_DTYPES["fp16" if precision == "fp16" else "bf16"],
        enabled=precision != "fp32",
    )
