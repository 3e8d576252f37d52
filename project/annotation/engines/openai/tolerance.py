"""Tells a text that a server refuses from a server that refuses everything."""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

from project.annotation.engines.openai.choices import FILTERED
from project.annotation.engines.openai.faults import (
    FILTER_CODES,
    RequestRefused,
    ServerFailed,
    UnusableResponse,
)
from project.support.errors import AssayError

TextFailure = RequestRefused | ServerFailed | UnusableResponse
"""Errors for which a single text may be to blame."""

ALWAYS_TOLERATED = 10
"""Refused texts that never end a run, whatever their share."""

_MAX_REASON = 100  # characters of the server's words that are kept with each refused text


class Tolerance:
    """Counts refused texts, and decides whether a failure is one text's or the server's.

    Until the first text has an answer, texts are sent one after the other. A failure that may be a
    text's own is held against a control, a harmless text in the same prompt: if that fails too, no
    text is to blame, and the error ends the work. All methods run in one event loop.

    Attributes
    ----------
    n_answered, n_refused
        Texts with an answer, and texts without one, so far.
    """

    def __init__(self, max_share: float) -> None:
        """``max_share``: largest share of refused texts, beyond the first ten of them."""
        self.n_answered = 0
        self.n_refused = 0
        self._max_share = max_share
        self._reasons: Counter[str] = Counter()
        self._example = ""
        self._last_success = -float("inf")  # when the latest successful request was sent
        self._first = asyncio.Lock()
        self._control = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until a request may be sent: alone, until a first one has succeeded."""
        async with self._first:
            if self._last_success < 0:
                yield
                return
        yield

    def succeeded(self, sent: float, n_texts: int) -> None:
        """Count the answers to ``n_texts`` of a request that was sent at the time ``sent``."""
        self._last_success = max(self._last_success, sent)
        self.n_answered += n_texts

    async def confirm(self, error: TextFailure, control: Callable[[], Awaitable[object]]) -> None:
        """Return if the server works, so that a text is to blame; otherwise raise the error.

        Parameters
        ----------
        error
            What was raised for the text.
        control
            Sends the control. It is not called if a request has succeeded that was sent after the
            error came.
        """
        if isinstance(error, RequestRefused) and error.code in FILTER_CODES:
            return
        failed = time.monotonic()
        async with self._control:  # texts that fail together share one control
            if self._last_success > failed:
                return
            sent = time.monotonic()
            try:
                await control()
            except (RequestRefused, ServerFailed, UnusableResponse):
                if self._last_success <= failed:
                    raise error from None
            else:
                self._last_success = max(self._last_success, sent)

    def refuse(self, error: TextFailure) -> str:
        """Count a refused text and return the reason.

        Raises AssayError if there are too many of them.
        """
        reason = reason_of(error)
        self.n_refused += 1
        self._reasons[reason] += 1
        self._example = self._example or error.words
        n = self.n_answered + self.n_refused
        if self.n_refused > max(ALWAYS_TOLERATED, self._max_share * n):
            raise AssayError(
                f"{self.note()} That is more than max_refused={self._max_share:g} allows. Answers "
                "on disk are kept; raise max_refused to go on without these texts."
            )
        return reason

    def note(self) -> str:
        """How many texts were refused, the commonest reasons, and an example; empty for none."""
        if not self.n_refused:
            return ""
        n = self.n_answered + self.n_refused
        reasons = "; ".join(f"{reason} ({count})" for reason, count in self._reasons.most_common(3))
        example = f" The first one: {self._example}" if self._example else ""
        is_length = re.search(r"context|too long|too many tokens", self._example)
        way_out = " max_model_len cuts texts that are too long." if is_length else ""
        return f"the server refused {self.n_refused} of {n} texts: {reasons}.{example}{way_out}"


def reason_of(error: TextFailure) -> str:
    """A reason that is the same for texts which were refused for the same cause.

    It holds the beginning of the server's words, without numbers and identifiers.
    """
    if isinstance(error, RequestRefused) and error.code in FILTER_CODES:
        return FILTERED
    words = error.words.removesuffix(".")
    words = re.sub(r"\b(?=\w*\d)[\w-]{8,}\b", "...", words)  # such as a request's id
    words = re.sub(r"\d+", "#", words)
    if isinstance(error, RequestRefused):
        if error.status == 200:
            return words
        kind = f"refused by the server (HTTP {error.status})"
    elif isinstance(error, ServerFailed):
        kind = "the server failed at it every time"
    else:
        kind = "no usable response, every time"
    shown = words if len(words) <= _MAX_REASON else f"{words[:_MAX_REASON]} ..."
    return f"{kind}: {shown}" if shown else kind
