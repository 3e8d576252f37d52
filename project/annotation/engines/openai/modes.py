"""Readout modes: the ways to get labels from a server, the best first, and their request fields.

Servers differ in what they return for the next token. From the most to the least informative:

exact
    Log probabilities of the tokens that the request names.
constrained
    Log probabilities of all label tokens, in a reply that is constrained to them.
listed
    Log probabilities of the most probable tokens only. A label that is not listed is censored:
    its probability is unknown but small.
sampled
    Sampled replies without log probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXACT = "exact"
CONSTRAINED = "constrained"
LISTED = "listed"
SAMPLED = "sampled"

MAX_NAMED_TOKENS = 128  # vLLM's limit for logprob_token_ids

_BIAS = 100  # the largest that the OpenAI protocol allows
_TOKEN_IDS = {"return_tokens_as_token_ids": True}
NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}
THINKING = {"chat_template_kwargs": {"enable_thinking": True}}


@dataclass(frozen=True)
class ReadoutMode:
    """One way to get labels from a server.

    Attributes
    ----------
    kind
        EXACT, CONSTRAINED, LISTED or SAMPLED.
    label_field
        Request field that names the label tokens; empty if the request names none.
    n_listed
        How many of the most probable tokens are requested.
    temperature
        Temperature of a request that reads one token.
    extra
        Request fields that only some servers accept.
    limit_field
        Request field that limits the length of the reply.
    max_samples
        Most samples in one request.
    """

    kind: str
    label_field: str = ""
    n_listed: int = 0
    temperature: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    limit_field: str = "max_tokens"
    max_samples: int = 1

    def read_fields(self, tokens: Sequence[int] = (), *, chat: bool = False) -> dict[str, Any]:
        """Fields of a request that reads the log probabilities of one token of the reply.

        ``tokens``: ids of the label tokens, for a mode that names them. ``chat``: whether the
        request goes to the chat endpoint, which has other field names.
        """
        fields: dict[str, Any] = {
            self.limit_field: 1,
            "temperature": self.temperature,
            **self.extra,
        }
        if chat:
            return {**fields, "logprobs": True, "top_logprobs": self.n_listed}
        fields["logprobs"] = len(tokens) if self.kind == CONSTRAINED else self.n_listed
        if self.label_field == "logit_bias":
            fields["logit_bias"] = {str(token): _BIAS for token in tokens}
        elif self.label_field:
            fields[self.label_field] = list(tokens)
        return fields

    def sample_fields(self, n: int, temperature: float, max_tokens: int) -> dict[str, Any]:
        """Fields of a request for sampled replies.

        Parameters
        ----------
        n
            Number of replies; some servers refuse the field, so it is left out for one.
        temperature
            The sampling temperature.
        max_tokens
            Most tokens of a reply.
        """
        fields: dict[str, Any] = {
            self.limit_field: max_tokens,
            "temperature": temperature,
            **self.extra,
        }
        if n > 1:
            fields["n"] = n
        return fields

    @property
    def lacks(self) -> frozenset[str]:
        """What answers in this mode come without, in the words of the arms' facts."""
        if self.kind == SAMPLED:
            return frozenset({"probabilities", "label_mass"})
        return frozenset({"label_mass"} if self.kind == CONSTRAINED else ())

    @property
    def description(self) -> str:
        """What the mode returns, in words for notes and logs."""
        return {
            EXACT: f"exact log probabilities of the label tokens ({self.label_field})",
            CONSTRAINED: (
                f"log probabilities of replies held to the label tokens ({self.label_field}); "
                "the label mass is not known"
            ),
            LISTED: (
                f"log probabilities of the {self.n_listed} most probable tokens only; "
                "labels that are not among them are censored"
            ),
            SAMPLED: "no log probabilities; labels are sampled",
        }[self.kind]


# Temperature 0 returns the whole list at most servers. Some apply the temperature before they
# compute log probabilities; there it must be 1.
TOKEN_MODES = (
    ReadoutMode(
        EXACT,
        label_field="logprob_token_ids",
        n_listed=1,
        extra={**_TOKEN_IDS, "repetition_penalty": 1.0},
    ),
    ReadoutMode(CONSTRAINED, label_field="allowed_token_ids", extra=_TOKEN_IDS),
    ReadoutMode(CONSTRAINED, label_field="logit_bias", extra=_TOKEN_IDS),
    ReadoutMode(CONSTRAINED, label_field="logit_bias", temperature=1.0),
    ReadoutMode(LISTED, n_listed=20, extra=_TOKEN_IDS),
    ReadoutMode(LISTED, n_listed=20),
    ReadoutMode(LISTED, n_listed=20, temperature=1.0),
    ReadoutMode(LISTED, n_listed=5),
)
"""Modes for prompts as token ids."""

TEXT_MODES = (
    ReadoutMode(LISTED, n_listed=20),
    ReadoutMode(LISTED, n_listed=20, temperature=1.0),
    ReadoutMode(LISTED, n_listed=5),
)
"""Modes for prompts as text."""

CHAT_MODES = (
    ReadoutMode(LISTED, n_listed=20, extra=NO_THINKING),
    ReadoutMode(LISTED, n_listed=20),
    ReadoutMode(LISTED, n_listed=20, temperature=1.0),
    ReadoutMode(LISTED, n_listed=5),
)
"""Modes for the messages of a chat."""

SAMPLE_MODES = (
    ReadoutMode(SAMPLED, max_samples=16),
    ReadoutMode(SAMPLED, max_samples=4),
    ReadoutMode(SAMPLED),
)
"""Modes for a server without log probabilities, with prompts as token ids or text."""

CHAT_SAMPLE_MODES = (
    ReadoutMode(SAMPLED, max_samples=16, extra=NO_THINKING),
    ReadoutMode(SAMPLED, max_samples=16),
    ReadoutMode(SAMPLED, max_samples=4),
    ReadoutMode(SAMPLED),
)
"""Modes for a server without log probabilities, with the messages of a chat."""

REASONING_MODES = (
    ReadoutMode(SAMPLED, max_samples=16, extra=THINKING),
    ReadoutMode(SAMPLED, max_samples=16),
    ReadoutMode(SAMPLED, max_samples=4),
    ReadoutMode(SAMPLED),
)
"""Modes for a model that thinks before it answers a chat."""
