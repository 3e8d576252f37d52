"""What a node of a cluster does for predictions: it loads classifiers once, and labels blocks."""

from __future__ import annotations

from typing import NamedTuple

from project.cluster.files import Bundle, unpacked
from project.cluster.tasks import Send
from project.training.classifier import Classified, Classifiers, SavedClassifier
from project.training.on_node import check_device


class RemoteClassifier(NamedTuple):
    """A classifier whose files travel; see :class:`SavedClassifier`."""

    name: str
    model: Bundle
    tokenizer: Bundle
    max_length: int

    def here(self) -> SavedClassifier:
        """The classifier in folders of this node."""
        folders = (unpacked(self.model), unpacked(self.tokenizer))
        return SavedClassifier(self.name, *folders, self.max_length)


class RemoteClassifiers(NamedTuple):
    """Classifiers, and how they compute; ``device`` is ``cuda`` or ``cpu``."""

    saved: tuple[RemoteClassifier, ...]
    device: str
    precision: str
    batch_size: int

    @property
    def identity(self) -> tuple[object, ...]:
        """Equal for classifiers that need not be loaded again."""
        files = [(one.model.digest, one.tokenizer.digest, one.max_length) for one in self.saved]
        return (*files, self.precision, self.batch_size)


class RemoteBlock(NamedTuple):
    """Texts, and what labels them."""

    classifiers: RemoteClassifiers
    texts: list[str]


_loaded: dict[tuple[object, ...], Classifiers] = {}
"""The classifiers of the last block. Ray runs the tasks of a job in processes that stay."""


def classify_on_node(block: RemoteBlock, send: Send) -> Classified:
    """The class probabilities of a block of texts."""
    del send
    asked = block.classifiers
    check_device(asked.device)
    if asked.identity not in _loaded:
        _loaded.clear()
        _loaded[asked.identity] = Classifiers(
            [one.here() for one in asked.saved], asked.precision, asked.batch_size, n_threads=1
        )
    return _loaded[asked.identity].classify(block.texts)
