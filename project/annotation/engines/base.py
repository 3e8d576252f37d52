"""The Annotator protocol. Each engine is one file of this package, imported only when it is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from project.annotation.prompt import Prompt
from project.stats.types import Floats

NOT_NUMBERS = "the log probabilities are not numbers"


@dataclass(frozen=True)
class Answers:
    """What an annotator says of ``n`` texts. Classes are in the order of ``Prompt.answers``.

    ``log_probabilities`` ``(n, n_classes)``: natural log, normalised over the classes whose probability is known; ``nan`` where
    it is not. ``label`` ``(n,)``: index of the answer, -1 where there is none. ``label_mass`` ``(n,)``: the probability in [0, 1]
    that the model gives to the known classes together before normalising, ``nan`` where the engine cannot tell.
    ``log_bound`` ``(n,)``: where a class is censored (its probability is unknown but small), the natural log of the most it can
    be before normalising; ``nan`` elsewhere. ``truncated`` ``(n,)``: the text was cut to fit the model's context.
    ``prompt_tokens`` ``(n,)``: length of the prompt that was read, 0 where none was. ``error``: why there is no answer, per
    text. ``repeats`` ``(n, R)``: indices of labels that the engine sampled itself, -1 where a sample was no label.
    ``requests``: how often each prompt was sent; ``generated``: tokens generated for each text, at most.
    """

    log_probabilities: Floats
    label: npt.NDArray[np.int64]
    label_mass: Floats
    log_bound: Floats
    truncated: npt.NDArray[np.bool_]
    prompt_tokens: npt.NDArray[np.int64]
    error: Sequence[str | None]
    repeats: npt.NDArray[np.int64] | None = None
    requests: int = 1
    generated: int = 1

    def take(self, rows: Sequence[int]) -> Answers:
        """Those of the texts at ``rows``."""
        arrays = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        kept: dict[str, Any] = {
            name: value[rows] for name, value in arrays.items() if isinstance(value, np.ndarray)
        }
        return dataclasses.replace(self, **kept, error=[self.error[row] for row in rows])

    @classmethod
    def exact(
        cls, classes: Floats, truncated: npt.NDArray[np.bool_], prompt_tokens: npt.NDArray[np.int64]
    ) -> Answers:
        """Exact answers: ``classes`` ``(n, n_classes)`` are log probabilities before normalising; ties go to the first class."""
        finite = np.asarray(np.isfinite(classes).all(axis=1))
        with np.errstate(invalid="ignore"):
            log_mass = np.logaddexp.reduce(classes, axis=1)
        label = np.where(finite, np.where(finite[:, None], classes, 0).argmax(axis=1), -1)
        error = [None if good else NOT_NUMBERS for good in finite]
        return cls(
            classes - log_mass[:, None],
            label,
            np.exp(log_mass),
            np.full(len(classes), np.nan),
            truncated,
            prompt_tokens,
            error,
        )


class Size(NamedTuple):
    """What reading texts under one prompt takes.

    ``prefix``: tokens that all prompts share; ``total`` ``(n,)``: tokens of each; ``requests``: how often each prompt is sent;
    ``generated``: tokens generated for each, at most. ``exact``: counted by the model's own tokenizer, else estimated from the characters.
    """

    prefix: int
    total: npt.NDArray[np.int64]
    requests: int
    exact: bool
    generated: int = 1


class Annotator(Protocol):
    """One LLM behind one engine, or labels that stand in a file. Nothing heavy is loaded before the first ``read`` or ``size``.

    ``name`` is for people; ``identity`` holds all that can change an answer; ``keyed_by`` says what ``read`` is given:
    ``text``, or ``example_id`` where answers belong to examples; ``shard_size``: how many answers go to disk at once, what a
    crash can cost.
    """

    name: str
    identity: Mapping[str, str]
    keyed_by: str
    shard_size: int

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """The class distribution of every item under ``prompt``.

        Raises AssayError for a label set that cannot be read exactly and for settings that do not fit the machine, Incomplete
        when the engine dies; its ``partial`` may hold the positions in ``items`` that were read, and their Answers.
        """
        ...

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """What reading ``items`` takes, without reading them."""
        ...

    def close(self) -> None:
        """Free what the engine holds: memory, processes, connections."""
        ...


class PromptlessAnnotator(Annotator, Protocol):
    """Labels that exist already. ``draws``: a name for each of its draws."""

    draws: Sequence[str]

    def prompts(self, n_draws: int) -> list[Prompt]:
        """Stand-ins for the prompts of the first ``n_draws`` draws.

        Raises AssayError where there are fewer draws.
        """
        ...
