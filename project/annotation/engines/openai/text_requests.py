"""Readouts of prompts as text or chat messages: listed tokens, or sampled replies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.annotation.engines.base import Answers
from project.annotation.engines.openai.choices import (
    check_reasoning,
    choices,
    reasons_aloud,
    reply_texts,
)
from project.annotation.engines.openai.modes import ReadoutMode
from project.annotation.engines.openai.parsing import (
    CodeReading,
    listed_tokens,
    n_generated_tokens,
    n_prompt_tokens,
    read_codes,
)
from project.annotation.engines.openai.questions import (
    Question,
    lengths_of,
    truncated_of,
)
from project.annotation.engines.openai.readouts import (
    censored_answers,
    sampled_answers,
)
from project.annotation.engines.openai.trials import CHAT
from project.annotation.prompt import Prompt
from project.annotation.reading.reader import ReplyReader, unparsed

_MAX_REPLY_TOKENS = 64
_SPARE_TOKENS = 4  # for white space and quotes before a label


class Reading(NamedTuple):
    """Log probabilities of the labels in one reply, and the prompt tokens that were counted."""

    codes: CodeReading
    n_prompt_tokens: int


class Samples(NamedTuple):
    """Labels of the replies to one request, and the tokens that the server counted.

    ``error`` says how the first reply without a label begins; None if each has one.
    """

    labels: list[int]
    n_prompt_tokens: int
    n_generated_tokens: int
    error: str | None


class ListedReadout:
    """Reads labels of one character from the most probable tokens of the reply.

    The attributes are those of :class:`project.annotation.engines.openai.questions.Readout`.
    """

    n_parts = 1
    batch_size = 1
    n_generated = 1
    n_samples = 0

    def __init__(self, model: str, mode: ReadoutMode, endpoint: str, codes: Sequence[str]) -> None:
        """``mode``: a listed mode that the server supports. ``codes``: the labels."""
        self.endpoint = endpoint
        self.n_classes = len(codes)
        self._codes = codes
        self._mode = mode
        self._model = model

    def body(self, prompts: Sequence[Any], part: int) -> dict[str, Any]:
        """Fields of the request for one prompt."""
        fields = self._mode.read_fields(chat=self.endpoint == CHAT)
        return {"model": self._model, **prompt_field(self.endpoint, prompts[0]), **fields}

    def parse(self, data: Any, n: int, part: int) -> Sequence[Reading]:
        """The reading of the one reply."""
        (choice,) = choices(data, n)
        if reasons_aloud(choice):  # then the tokens that are listed are no reply
            check_reasoning([choice])
        listed = listed_tokens(choice, self._mode.n_listed)
        return [Reading(read_codes(listed, self._codes), n_prompt_tokens(data))]

    def answers(
        self, questions: Sequence[Question], values: Sequence[Sequence[Reading]]
    ) -> Answers:
        """Answers, some of whose classes may be censored."""
        readings = [reading for (reading,) in values]
        shape = (len(readings), self.n_classes)
        bounds = np.array([reading.codes.log_bound for reading in readings])
        return censored_answers(
            np.array([reading.codes.log_probabilities for reading in readings]).reshape(shape),
            np.repeat(bounds, self.n_classes).reshape(shape),
            n_listed=self._mode.n_listed,
            truncated=truncated_of(questions),
            prompt_tokens=lengths_of(questions, [reading.n_prompt_tokens for reading in readings]),
        )


class SampledReadout:
    """Reads labels from sampled replies.

    The attributes are those of :class:`project.annotation.engines.openai.questions.Readout`.
    """

    batch_size = 1

    def __init__(
        self,
        model: str,
        mode: ReadoutMode,
        endpoint: str,
        prompt: Prompt,
        *,
        n: int,
        temperature: float,
        max_reasoning_tokens: int = 0,
    ) -> None:
        """Set what is asked for.

        Parameters
        ----------
        model
            The server's name for the model.
        mode
            A sampled mode that the server supports.
        endpoint
            Path of the requests.
        prompt
            The prompt, for its labels.
        n, temperature
            How many replies, and the sampling temperature.
        max_reasoning_tokens
            Most tokens of a reply of a model that thinks; 0: it does not think.
        """
        max_tokens = max_reasoning_tokens or reply_tokens(prompt)
        portions = [min(mode.max_samples, n - start) for start in range(0, n, mode.max_samples)]
        self.endpoint = endpoint
        self.n_parts = len(portions)
        self.n_generated = n * max_tokens
        self.n_classes = len(prompt.answers)
        self.n_samples = n
        self._portions = portions
        self._reader = ReplyReader.of_prompt(prompt.answers, prompt.label_set)
        # A completion would go on with the next demonstration after its line.
        stop = {} if prompt.chat else {"stop": ["\n"]}
        self._fields = [
            {
                "model": model,
                **stop,
                **mode.sample_fields(portion, temperature, max_tokens),
            }
            for portion in portions
        ]

    def body(self, prompts: Sequence[Any], part: int) -> dict[str, Any]:
        """Fields of the request for one portion of the samples of one prompt."""
        return {**self._fields[part], **prompt_field(self.endpoint, prompts[0])}

    def parse(self, data: Any, n: int, part: int) -> Sequence[Samples]:
        """The labels of one portion of the replies."""
        replies = choices(data, self._portions[part])
        texts = reply_texts(replies)
        labels = [
            self._reader.read(text, is_cut=choice.get("finish_reason") == "length")
            for text, choice in zip(texts, replies, strict=True)
        ]
        unread = (text for text, label in zip(texts, labels, strict=True) if label < 0)
        error = next(map(unparsed, unread), None)
        return [Samples(labels, n_prompt_tokens(data), n_generated_tokens(data), error)]

    def answers(
        self, questions: Sequence[Question], values: Sequence[Sequence[Samples]]
    ) -> Answers:
        """The most frequent label of each text, with all its samples."""
        samples = np.array(
            [[label for portion in portions for label in portion.labels] for portions in values],
            dtype=np.int64,
        )
        answers = sampled_answers(
            samples,
            self.n_classes,
            truncated=truncated_of(questions),
            prompt_tokens=lengths_of(
                questions, [portions[0].n_prompt_tokens for portions in values]
            ),
        )
        return replace(
            answers,
            requests=self.n_parts,
            generated=self._generated(values),
            error=_reasons(answers.error, values),
        )

    def _generated(self, values: Sequence[Sequence[Samples]]) -> npt.NDArray[np.int64]:
        """Generated tokens of each text: as the server counted them, else the most there can be."""
        counted = [[portion.n_generated_tokens for portion in portions] for portions in values]
        return np.array(
            [sum(parts) if all(parts) else self.n_generated for parts in counted], dtype=np.int64
        )


def _reasons(errors: Sequence[str | None], values: Sequence[Sequence[Samples]]) -> list[str | None]:
    """Why texts have no label: which reply was none tells more than that none was one."""
    first = [next((part.error for part in parts if part.error), None) for parts in values]
    return [reason and (error or reason) for reason, error in zip(errors, first, strict=True)]


def prompt_field(endpoint: str, prompt: Any) -> dict[str, Any]:
    """The field of a request that holds the prompt."""
    return {"messages" if endpoint == CHAT else "prompt": prompt}


def reply_tokens(prompt: Prompt) -> int:
    """How many tokens are enough for any label of ``prompt``."""
    # A token has at least one byte, so no label takes more tokens than bytes.
    longest = max(len(answer.encode()) for answer in prompt.answers)
    return min(_MAX_REPLY_TOKENS, _SPARE_TOKENS + longest)
