"""Engines that tests open on the nodes of a Ray cluster, and their registration."""

import os
import time
from pathlib import Path

import numpy as np

from project.annotation.engines.base import Answers, Size
from project.config.engines import ENGINES, EngineFacts

DEADLY = "this text ends every worker"


class LoggedAnnotator:
    """Answers by the length of a text, and writes down each text before it answers it.

    ``annotator_model`` is the file with the texts; it stands in for a service that counts what it
    is paid for. Each text takes ``SECONDS``. The text ``DEADLY`` ends the process.
    """

    SECONDS = 0.05
    name = "logged"
    keyed_by = "text"
    shard_size = 8

    def __init__(self, config):
        self.identity = {"engine": "logged"}
        self._path = Path(config.annotator_model)

    def read(self, prompt, texts, arrived=None):
        answers = [self._answer(text) for text in texts]
        return Answers.joined(answers)

    def _answer(self, text):
        if text == DEADLY:
            os._exit(1)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(text + "\n")
        time.sleep(self.SECONDS)
        odd = len(text) % 2
        classes = np.log([[0.6 - 0.2 * odd, 0.3 + 0.2 * odd]])
        return Answers.exact(classes, np.zeros(1, bool), np.array([len(text)]))

    def size(self, prompt, texts):
        return Size(0, np.array([len(text) for text in texts]), 1, exact=True)

    def close(self):
        pass


class HandingOver(LoggedAnnotator):
    """The same, one answer after the other."""

    name = "handing-over"

    def __init__(self, config):
        super().__init__(config)
        self.identity = {"engine": "handing-over"}

    def read(self, prompt, texts, arrived=None):
        answers = []
        for position, text in enumerate(texts):
            answers.append(self._answer(text))
            if arrived:
                arrived([position], answers[-1])
        return Answers.joined(answers)


class NeverStarting(LoggedAnnotator):
    """Ends its process at the first call."""

    name = "never-starting"

    def __init__(self, config):
        super().__init__(config)
        self.identity = {"engine": "never-starting"}

    def read(self, prompt, texts, arrived=None):
        os._exit(1)


def register():
    """Register all of them, also in a process where they are registered."""
    for cls in (LoggedAnnotator, HandingOver, NeverStarting):
        ENGINES[cls.name] = EngineFacts(open=f"{__name__}:{cls.__name__}")
