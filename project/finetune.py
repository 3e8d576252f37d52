"""An encoder on training labels with one seed -> predictions and history. The recipe of Lu and Smith (2025), Appendix B."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from project.config import FinetuneConfig
from project.errors import AssayError
from project.models import ModelSource, encoder_source, quiet_transformers
from project.parameters import AUTO
from project.stats.scores import confusion, scores
from project.tables import Codes, Floats, digest, with_class_columns

Tokens = list[list[int]]
RECIPE = 1  # to be raised when the code here comes to give other predictions: finished seeds are then trained anew
# where the architectures of transformers keep the dropout before the classification layer
_DROPOUT_FIELDS = ("classifier_dropout", "classifier_dropout_prob", "seq_classif_dropout", "summary_last_dropout", "cls_dropout")


@dataclass(frozen=True)
class Encoder:
    """What is fine-tuned: weights, tokenizer, arithmetic. Plain data, so that it travels to worker processes."""

    source: ModelSource
    precision: str
    max_length: int

    @classmethod
    def find(cls, config: FinetuneConfig) -> Encoder:
        """The encoder that ``config`` names, with ``auto`` settled for this machine and the model's own longest input."""
        source = encoder_source(config.encoder, config.encoder_revision)
        with _loading(source), quiet_transformers():
            settings = AutoConfig.from_pretrained(source.location, revision=source.revision)
        positions = getattr(settings, "max_position_embeddings", None) or config.max_length
        if getattr(settings, "model_type", "") in ("roberta", "xlm-roberta", "camembert"):
            positions -= 2  # their positions begin behind the padding index
        return cls(source, precision(config.precision), min(config.max_length, positions))

    def encode(self, texts: Sequence[str]) -> tuple[Tokens, int]:
        """Token ids of every text, cut to ``max_length``, and how many texts were cut."""
        with _loading(self.source), quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(self.source.location, revision=self.source.revision)
            whole = tokenizer(list(texts), split_special_tokens=True)["input_ids"]
            tokens = tokenizer(list(texts), split_special_tokens=True, truncation=True, max_length=self.max_length)["input_ids"]
        return tokens, sum(len(ids) > self.max_length for ids in whole)

    def model(self, n_classes: int, dropout: float) -> Any:
        """The encoder with a new classification layer; its initial weights come from torch's current random state."""
        with _loading(self.source), quiet_transformers():
            settings = AutoConfig.from_pretrained(self.source.location, revision=self.source.revision, num_labels=n_classes)
            fields = [name for name in _DROPOUT_FIELDS if hasattr(settings, name)]
            if settings.model_type.startswith("deberta"):
                fields.append("cls_dropout")  # read where it is set, but not declared
            if not fields and dropout != FinetuneConfig.dropout:
                raise AssayError(
                    f"dropout cannot be set for encoder {self.source.name} ({settings.model_type}). Leave it at {FinetuneConfig.dropout}."
                )
            for name in fields:
                setattr(settings, name, dropout)
            return AutoModelForSequenceClassification.from_pretrained(
                self.source.location, revision=self.source.revision, config=settings, use_safetensors=True, dtype=torch.float32
            )


@contextlib.contextmanager
def _loading(source: ModelSource) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise AssayError(f"encoder {source.name} could not be loaded for sequence classification: {' '.join(str(error).split())}") from error


def precision(asked: str) -> str:
    """``auto`` settled for this machine: bf16 where the hardware has it, else fp16 on a GPU, fp32 on a CPU."""
    cuda = torch.cuda.is_available()
    if asked == AUTO:
        if cuda:
            return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
        return "bf16" if _cpu_has_bf16() else "fp32"
    if asked == "fp16" and not cuda:
        raise AssayError("precision fp16 needs a GPU; use bf16, fp32 or auto on a CPU.")
    return asked


def _cpu_has_bf16() -> bool:
    flags = Path("/proc/cpuinfo")
    return flags.is_file() and any(flag in flags.read_text() for flag in ("avx512_bf16", "amx_bf16"))


@dataclass(frozen=True)
class Training:
    """Texts and class codes of one fine-tuning run. Splits are index sets of one shared list of token ids."""

    tokens: Tokens
    labels: Codes
    validation_tokens: Tokens
    validation_labels: Codes
    n_classes: int


@dataclass(frozen=True)
class Epoch:
    """What is known after one epoch; scores in [0, 1], learning rate as it stood at the epoch's end."""

    epoch: int
    training_loss: float
    validation_accuracy: float
    validation_macro_f1: float
    learning_rate: float


def seed_digest(encoder: Encoder, config: FinetuneConfig, texts: Sequence[object], labels: Sequence[object], seed: int) -> str:
    """Identity of one seed's predictions: what was trained on what, how and where.

    Versions of libraries are left out, so that an upgrade does not pay for everything again; they are logged with the experiment.
    """
    recipe = {
        name: getattr(config, name)
        for name in ("epochs", "train_batch_size", "eval_batch_size", "learning_rate", "weight_decay", "warmup_ratio", "max_grad_norm", "dropout")
    }
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return digest([RECIPE, encoder.source.identity, encoder.precision, device, encoder.max_length, recipe, list(texts), list(labels), seed])


def train(
    encoder: Encoder, config: FinetuneConfig, data: Training, *, seed: int, checkpoint: Path, after_epoch: Callable[[Epoch], None]
) -> tuple[Any, list[Epoch]]:
    """Fine-tune with ``seed``; returns the model at its best epoch by validation macro-F1 (ties: the earlier) and the history.

    ``seed`` decides the classification layer's first weights, dropout and the order of examples. At most two checkpoints
    stand on disk: the best so far at ``checkpoint``, and the one that replaces it while it is written.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)  # initial weights and dropout have no generator of their own
        return _train(encoder, config, data, np.random.default_rng([seed, 0]), checkpoint, after_epoch)


def _train(
    encoder: Encoder, config: FinetuneConfig, data: Training, order: np.random.Generator, checkpoint: Path, after_epoch: Callable[[Epoch], None]
) -> tuple[Any, list[Epoch]]:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = encoder.model(data.n_classes, config.dropout).to(device)
    optimizer = _optimizer(model, config)
    starts = np.arange(config.train_batch_size, len(data.tokens), config.train_batch_size)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _linear(config.warmup_ratio, (len(starts) + 1) * config.epochs))
    scaler = torch.amp.GradScaler(device, enabled=encoder.precision == "fp16")
    history: list[Epoch] = []
    for epoch in range(1, config.epochs + 1):
        model.train()
        total = 0.0
        for batch in np.split(order.permutation(len(data.tokens)), starts):
            loss = _loss(model, data, batch, encoder.precision)
            if not math.isfinite(float(loss.detach())):
                rate = schedule.get_last_lr()[0]
                raise AssayError(f"training diverged (loss is not a number) in epoch {epoch} at learning rate {rate:g}. Lower learning_rate.")
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            schedule.step()
            total += float(loss.detach()) * len(batch)
        answers = predict(model, data.validation_tokens, encoder.precision, config.eval_batch_size)
        score = scores(confusion(data.validation_labels, answers.argmax(axis=1), data.n_classes))
        history.append(Epoch(epoch, total / len(data.tokens), score.accuracy, score.macro_f1, float(schedule.get_last_lr()[0])))
        if epoch == best_epoch(history):
            _save(model, checkpoint)
        after_epoch(history[-1])
    load_model(model, checkpoint, device=device)
    return model, history


def best_epoch(history: Sequence[Epoch]) -> int:
    """The epoch that is kept: the first with the highest validation macro-F1."""
    return max(history, key=lambda one: (one.validation_macro_f1, -one.epoch)).epoch


def _loss(model: Any, data: Training, batch: np.ndarray, precision: str) -> torch.Tensor:
    """Mean cross-entropy of one mini-batch, in float32."""
    ids, mask = _pad([data.tokens[index] for index in batch], model)
    with _arithmetic(precision, ids.device.type):
        logits = model(input_ids=ids, attention_mask=mask).logits
    return torch.nn.functional.cross_entropy(logits.float(), torch.as_tensor(data.labels[batch], device=ids.device))


def predict(model: Any, tokens: Tokens, precision: str, batch_size: int) -> Floats:
    """Natural log probabilities ``(n_texts, n_classes)``; texts are batched by length, the result in the given order."""
    model.eval()
    order = sorted(range(len(tokens)), key=lambda index: len(tokens[index]))
    result = np.empty((len(tokens), model.config.num_labels))
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            chunk = order[start : start + batch_size]
            ids, mask = _pad([tokens[index] for index in chunk], model)
            with _arithmetic(precision, ids.device.type):
                logits = model(input_ids=ids, attention_mask=mask).logits
            result[chunk] = logits.double().log_softmax(-1).cpu().numpy()
    return result


def predictions_table(example_ids: Sequence[str], log_probabilities: Floats, label_set: Sequence[str]) -> pd.DataFrame:
    """The predictions table; the label is the argmax (ties: the first class)."""
    labels = np.array(list(label_set), dtype=object)[log_probabilities.argmax(axis=1)]
    return with_class_columns(pd.DataFrame({"example_id": list(example_ids), "label": labels}), log_probabilities, label_set)


def _pad(rows: Tokens, model: Any) -> tuple[torch.Tensor, torch.Tensor]:
    width, padding = max(map(len, rows)), model.config.pad_token_id or 0
    ids = torch.tensor([row + [padding] * (width - len(row)) for row in rows], device=model.device)
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=model.device)
    return ids, mask


def _arithmetic(precision: str, device: str) -> torch.autocast:
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device, dtype=dtype, enabled=precision != "fp32")


def _optimizer(model: Any, config: FinetuneConfig) -> torch.optim.Optimizer:
    """AdamW; biases and normalisation weights, the parameters with one dimension, do not decay."""
    weights = [parameter for parameter in model.parameters() if parameter.ndim > 1]
    rest = [parameter for parameter in model.parameters() if parameter.ndim <= 1]
    groups = [{"params": weights, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=float(config.learning_rate or 0), fused=True)


def _linear(warmup_ratio: float, steps: int) -> Callable[[int], float]:
    """Learning-rate factor at every step: linear from 0 over the warm-up, then linear to 0 (transformers' linear schedule)."""
    warmup = math.ceil(warmup_ratio * steps)
    return lambda step: step / max(1, warmup) if step < warmup else max(0.0, (steps - step) / max(1, steps - warmup))


def _save(model: Any, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    try:
        save_model(model, str(temporary))
    except SafetensorError as error:
        raise AssayError(
            f"the checkpoint could not be written ({error}). Free space in the workspace and run again; finished seeds are kept."
        ) from error
    temporary.replace(path)
