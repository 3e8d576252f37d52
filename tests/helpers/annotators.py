"""An annotator that follows a script, and the comparison of annotations tables."""

import hashlib

import numpy as np

from project.annotation.engines.base import Answers, Size
from project.stats.information import log_normalise
from project.support.parquet import content_hash

LABEL_MASS = 0.5  # probability of all labels together
N_TOKENS = 100
N_PREFIX_TOKENS = 60


def answers_hash(table):
    """The content hash of an annotations table without its seconds, which always differ."""
    return content_hash(table.drop(columns="seconds"))


class ScriptedAnnotator:
    """Answers that follow from the text by a fixed rule.

    It raises an error after ``limit`` texts, so that a test notices texts that are read twice.
    ``broken`` is a text whose log probabilities are not numbers. ``texts_read`` lists all texts.
    """

    name = "scripted"
    keyed_by = "text"
    shard_size = 64

    def __init__(self, n_classes, *, limit=10**9, seed=0, broken=None):
        self.identity = {"engine": "scripted", "seed": str(seed)}
        self.texts_read: list[str] = []
        self._n_classes = n_classes
        self._limit = limit
        self._seed = seed
        self._broken = broken

    def read(self, prompt, texts, arrived=None):
        n = len(texts)
        if len(self.texts_read) + n > self._limit:
            raise RuntimeError(f"the script ends after {self._limit} texts")
        self.texts_read += texts
        logits = np.array([self._logits(prompt.render(text)) for text in texts])
        log_probabilities = log_normalise(logits) + np.log(LABEL_MASS)
        if self._broken and self._broken in texts:
            log_probabilities[texts.index(self._broken), 0] = np.nan
        return Answers.exact(log_probabilities, np.zeros(n, bool), np.full(n, N_TOKENS))

    def _logits(self, text):
        digest = hashlib.sha256(f"{self._seed} {text}".encode()).digest()
        return np.random.default_rng(list(digest[:8])).normal(size=self._n_classes)

    def size(self, prompt, texts):
        return Size(N_PREFIX_TOKENS, np.full(len(texts), N_TOKENS), 1, exact=True)

    def close(self):
        pass
