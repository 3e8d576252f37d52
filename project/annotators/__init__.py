"""The Annotator protocol. Each engine is one file of this package, imported only when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from project.config import AnnotateConfig
from project.errors import AssayError, suggest
from project.prompt import Prompt

ENGINES = ("transformers",)


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


def open_annotator(config: AnnotateConfig) -> Annotator:
    """The annotator that ``config`` names, its model loaded."""
    if config.annotator == "transformers":
        from project.annotators.transformers import TransformersAnnotator

        return TransformersAnnotator.open(config)
    raise suggest("annotator", config.annotator, ENGINES)


class Codes(NamedTuple):
    """How answers are read: ``shared`` tokens that all of them begin with, then one token ``ids[k]`` for class k."""

    shared: tuple[int, ...]
    ids: tuple[int, ...]


def label_codes(prompt_ids: Sequence[int], full_ids: Sequence[Sequence[int]], answers: Sequence[str]) -> Codes:
    """The first token that tells the answers apart, in context.

    ``prompt_ids``: tokens of a prompt; ``full_ids[k]``: tokens of the same prompt with answer k behind it. Many tokenizers
    make `` 0`` two tokens, a space and a digit: the space is shared and says nothing, the digit is read. Raises AssayError,
    naming the answers, where the prompt's own tokens change under an answer or one token cannot tell two answers apart.
    """
    n = len(prompt_ids)
    tails = [tuple(ids[n:]) for ids in full_ids]
    for ids, tail, answer in zip(full_ids, tails, answers, strict=True):
        if list(ids[:n]) != list(prompt_ids) or not tail:
            raise AssayError(
                f"label {answer.strip()!r} melts into the end of the prompt in this model's tokenizer. Use another label_style or other label names."
            )
    depth = 0
    while all(len(tail) > depth + 1 for tail in tails) and len({tail[depth] for tail in tails}) == 1:
        depth += 1
    firsts = [tail[depth] for tail in tails]
    for one, other in ((i, j) for i in range(len(firsts)) for j in range(i)):
        if firsts[one] == firsts[other]:
            raise AssayError(
                f"labels {answers[other].strip()!r} and {answers[one].strip()!r} begin with the same token in this model's tokenizer and cannot be "
                "told apart by one token. Rename one of them, or try -P label_style=integer (or name)."
            )
    return Codes(tails[0][:depth], tuple(firsts))
