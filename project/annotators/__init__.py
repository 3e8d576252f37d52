"""The Annotator protocol. Each engine is one file of this package, imported only when it is asked for."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from project.config import AnnotateConfig
from project.errors import AssayError, suggest
from project.prompt import Prompt

ENGINES = ("transformers", "vllm")


class Answers(NamedTuple):
    """What an annotator says of ``n`` texts. Classes are in the order of ``Prompt.answers``.

    ``log_probabilities`` ``(n, n_classes)``: natural log, rows sum to one over the label set. ``label_mass`` ``(n,)``: the
    probability in [0, 1] that the model gives to the whole label set before normalising. ``truncated`` ``(n,)``: the text was
    cut to fit the model's context. ``prompt_tokens`` ``(n,)``: length of the prompt that was read.
    """

    log_probabilities: npt.NDArray[np.float64]
    label_mass: npt.NDArray[np.float64]
    truncated: npt.NDArray[np.bool_]
    prompt_tokens: npt.NDArray[np.int64]


class Annotator(Protocol):
    """One LLM behind one engine. ``identity`` holds all of it that can change an answer, ``name`` is for people."""

    name: str
    identity: Mapping[str, str]

    def read(self, prompt: Prompt, texts: Sequence[str]) -> Answers:
        """The class distribution of every text under ``prompt``.

        Raises AssayError when two answers of the prompt cannot be told apart by one token in context.
        """
        ...


def check_engine(name: str) -> None:
    """Refuse an engine that is unknown."""
    if name not in ENGINES:
        raise suggest("annotator", name, ENGINES)


def open_annotator(config: AnnotateConfig) -> Annotator:
    """The annotator that ``config`` names, its model loaded."""
    check_engine(config.annotator)
    if config.annotator == "transformers":
        from project.annotators.transformers import TransformersAnnotator

        return TransformersAnnotator.open(config)
    if importlib.util.find_spec("vllm") is None:
        raise AssayError(
            "annotator vllm needs the package vllm, which is in conda.yaml and not in requirements.txt. Use -P annotator=transformers here."
        )
    from project.annotators.vllm import VllmAnnotator

    return VllmAnnotator.open(config)
