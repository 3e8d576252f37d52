"""An engine that sleeps in place of a model, for measuring what stands around one."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig
from project.config.engines import EngineFacts

FACTS = EngineFacts(open=f"{__name__}:SleepingAnnotator")


class SleepingAnnotator:
    """Sleeps for each block of texts, and writes down which prompt it had.

    ``annotator_model`` is ``SECONDS:FOLDER``: how long, and where.
    """

    name = "sleeping"
    keyed_by = "text"
    shard_size = 64

    def __init__(self, config: AnnotateConfig) -> None:
        """Nothing is loaded."""
        seconds, _, folder = config.annotator_model.partition(":")
        self.identity: Mapping[str, str] = {"engine": "sleeping"}
        self._seconds = float(seconds)
        self._path = Path(folder) / f"{os.getpid()}.txt"

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """Sleep; every class gets the same probability."""
        del arrived
        with self._path.open("a", encoding="utf-8") as file:
            file.write(f"{prompt.draw}\n")
        time.sleep(self._seconds)
        n = len(items)
        classes = np.full((n, len(prompt.answers)), -np.log(len(prompt.answers)))
        return Answers.exact(classes, np.zeros(n, bool), np.ones(n, np.int64))

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """One token each."""
        del prompt
        return Size(0, np.ones(len(items), np.int64), 1, exact=True)

    def close(self) -> None:
        """Nothing to free."""


def prompts_computed(folder: Path) -> int:
    """How often a copy began with another prompt, over all copies."""
    n = 0
    for path in folder.glob("*.txt"):
        draws = path.read_text(encoding="utf-8").split()
        n += sum(before != after for before, after in zip([None, *draws], draws, strict=False))
    return n
