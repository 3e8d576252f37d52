"""Texts that a monitor compares: read in blocks, predicted, and a random part of them embedded."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from entrypoints.wiring.predict_where import BlockClassifier
from entrypoints.wiring.terminal import Progress
from project.data.corpus import Corpus, text_list
from project.stats.two_samples import Aspects
from project.stats.types import Codes, Floats
from project.training.classifier import Classified
from project.training.embeddings import embed

if TYPE_CHECKING:
    from project.training.embed_on_cluster import EmbeddingCluster

MEAN_PROBABILITY = "mean_probability"
"""Score: the probability of the predicted class."""
AGREEMENT = "agreement"
"""Score: the share of the seeds that predict this class."""
_BLOCK = 4096  # texts that are in memory at a time
_HALF = np.float16  # embeddings are rounded to this, the stored ones and the new ones alike
Keys = npt.NDArray[np.uint64]


class Source(NamedTuple):
    """Texts that can be read again and again.

    Attributes
    ----------
    name
        What they are, for messages.
    blocks
        Returns all rows in blocks; a row without a text is None.
    keys
        The first 8 bytes of the SHA-256 of every text ``(n,)``; rows without a text are left out.
    n_without_text
        Number of these rows.
    """

    name: str
    blocks: Callable[[], Iterator[list[str | None]]]
    keys: Keys
    n_without_text: int

    @property
    def n(self) -> int:
        """Number of texts."""
        return len(self.keys)

    @property
    def digest(self) -> str:
        """Identity of the texts, in any order and from any form of file."""
        return hashlib.sha256(np.sort(self.keys).tobytes()).hexdigest()

    def texts(self) -> Iterator[list[str]]:
        """The texts in blocks, without the rows that have none."""
        for block in self.blocks():
            yield [text for text in block if text is not None]

    def some(self, indices: Codes) -> list[str]:
        """The texts at ``indices``, which are in ascending order."""
        chosen: list[str] = []
        start = 0
        for block in self.texts():
            first, last = np.searchsorted(indices, [start, start + len(block)])
            chosen += [block[index - start] for index in indices[first:last]]
            start += len(block)
        return chosen

    def example_ids(self) -> pd.Series:
        """Ids of the texts as every other entry point makes them from texts ``(n,)``."""
        ids = pd.Series([f"{key:016x}" for key in self.keys], dtype=object)
        copies = ids.groupby(ids).cumcount()
        return ids.where(copies == 0, ids + "-" + copies.astype(str))


class Predicted(NamedTuple):
    """Predictions of texts.

    Attributes
    ----------
    codes
        Predicted classes ``(n,)``.
    scores
        ``mean_probability`` and, with several seeds, ``agreement`` ``(n,)``.
    n_cut
        Texts that were cut at the end.
    """

    codes: Codes
    scores: Mapping[str, Floats]
    n_cut: int


class Facts(NamedTuple):
    """What is shown of many texts: counts, and mean and variance of every score.

    ``n_right`` counts right predictions where gold labels are known, else it is None.
    """

    n: int
    n_by_class: list[int]
    scores: dict[str, tuple[float, float]]
    n_right: int | None = None


class Side(NamedTuple):
    """One side of a comparison: what is shown of all its texts, and a :func:`sample_table`."""

    facts: Facts
    sample: pd.DataFrame


def corpus_source(corpus: Corpus, name: str) -> Source:
    """The texts of a corpus."""

    def blocks() -> Iterator[list[str | None]]:
        for table in corpus.blocks(_BLOCK):
            yield text_list(table, corpus.text_column)

    return _source(name, blocks)


def list_source(texts: Sequence[str], name: str) -> Source:
    """Texts that are in memory."""
    return _source(name, lambda: iter([list(texts)]))


def _source(name: str, blocks: Callable[[], Iterator[list[str | None]]]) -> Source:
    keys: list[bytes] = []
    n_without = 0
    for block in blocks():
        given = [text for text in block if text is not None]
        n_without += len(block) - len(given)
        keys += [
            hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8] for text in given
        ]
    as_numbers = np.frombuffer(b"".join(keys), dtype=">u8").astype(np.uint64)
    return Source(name, blocks, as_numbers, n_without)


def predicted(source: Source, classifiers: BlockClassifier) -> Predicted:
    """Predict all texts; several classifiers give the mean of their probabilities."""
    blocks: dict[int, Predicted] = {}  # by number, since they may come in another order
    with Progress("monitor", source.n, "texts") as progress:
        for number, classified in classifiers.classified(enumerate(source.texts())):
            blocks[number] = _predicted(classified)
            progress(len(blocks[number].codes))
    parts = [blocks[number] for number in sorted(blocks)]
    scores = {
        name: np.concatenate([part.scores[name] for part in parts]) for name in parts[0].scores
    }
    n_cut = sum(part.n_cut for part in parts)
    return Predicted(np.concatenate([part.codes for part in parts]), scores, n_cut)


def _predicted(classified: Classified) -> Predicted:
    """The predictions of one block."""
    mean = classified.probabilities.mean(axis=0)
    codes = mean.argmax(axis=1)
    scores = {MEAN_PROBABILITY: mean.max(axis=1)}
    if len(classified.probabilities) > 1:
        scores[AGREEMENT] = (classified.probabilities.argmax(axis=2) == codes).mean(axis=0)
    return Predicted(codes, scores, classified.n_cut)


def facts_of(texts: Predicted, n_classes: int, gold: Codes | None = None) -> Facts:
    """What is shown of predicted texts; ``gold`` ``(n,)`` are their gold labels, where known."""
    return Facts(
        n=len(texts.codes),
        n_by_class=np.bincount(texts.codes, minlength=n_classes).tolist(),
        scores={
            name: (float(values.mean()), float(values.var(ddof=1)) if len(values) > 1 else 0.0)
            for name, values in texts.scores.items()
        },
        n_right=None if gold is None else int((texts.codes == gold).sum()),
    )


def sample_table(
    source: Source,
    texts: Predicted,
    size: int,
    workspace: Path,
    *,
    rng: np.random.Generator,
    cluster: EmbeddingCluster | None = None,
) -> pd.DataFrame:
    """At most ``size`` random texts with what the tests read of them.

    Columns: ``key``, ``code``, the scores, and ``embedding``, the bytes of 16-bit floats.
    ``cluster`` is where they are embedded; None: here.
    """
    indices = np.sort(rng.permutation(source.n)[:size])
    with Progress("embeddings", len(indices), "texts") as progress:
        vectors = embed(source.some(indices), workspace, progress=progress, cluster=cluster)
    columns = {
        "key": source.keys[indices],
        "code": texts.codes[indices],
        **{name: values[indices] for name, values in texts.scores.items()},
        "embedding": [vector.astype(_HALF).tobytes() for vector in vectors],
    }
    return pd.DataFrame(columns)


def aspects_of(table: pd.DataFrame) -> Aspects:
    """What the tests read of a :func:`sample_table`."""
    size = len(table["embedding"].iloc[0]) // np.dtype(_HALF).itemsize
    vectors = np.frombuffer(b"".join(table["embedding"]), dtype=_HALF).reshape(len(table), size)
    names = [name for name in (MEAN_PROBABILITY, AGREEMENT) if name in table]
    return Aspects(
        table["code"].to_numpy(dtype=np.int64),
        vectors.astype(np.float64),
        {name: table[name].to_numpy(dtype=np.float64) for name in names},
    )
