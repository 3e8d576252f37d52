"""What the benchmarks of annotation share: their settings, our engine at work, a plain model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.machine import Row, seconds_of
from benchmarks.workload import Workload
from project.annotation.engines.base import Annotator, Answers
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.annotation import AnnotateConfig
from project.support.models import annotator_source, quiet_transformers


class Settings(NamedTuple):
    """How much is measured.

    ``texts``: that our side reads in a repeat; ``few``: that a slower side reads; ``price_hour``:
    the price of the machine for an hour.
    """

    texts: int
    few: int
    repeats: int
    price_hour: float


class PlainModel(NamedTuple):
    """A tokenizer and a model as a user of transformers loads them."""

    tokenizer: Any
    model: Any


@dataclass
class Reader:
    """One of our engines at work on a workload.

    ``clock`` measures seconds. By repeat, ``answers`` are the log probabilities
    ``(n_texts, n_classes)`` and ``mass`` is the label mass ``(n_texts,)``.
    """

    annotator: Annotator
    work: Workload
    clock: Callable[[Callable[[], Any]], float] = seconds_of
    answers: dict[int, np.ndarray] = field(default_factory=dict)
    mass: dict[int, np.ndarray] = field(default_factory=dict)

    def seconds(self, repeat: int) -> float:
        """Seconds for one text under the repeat's prompt.

        All texts are read, in shards as in annotation; the prefix is computed anew.
        """
        prompt = self.work.prompts[repeat]
        texts = self.work.texts
        size = self.annotator.shard_size
        shards: list[Answers] = []

        def read() -> None:
            for start in range(0, len(texts), size):
                shards.append(self.annotator.read(prompt, texts[start : start + size]))

        seconds = self.clock(read)
        self.answers[repeat] = np.concatenate([shard.log_probabilities for shard in shards])
        self.mass[repeat] = np.concatenate([shard.label_mass for shard in shards])
        return seconds / len(texts)


def engine(folder: str, dtype: str) -> TransformersAnnotator:
    """Our transformers engine."""
    return TransformersAnnotator(AnnotateConfig(annotator_model=folder, annotator_dtype=dtype))


def plain_model(folder: str, dtype: str = "float32") -> PlainModel:
    """The model as a user of transformers loads it, apart from that of our engine."""
    source = annotator_source(folder, "main")
    with quiet_transformers():
        tokenizer: Any = AutoTokenizer.from_pretrained(source.location, revision=source.revision)
        model: Any = AutoModelForCausalLM.from_pretrained(
            source.location, revision=source.revision, dtype=getattr(torch, dtype)
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return PlainModel(tokenizer, model.to(device).eval())


def gpu_rows(measure: str, seconds: float, price_hour: float) -> list[Row]:
    """What 1,000 labels take and cost on a GPU; no row without one.

    Parameters
    ----------
    measure
        What was measured.
    seconds
        Seconds for one text.
    price_hour
        The price of the machine for an hour; 0 if it is unknown.
    """
    if not torch.cuda.is_available():
        return []
    price = "price: give --price-hour"
    if price_hour:
        price = f"{seconds * 1000 / 3600 * price_hour:.3g} at {price_hour:g} an hour"
    return [
        Row(
            f"{measure}, 1,000 labels on a GPU",
            f"{1 / seconds:,.0f} texts/s",
            f"{seconds * 1000:.3g} GPU-seconds",
            price,
        )
    ]
