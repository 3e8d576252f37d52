"""Finds out how a server answers prompts as text or chats, and all that it lacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from project.annotation.engines.openai import modes
from project.annotation.engines.openai.choices import (
    CUT_SHORT,
    check_reasoning,
    choices,
    reasons_aloud,
    reply_texts,
)
from project.annotation.engines.openai.faults import RequestRefused
from project.annotation.engines.openai.lacks import Lacks
from project.annotation.engines.openai.modes import CONSTRAINED, EXACT, ReadoutMode
from project.annotation.engines.openai.parsing import all_log_probabilities_of, listed_tokens
from project.annotation.engines.openai.trials import (
    CHAT,
    COMPLETIONS,
    REPLY_TOKENS,
    TEXT,
    Trials,
)
from project.config.annotation import AnnotateConfig
from project.support.errors import AssayError

_REPEATS = 9  # where labels must be sampled and repeats is not set
_REPEATS_WITH_THOUGHTS = 3  # each of them costs hundreds of tokens
# At temperature 0 some servers return log probabilities after the temperature was applied: all but
# the first are below this.
_MIN_SECOND = -30.0
_THINKING = "<think"


class TextProbe:
    """What one server supports for prompts as text."""

    def __init__(self, trials: Trials, config: AnnotateConfig) -> None:
        """``config``: how labels would be sampled and calibrated."""
        self._trials = trials
        self._config = config

    async def find_text_mode(
        self, labels: Sequence[str], lacks: Lacks, *, chat: bool
    ) -> ReadoutMode:
        """The first mode that works. Raises WrongSettings for all that the server lacks."""
        chat, limit_field = await self._find_endpoint(lacks, chat=chat)
        endpoint = CHAT if chat else COMPLETIONS
        prompt = _text_prompt(chat=chat)
        candidates = with_limit(modes.CHAT_MODES if chat else modes.TEXT_MODES, limit_field)
        outcome = await self._trials.first_working(
            endpoint,
            candidates,
            lambda mode: {**prompt, **mode.read_fields(chat=chat)},
            lambda mode, data: works(mode, data, (), {}),
        )
        mode = outcome.mode
        remark = ""
        if mode is None:
            candidates = with_limit(
                modes.CHAT_SAMPLE_MODES if chat else modes.SAMPLE_MODES, limit_field
            )
            mode = await self.find_sample_mode(endpoint, prompt, candidates, lacks)
        elif long := [label for label in labels if len(label) > 1]:
            lacks.add(
                f"lists single tokens, from which label {long[0]!r} cannot be read: it may be "
                "several tokens",
                label_style="letter",
            )
            remark = "Or name the model's tokenizer with annotator_tokenizer."
        lacks.check(self._trials.client.url, remark)
        return mode

    async def find_reasoning_mode(self, lacks: Lacks, *, chat: bool) -> ReadoutMode:
        """The first mode that returns an answer after thoughts.

        Raises WrongSettings for all that the server lacks.
        """
        prompt = _text_prompt(chat=True)
        limit_field = await self._trials.limit_field(CHAT, prompt)
        if not chat:
            lacks.add(
                "tells thoughts from answers in chats only",
                chat_template="true",
                annotator_tokenizer="none",
            )
        candidates = with_limit(modes.REASONING_MODES, limit_field)
        mode = await self.find_sample_mode(CHAT, prompt, candidates, lacks)
        lacks.check(self._trials.client.url)
        return mode

    async def _find_endpoint(self, lacks: Lacks, *, chat: bool) -> tuple[bool, str]:
        """Whether the server answers chats, and its field for the length of a reply.

        The endpoint that is configured is tried first.
        """
        endpoint = CHAT if chat else COMPLETIONS
        try:
            return chat, await self._trials.limit_field(endpoint, _text_prompt(chat=chat))
        except RequestRefused as error:
            has_no_template = chat and error.status == 400 and "chat template" in error.words
            if error.status != 404 and not has_no_template:
                raise
            missing = error
        other = COMPLETIONS if chat else CHAT
        try:
            limit_field = await self._trials.limit_field(other, _text_prompt(chat=not chat))
        except RequestRefused:
            raise await self._trials.explain_missing(missing) from None
        if chat:
            lacks.add("answers no chats", chat_template="false")
        else:
            lacks.add(
                f"has no {COMPLETIONS}, only chats",
                chat_template="true",
                annotator_tokenizer="none",
            )
        return not chat, limit_field

    async def find_sample_mode(
        self,
        endpoint: str,
        prompt: Mapping[str, Any],
        candidates: Sequence[ReadoutMode],
        lacks: Lacks,
    ) -> ReadoutMode:
        """The first mode that returns samples, at temperature 1 if the server has no other."""
        if self._trials.fault and not (endpoint == CHAT and self._trials.fault == CUT_SHORT):
            raise self._unreadable(endpoint, self._trials.fault)
        thinks = self._config.reasoning == "on"
        repeats = _REPEATS_WITH_THOUGHTS if thinks else _REPEATS
        max_tokens = self._config.max_reasoning_tokens if thinks else REPLY_TOKENS
        n = self._config.repeats or repeats
        if not self._config.repeats:
            why = "gives labels after thoughts" if thinks else "returns no log probabilities"
            lacks.add(
                f"{why} of {self._trials.model}, so labels can only be sampled",
                repeats=str(repeats),
            )
        if self._config.calibration not in (None, "none"):
            lacks.add("returns no probabilities to calibrate", calibration="none")
        words = ""
        for temperature in dict.fromkeys((self._config.temperature, 1.0)):
            try:
                outcome = await self._trials.first_working(
                    endpoint,
                    candidates,
                    lambda mode, temperature=temperature: {  # type: ignore[misc]
                        **prompt,
                        **mode.sample_fields(min(n, mode.max_samples), temperature, max_tokens),
                    },
                    lambda mode, data: bool(reply_texts(choices(data, min(n, mode.max_samples)))),
                )
            except RequestRefused as error:
                if error.status != 200:
                    raise
                raise self._unreadable(endpoint, error.words) from None
            if outcome.mode is not None:
                if temperature != self._config.temperature:
                    lacks.add(f"samples at one temperature only ({words})", temperature="1")
                return outcome.mode
            words = outcome.words
        raise self._unreadable(endpoint, words)

    def _unreadable(self, endpoint: str, words: str) -> AssayError:
        """The error for a server whose replies hold nothing."""
        way_out = "Use another model or another server."
        if words == CUT_SHORT:
            way_out = (
                "Raise max_reasoning_tokens."
                if self._config.reasoning == "on"
                else "Turn its reasoning off at the server, set reasoning=on, or use another model."
            )
        return AssayError(
            f"the server at {self._trials.client.url} answers {endpoint} with nothing that can be "
            f"read: {words or 'no usable reply'}. {way_out}"
        )


def works(
    mode: ReadoutMode, data: Any, tokens: Sequence[int], token_of_text: Mapping[str, int]
) -> bool:
    """Whether the response ``data`` to one prompt holds what ``mode`` promises.

    False, or MalformedResponse, if it does not.
    """
    (choice,) = choices(data, 1)
    message = choice.get("message")
    if isinstance(message, dict) and str(message.get("content") or "").startswith(_THINKING):
        return False  # what is listed are the tokens with which reasoning begins
    if reasons_aloud(choice):
        check_reasoning([choice])
    if mode.kind in (EXACT, CONSTRAINED):
        values = all_log_probabilities_of(
            listed_tokens(choice), tokens, token_of_text, constrained=mode.kind == CONSTRAINED
        )
        return min(values) > float("-inf")
    listed = listed_tokens(choice, mode.n_listed)
    return len(listed) > 1 and listed[1].log_probability > _MIN_SECOND


def with_limit(candidates: Sequence[ReadoutMode], limit_field: str) -> list[ReadoutMode]:
    """The modes with another field for the length of a reply."""
    return [replace(mode, limit_field=limit_field) for mode in candidates]


def _text_prompt(*, chat: bool) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": TEXT}]} if chat else {"prompt": TEXT}
