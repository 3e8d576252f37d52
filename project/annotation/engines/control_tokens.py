"""Control tokens: those of a chat template, and a tokenizer that never makes any from a text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from project.annotation.prompt import Prompt
from project.support.errors import AssayError

_CONTENT = "ASSAYUSERCONTENT"  # stands for a message, to find its place in the template


class ChatTokens(NamedTuple):
    """Tokens before and behind the content of the user's message."""

    before: tuple[int, ...]
    behind: tuple[int, ...]


def chat_tokens(tokenizer: Any, prompt: Prompt, name: str) -> ChatTokens:
    """The tokens that the chat template puts around the user's message.

    Parameters
    ----------
    tokenizer
        A transformers tokenizer.
    prompt
        A prompt that is a chat; its system message, if any, stands in front.
    name
        The model's name, for errors.

    Raises
    ------
    AssayError
        If there is no chat template, or it refuses the messages.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise AssayError(
            f"the tokenizer of {name} has no chat template. Leave out chat_template=true."
        )
    messages = [*prompt.messages("")[:-1], {"role": "user", "content": _CONTENT}]
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except Exception as error:  # templates may raise anything, for instance for a system message
        raise AssayError(
            f"the chat template of {name} refuses these messages: {' '.join(str(error).split())}"
        ) from error
    # Only the parts around the message become control tokens: the message is tokenised elsewhere,
    # without them.
    parts = text.split(_CONTENT)
    if len(parts) != 2:
        raise AssayError(
            f"the chat template of {name} does not show the user's message exactly once. Leave out "
            "chat_template=true."
        )
    before, behind = (
        tuple(tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts
    )
    return ChatTokens(before, behind)


def message_ends(tokenizer: Any) -> set[int]:
    """The token with which the chat template ends the assistant's message, if there is one."""
    messages = [{"role": "user", "content": "u"}, {"role": "assistant", "content": _CONTENT}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    behind = text.rpartition(_CONTENT)[2]
    return set(tokenizer(behind, add_special_tokens=False)["input_ids"][:1])


class PlainTokenizer:
    """A copy of a tokenizer without control tokens."""

    def __init__(self, backend: Any) -> None:
        """``backend``: a tokenizer of the package ``tokenizers``."""
        self._tokenizer, controls = _without_controls(backend)
        # Control tokens that the remaining vocabulary can spell as a whole.
        self._spelt = [
            text
            for text, token in controls.items()
            if token in self._tokenizer.encode(text, add_special_tokens=False).ids
        ]

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text; a text that spells a control token is read as characters."""
        encodings = self._tokenizer.encode_batch_fast(
            [self._harmless(text) for text in texts], add_special_tokens=False
        )
        return [encoding.ids for encoding in encodings]

    def _harmless(self, text: str) -> str:
        """``text`` as valid Unicode, with a space in control tokens that could be spelt."""
        for control in self._spelt:
            text = text.replace(control, f"{control[0]} {control[1:]}")
        if text.isascii():
            return text
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _without_controls(backend: Any) -> tuple[Any, dict[str, int]]:
    """A copy of a ``tokenizers`` tokenizer without control tokens, and these with their ids.

    Runs of white space that some vocabularies add are not control tokens and stay.
    """
    from tokenizers import Tokenizer

    content = json.loads(backend.to_str())
    added = content["added_tokens"]
    controls = [
        token
        for token in added
        if token["special"] or re.fullmatch(r"[<\[].*[>\]]", token["content"], re.DOTALL)
    ]
    content["added_tokens"] = [token for token in added if token not in controls]
    for part in ("post_processor", "truncation", "padding"):
        content[part] = None
    ids = {token["content"]: token["id"] for token in controls}
    return Tokenizer.from_str(json.dumps(content)), ids
