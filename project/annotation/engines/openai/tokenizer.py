"""The tokenizer of the server's model, and how to match its tokens with those of the server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from project.annotation.engines.openai.parsing import ListedToken
from project.config.annotation import AnnotateConfig, ServerConfig
from project.config.fields import AUTO
from project.support.errors import AssayError
from project.support.models import annotator_source, quiet_transformers

NO_TOKENIZER = "none"

_UNDECODABLE = "\ufffd"  # part of a character that takes several tokens
_SPACE_MARKS = ("\u2581", "\u0120")  # how tokenizers write a space


def server_tokenizer(config: AnnotateConfig, server: ServerConfig) -> tuple[Any | None, str]:
    """The tokenizer of the server's model and its identity; None and ``none`` without one.

    Raises
    ------
    AssayError
        If the tokenizer that ``annotator_tokenizer`` names cannot be loaded. One that is only
        guessed from ``annotator_model`` may be missing.
    """
    name = server.annotator_tokenizer
    if name == NO_TOKENIZER:
        return None, NO_TOKENIZER
    is_guess = name == AUTO
    try:
        source = annotator_source(
            config.annotator_model if is_guess else name, config.annotator_revision
        )
        with quiet_transformers():
            from transformers import AutoTokenizer

            tokenizer = AutoTokenizer.from_pretrained(source.location, revision=source.revision)
        if not tokenizer.is_fast:
            raise AssayError("it has no fast version (a tokenizer.json).")
    except (OSError, ValueError) as error:
        if is_guess:
            return None, NO_TOKENIZER
        message = " ".join(str(error).split())
        reason = message.removeprefix("annotator_model").removeprefix(":").strip()
        raise AssayError(f"annotator_tokenizer {name} could not be loaded: {reason}") from error
    return tokenizer, source.identity


def decode(tokenizer: Any, token: int) -> str:
    """The text of one token."""
    return str(tokenizer.decode([token], clean_up_tokenization_spaces=False))


def unique_spellings(tokenizer: Any) -> dict[str, int]:
    """Token ids by text, for the tokens whose text no other token has."""
    texts = [decode(tokenizer, token) for token in range(len(tokenizer))]
    counts = Counter(texts)
    return {
        text: token
        for token, text in enumerate(texts)
        if counts[text] == 1 and _UNDECODABLE not in text
    }


def check_spellings(tokenizer: Any, tokens: Sequence[int], listed: Sequence[ListedToken]) -> None:
    """Raise AssayError if the server writes ``tokens`` in another way than ``tokenizer``.

    Parameters
    ----------
    tokenizer
        The tokenizer that ``annotator_tokenizer`` names.
    tokens
        Token ids that the server was asked for.
    listed
        The tokens in its response. If any has an id, nothing is checked.
    """
    if not all(entry.token is None for entry in listed):
        return
    theirs = {_without_marks(entry.text) for entry in listed}
    for token in tokens:
        ours = _without_marks(decode(tokenizer, token))
        if _UNDECODABLE not in ours and ours not in theirs:
            raise AssayError(
                "annotator_tokenizer is not that of the server's model: "
                f"token {token} is {ours!r} here, and the server lists {sorted(theirs)}. "
                "Name the tokenizer of the server's model, or set annotator_tokenizer=none."
            )


def _without_marks(text: str) -> str:
    """A token's text without the spaces and marks in which tokenizers and servers differ."""
    for mark in _SPACE_MARKS:
        text = text.replace(mark, " ")
    return text.strip()
