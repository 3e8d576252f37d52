"""The ways to read labels off a server, the best first, and the requests they make. Pure.

Servers differ in what they tell of the next token. In the order of what it is worth: the log probabilities of the tokens asked
for; those of all label tokens where the reply is held to them; the most probable tokens only, so that what is not among them
is known to be improbable and nothing more (censored); samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

EXACT, CONSTRAINED, LISTED, SAMPLED = "exact", "constrained", "listed", "sampled"
MOST_TOKENS = 128  # vLLM's limit of logprob_token_ids

_IDS = {"return_tokens_as_token_ids": True}
_NO_THINKING = {"chat_template_kwargs": {"enable_thinking": False}}


@dataclass(frozen=True)
class Way:
    """A way to read labels off a server: what is asked for, and under which names.

    ``by``: the field that names the label tokens; ``listed``: how many of the most probable tokens are asked for; ``extra``: fields
    that only some servers know; ``limit``: the field that ends a reply; ``most``: samples in one request.
    """

    kind: str
    by: str = ""
    listed: int = 0
    temperature: float = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict)
    limit: str = "max_tokens"
    most: int = 1

    def fields(self, tokens: Sequence[int] = (), *, chat: bool = False) -> dict[str, Any]:
        """The fields of a request that reads one token of the reply, ``tokens`` in particular."""
        asked: dict[str, Any] = {self.limit: 1, "temperature": self.temperature, **self.extra}
        if chat:
            return {**asked, "logprobs": True, "top_logprobs": self.listed}
        named: Any = (
            {str(token): 100 for token in tokens} if self.by == "logit_bias" else list(tokens)
        )
        listed = len(tokens) if self.kind == CONSTRAINED else self.listed
        return {**asked, "logprobs": listed, **({self.by: named} if self.by else {})}

    def samples(self, n: int, temperature: float, tokens: int) -> dict[str, Any]:
        """The fields of a request for ``n`` replies of at most so many tokens."""
        return {
            self.limit: tokens,
            "temperature": temperature,
            **self.extra,
            **({"n": n} if n > 1 else {}),
        }

    @property
    def words(self) -> str:
        """What it gives, for people."""
        return {
            EXACT: f"exact log probabilities of the label tokens ({self.by})",
            CONSTRAINED: f"log probabilities of replies held to the label tokens ({self.by}); the label mass is not known",
            LISTED: f"log probabilities of the {self.listed} most probable tokens only; labels that are not among them are censored",
            SAMPLED: "no log probabilities; labels are sampled",
        }[self.kind]


TOKEN_WAYS = (
    Way(EXACT, "logprob_token_ids", listed=1, extra={**_IDS, "repetition_penalty": 1.0}),
    Way(CONSTRAINED, "allowed_token_ids", extra=_IDS),
    Way(CONSTRAINED, "logit_bias", extra=_IDS),
    Way(CONSTRAINED, "logit_bias", temperature=1.0),
    Way(LISTED, listed=20, extra=_IDS),
    Way(LISTED, listed=20),
    Way(LISTED, listed=20, temperature=1.0),
    Way(LISTED, listed=5),
)
"""For a server that is given token ids. Where the temperature changes log probabilities it must be 1; else 0 keeps the list whole."""

TEXT_WAYS = (Way(LISTED, listed=20), Way(LISTED, listed=20, temperature=1.0), Way(LISTED, listed=5))

CHAT_WAYS = (
    Way(LISTED, listed=20, extra=_NO_THINKING),
    Way(LISTED, listed=20),
    Way(LISTED, listed=20, temperature=1.0, limit="max_completion_tokens"),
    Way(LISTED, listed=20, temperature=1.0),
    Way(LISTED, listed=5),
)

SAMPLE_WAYS = (Way(SAMPLED, most=16), Way(SAMPLED, most=4), Way(SAMPLED))

CHAT_SAMPLE_WAYS = (
    Way(SAMPLED, most=16, extra=_NO_THINKING),
    Way(SAMPLED, most=16),
    Way(SAMPLED, most=4),
    Way(SAMPLED),
    Way(SAMPLED, most=16, limit="max_completion_tokens"),
    Way(SAMPLED, limit="max_completion_tokens"),
)
