"""Texts with random labels and the models that both sides of a benchmark fine-tune on them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import transformers

from project.config.finetune import FinetuneConfig
from project.stats.types import Codes
from project.support.models import ModelSource, encoder_source, quiet_transformers
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.seed_memory import ModelShape
from project.training.tokens import Tokens

N_CLASSES = 4
# Lengths of texts in tokens are log-normal.
MAX_LENGTH = 256
MEDIAN_LENGTH = 42
SIGMA = 0.6

_MIN_LENGTH = 4
_FIRST_WORD = 1000  # lower token ids are special tokens or rare
SMALL = "small"
# What RobertaConfig has to be changed in, by the name of a shape.
_SHAPES: dict[str, dict[str, Any]] = {
    "roberta-base": {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    SMALL: {
        "vocab_size": 5000,
        "max_position_embeddings": 514,
        "type_vocab_size": 1,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 128,
    },
}


class NamedModel(NamedTuple):
    """A model: where it is, the size of its vocabulary, and its name in the report."""

    source: ModelSource
    vocabulary: int
    name: str


class WeightCounts(NamedTuple):
    """The number of weights without the embeddings, and in all."""

    layers: int
    total: int


@dataclass(frozen=True)
class Work:
    """Texts as token ids with random labels.

    ``n`` texts to train on; a quarter as many to validate, and another quarter to predict.
    """

    folder: Path
    model: NamedModel
    tokens: Tokens
    n: int
    labels: Codes

    @property
    def name(self) -> str:
        """The model's name in the report."""
        return self.model.name

    @property
    def n_held_out(self) -> int:
        """How many texts there are to validate, and how many to predict."""
        return self.n // 4

    def inputs(self) -> TrainingInputs:
        """What our side trains on."""
        n_used = self.n + self.n_held_out
        indices = np.arange(n_used)
        targets = np.eye(N_CLASSES)[self.labels[: self.n]]
        return TrainingInputs(
            tokens=self.tokens,
            phases=(Phase(indices[: self.n], targets, np.ones(self.n)),),
            validation_indices=indices[self.n :],
            validation_labels=self.labels[self.n : n_used],
        )

    def encoder(self, precision: str) -> Encoder:
        """The model as our side loads it."""
        n = self.weights().total
        return Encoder(
            self.model.source,
            precision,
            MAX_LENGTH,
            n_parameters=n,
            n_trained=n,
            shape=ModelShape.of(self._loaded().config),
        )

    @property
    def n_tokens(self) -> int:
        """Tokens of one epoch."""
        return int(self.tokens.lengths(np.arange(self.n)).sum())

    def weights(self) -> WeightCounts:
        """The number of the model's weights."""
        sizes = {name: value.numel() for name, value in self._loaded().named_parameters()}
        layers = sum(size for name, size in sizes.items() if "embeddings" not in name)
        return WeightCounts(layers, sum(sizes.values()))

    def _loaded(self) -> Any:
        """The model without its weights."""
        settings = transformers.AutoConfig.from_pretrained(
            self.model.source.location, num_labels=N_CLASSES
        )
        with torch.device("meta"):
            return transformers.AutoModelForSequenceClassification.from_config(settings)

    def rows(self, start: int, stop: int) -> list[dict[str, Any]]:
        """The texts from ``start`` to ``stop`` as the Trainer takes them."""
        return [
            {"input_ids": self.tokens[index].astype(np.int64), "labels": int(self.labels[index])}
            for index in range(start, stop)
        ]


def training_work(folder: Path, model_name: str, n: int, *, length: int | None = None) -> Work:
    """The work of a benchmark.

    Parameters
    ----------
    folder
        Where tokens and random weights are written.
    model_name
        ``bundled``; ``roberta-base`` or ``small`` for random weights of such a shape.
    n
        How many texts there are to train on.
    length
        Tokens of every text; None: of random lengths.
    """
    is_bundled = model_name == "bundled"
    model = _bundled() if is_bundled else _random_roberta(folder / "model", model_name)
    random = np.random.default_rng(0)
    total = n + 2 * (n // 4)
    lengths = np.exp(random.normal(np.log(MEDIAN_LENGTH), SIGMA, total)).astype(int)
    lengths = np.clip(lengths if length is None else length, _MIN_LENGTH, MAX_LENGTH)
    lengths = np.broadcast_to(lengths, total)

    def encode(texts: list[str]) -> Iterable[tuple[list[int], int]]:
        for length, _ in zip(lengths, texts, strict=True):
            words = random.integers(_FIRST_WORD, model.vocabulary, length - 2).tolist()
            yield [0, *words, 2], int(length)

    texts = [str(index) for index in range(total)]
    tokens = Tokens.of(texts, [model_name, n, length], folder / "tokens", encode)
    return Work(folder, model, tokens, n, labels=random.integers(0, N_CLASSES, total))


def _bundled() -> NamedModel:
    return NamedModel(encoder_source("bundled", "main"), 30522, "MiniLM-L6 (22M)")


def _random_roberta(folder: Path, name: str) -> NamedModel:
    settings = transformers.RobertaConfig(**_SHAPES[name])
    if not folder.is_dir():
        with quiet_transformers(), torch.random.fork_rng():
            torch.manual_seed(0)
            transformers.RobertaModel(settings).save_pretrained(folder)
    with torch.device("meta"):
        weights = transformers.RobertaModel(settings).parameters()
    millions = sum(weight.numel() for weight in weights) / 1e6
    source = ModelSource(name, str(folder), None, "random")
    return NamedModel(source, settings.vocab_size, f"{name} shape ({millions:.1f}M)")


def one_epoch(**changes: Any) -> FinetuneConfig:
    """The default recipe with one epoch."""
    return FinetuneConfig(epochs=1, learning_rate=2e-5, checkpoint_seconds=1e9, **changes)
