"""The Annotator protocol, and what annotators return.

Each engine is one file or folder of this package, imported only when it is used; its facts stand in
:mod:`project.config.engines`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.annotation.prompt import Prompt
from project.stats.types import Codes, Floats, Mask

NOT_NUMBERS = "the log probabilities are not numbers"
"""Error of an answer whose log probabilities are not finite."""

ANY_NUMBER = "<any number>"
"""In an identity of an older version: a number that was part of it and is not any more."""


@dataclass(frozen=True)
class Answers:
    """What an annotator answers for ``n`` texts. Classes are in the order of ``Prompt.answers``.

    Attributes
    ----------
    log_probabilities
        ``(n, n_classes)``: natural log, normalised over the classes whose probability is known;
        ``nan`` for the others.
    label
        ``(n,)``: class index of the answer, -1 where there is none.
    label_mass
        ``(n,)``: probability in [0, 1] that the model gives to the known classes together before
        normalising; ``nan`` where the engine cannot tell.
    log_bound
        ``(n,)``: where a class is censored (its probability is unknown but small), the natural log
        of the most it can be before normalising; ``nan`` elsewhere.
    truncated
        ``(n,)``: the text was cut to fit the model's context.
    prompt_tokens
        ``(n,)``: length of the prompt that was read, 0 where none was.
    error
        Why there is no answer, for each text; None where there is one.
    repeats
        ``(n, R)``: class indices that the engine sampled itself, -1 where a sample was no label.
    requests
        How often each prompt was sent.
    generated
        Tokens generated for each text, at most; ``(n,)`` where the engine counts them.
    """

    log_probabilities: Floats
    label: Codes
    label_mass: Floats
    log_bound: Floats
    truncated: Mask
    prompt_tokens: npt.NDArray[np.int64]
    error: Sequence[str | None]
    repeats: Codes | None = None
    requests: int = 1
    generated: int | npt.NDArray[np.int64] = 1

    @classmethod
    def joined(cls, parts: Sequence[Answers]) -> Answers:
        """The answers of several parts, at least one, one after the other."""
        first = parts[0]
        columns: dict[str, Any] = {
            item.name: np.concatenate([getattr(part, item.name) for part in parts])
            for item in dataclasses.fields(first)
            if isinstance(getattr(first, item.name), np.ndarray)
        }
        error = [reason for part in parts for reason in part.error]
        return dataclasses.replace(first, **columns, error=error)

    def take(self, indices: Sequence[int]) -> Answers:
        """The answers at ``indices``."""
        # Arrays hold an entry for each text; the other fields hold for all texts.
        columns = {item.name: getattr(self, item.name) for item in dataclasses.fields(self)}
        taken: dict[str, Any] = {
            name: value[indices] for name, value in columns.items() if isinstance(value, np.ndarray)
        }
        return dataclasses.replace(self, **taken, error=[self.error[index] for index in indices])

    @classmethod
    def exact(
        cls, classes: Floats, truncated: Mask, prompt_tokens: npt.NDArray[np.int64]
    ) -> Answers:
        """Answers where the probability of every class is known.

        Parameters
        ----------
        classes
            ``(n, n_classes)``: natural log probabilities before normalising. The answer is their
            argmax, ties go to the first class. Rows that are not finite have no answer.
        truncated, prompt_tokens
            See :class:`Answers`.
        """
        is_finite = np.asarray(np.isfinite(classes).all(axis=1))
        with np.errstate(invalid="ignore"):
            log_mass = np.logaddexp.reduce(classes, axis=1)
        best = np.where(is_finite[:, None], classes, 0).argmax(axis=1)
        return cls(
            log_probabilities=classes - log_mass[:, None],
            label=np.where(is_finite, best, -1),
            label_mass=np.exp(log_mass),
            log_bound=np.full(len(classes), np.nan),
            truncated=truncated,
            prompt_tokens=prompt_tokens,
            error=[None if finite else NOT_NUMBERS for finite in is_finite],
        )


Arrived = Callable[[list[int], Answers], None]
"""Called with positions in the items of a ``read`` and the answers to these, once they are known.

It may be called from any thread, also from several at the same time.
"""


class Size(NamedTuple):
    """What reading ``n`` texts under one prompt takes.

    Attributes
    ----------
    prefix
        Tokens that all prompts share.
    total
        ``(n,)``: tokens of each prompt.
    requests
        How often each prompt is sent.
    exact
        Whether the model's own tokenizer counted the tokens; else they are estimated.
    generated
        Most tokens generated for each text.
    """

    prefix: int
    total: npt.NDArray[np.int64]
    requests: int
    exact: bool
    generated: int = 1


class Annotator(Protocol):
    """One model behind one engine, or labels in a file.

    Nothing heavy is loaded before the first ``read`` or ``size``. An engine whose requests cost
    something when they are sent also has a method ``stop()``, called from another thread: ``read``
    then sends nothing new, and ends when what was sent is answered. An engine whose identity had
    more in it once has ``earlier_identities``; answers stored under these are found too.

    Attributes
    ----------
    name
        For people.
    identity
        All that can change an answer by more than rounding, except prompt and text; ``engine`` is
        the engine's name.
    keyed_by
        What ``read`` gets: ``text``, or ``example_id`` where answers belong to examples.
    shard_size
        How many items one ``read`` gets.
    """

    name: str
    identity: Mapping[str, str]
    keyed_by: str
    shard_size: int

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """The class distribution of every item under ``prompt``.

        Parameters
        ----------
        prompt, items
            The prompt, and the texts or example ids.
        arrived
            Where an engine reads its items one by one, it hands each answer to this function soon
            after it is known, every position at most once. All that were known are handed over
            before this method returns or raises, also when it is interrupted. Engines that read
            all items together leave it out.

        Raises
        ------
        AssayError
            For a label set that cannot be read exactly, and settings that do not fit the machine.
        Incomplete
            If the engine dies. Without ``arrived``, its ``partial`` may hold the positions in
            ``items`` that were read, and their Answers.
        """
        ...

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """What reading ``items`` takes, without reading them."""
        ...

    def close(self) -> None:
        """Free memory, processes and connections."""
        ...


class PromptlessAnnotator(Annotator, Protocol):
    """Labels that exist already. ``draws``: a name for each of its draws."""

    draws: Sequence[str]

    def prompts(self, n_draws: int) -> list[Prompt]:
        """Stand-ins for the prompts of the first ``n_draws`` draws.

        Raises AssayError if there are fewer draws.
        """
        ...


@runtime_checkable
class RecordedRows(Protocol):
    """Labels of a file, which may lack rows for some examples."""

    def has_row(self, examples: pd.DataFrame) -> Mask:
        """Which examples the file has a row for ``(n,)``."""
        ...

    def check_rows(self, examples: pd.DataFrame) -> None:
        """Raise AssayError if the file lacks rows for too many examples."""
        ...
