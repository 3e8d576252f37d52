"""Fine-tuned classifiers that were saved, and their class probabilities of new texts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from project.stats.types import Codes, Floats
from project.support.errors import AssayError
from project.support.machine import cpu_cores, set_memory_limits
from project.support.models import ModelSource
from project.support.prepacked import prepack
from project.training.batching import Batching, choose_batching
from project.training.precision import DTYPES, one_thread_each, precision
from project.training.predict import predict
from project.training.pretrained import load_pretrained
from project.training.tokens import Ids, encode

_TOKENS_OF_A_TEXT = 32  # about, a hint for the layout of weights
_BATCHES_AT_A_TIME = 4  # that a thread computes before it takes others


class SavedClassifier(NamedTuple):
    """A classifier on disk.

    Attributes
    ----------
    name
        Its address, for messages.
    model, tokenizer
        Folders with what ``save_pretrained`` wrote.
    max_length
        Tokens at which texts are cut.
    """

    name: str
    model: Path
    tokenizer: Path
    max_length: int


class Classified(NamedTuple):
    """Class probabilities of texts by every classifier, and how many texts were cut.

    ``probabilities`` are ``(n_classifiers, n_texts, n_classes)``.
    """

    probabilities: Floats
    n_cut: int


class TokenRows:
    """Token ids of the texts of one block, in memory."""

    def __init__(self, rows: Sequence[Ids]) -> None:
        """The ids of every text."""
        self._rows = rows
        self._lengths = np.array([len(row) for row in rows], dtype=np.int64)

    def lengths(self, indices: Codes) -> Codes:
        """The number of ids of each text at ``indices``, ``(n,)``."""
        return np.asarray(self._lengths[indices])

    def rows(self, indices: Codes) -> list[Ids]:
        """The ids of the texts at ``indices``."""
        return [self._rows[index] for index in indices]


class Classifiers:
    """Classifiers of the same texts: the seeds of one arm, which share tokenizer and labels."""

    def __init__(
        self,
        saved: Sequence[SavedClassifier],
        requested: str,
        batch_size: int,
        n_threads: int | None = None,
    ) -> None:
        """Load the classifiers.

        Parameters
        ----------
        saved
            Where they are.
        requested
            Precision: fp32, bf16, fp16 or auto.
        batch_size
            Texts that go through a model together.
        n_threads
            Threads on a CPU, which change no result; None: one for each core.

        Raises
        ------
        AssayError
            If one cannot be loaded, or they differ in their labels.
        """
        self.precision = precision(requested)
        self._batch_size = batch_size
        self._max_length = saved[0].max_length
        self._n_threads = 1
        if not torch.cuda.is_available():
            set_memory_limits()
            self._n_threads = n_threads or cpu_cores()
        self._threads = ThreadPoolExecutor(self._n_threads, initializer=one_thread_each)
        source = _source(saved[0].name, saved[0].tokenizer)
        self._tokenizer: Any = load_pretrained(AutoTokenizer, source)
        models = [_load(one) for one in saved]
        self.labels = _labels(models[0])
        if any(_labels(model) != self.labels for model in models):
            raise AssayError("the seeds' classifiers must have the same labels; they differ.")
        self._batchings: list[Batching] = [
            choose_batching(model, "auto", self.precision) for model in models
        ]
        if self.precision == "bf16":  # float32 would gain nothing, and move digits
            for model in models:
                prepack(model, batch_size * _TOKENS_OF_A_TEXT, DTYPES[self.precision])
        self.batching = self._batchings[0].name

    def classified(
        self, blocks: Iterable[tuple[int, list[str]]]
    ) -> Iterator[tuple[int, Classified]]:
        """Number and class probabilities of every block, in their order."""
        for number, texts in blocks:
            yield number, self.classify(texts)

    def classify(self, texts: Sequence[str]) -> Classified:
        """Class probabilities of texts, cut as in training."""
        if not texts:
            return Classified(np.zeros((len(self._batchings), 0, len(self.labels))), 0)
        encoded = list(encode(self._tokenizer, texts, self._max_length))
        tokens = TokenRows([np.array(ids, dtype=np.int32) for ids, _ in encoded])
        n_cut = sum(length > len(ids) for ids, length in encoded)
        parts = [self._predict(batching, tokens, len(texts)) for batching in self._batchings]
        return Classified(np.exp(np.stack(parts)), n_cut)

    def _predict(self, batching: Batching, tokens: TokenRows, n: int) -> Floats:
        """Log probabilities ``(n, n_classes)``; on a CPU by several threads.

        Threads that share an operation wait for one another at each of thousands of small ones, so
        each thread computes batches of its own. How many threads there are changes no batch.
        """
        order = np.argsort(tokens.lengths(np.arange(n)), kind="stable")
        size = _BATCHES_AT_A_TIME * self._batch_size
        # The longest texts first, so that no thread begins with them when the others are done.
        shares = [order[start : start + size] for start in range(0, n, size)][::-1]

        def run(share: Codes) -> Floats:
            return predict(
                batching, tokens, share, precision=self.precision, batch_size=self._batch_size
            )

        result = np.empty((n, len(self.labels)))
        for share, values in zip(shares, self._threads.map(run, shares), strict=True):
            result[share] = values
        return result


def _source(name: str, folder: Path) -> ModelSource:
    return ModelSource(name=name, location=str(folder), revision=None, identity=name)


def _load(saved: SavedClassifier) -> Any:
    """The model, in float32 on the fastest device."""
    source = _source(saved.name, saved.model)
    model = load_pretrained(AutoModelForSequenceClassification, source, dtype=torch.float32)
    return model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _labels(model: Any) -> tuple[str, ...]:
    names = model.config.id2label
    return tuple(names[code] for code in range(len(names)))
