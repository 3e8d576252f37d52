"""Prompts as token ids: what every engine that runs a model itself shares. No engine is imported here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from project.errors import AssayError
from project.prompt import Prompt


class Codes(NamedTuple):
    """How answers are read: ``shared`` tokens that all of them begin with, then one token ``ids[k]`` for class k."""

    shared: tuple[int, ...]
    ids: tuple[int, ...]


class PromptTokens:
    """The tokenizer of an annotator whose model reads ``context`` tokens; ``name`` is the model's, for errors."""

    def __init__(self, tokenizer: Any, *, context: int, name: str) -> None:
        """``tokenizer``: a transformers tokenizer."""
        self._tokenizer, self._context, self._name = tokenizer, context, name

    def encode(self, text: str) -> list[int]:
        """Token ids; a text that spells a special token is read as plain characters."""
        return list(self._tokenizer(text, split_special_tokens=True)["input_ids"])

    def codes(self, prompt: Prompt) -> Codes:
        """How the answers of ``prompt`` are read. The text stands far from the label, so that any text will do to find out."""
        whole = prompt.render("text")
        return label_codes(self.encode(whole), [self.encode(whole + answer) for answer in prompt.answers], prompt.answers)

    def fit(self, prompt: Prompt, text: str, reserved: int) -> tuple[list[int], bool]:
        """Tokens of the prompt with ``text``, and whether it was cut: at its end, so that ``reserved`` more tokens fit behind it.

        The prompt itself is never cut.
        """
        room = self._context - reserved
        ids = self.encode(prompt.render(text))
        cut = len(ids) > room
        while len(ids) > room:
            if not text:
                raise AssayError(
                    f"the prompt without its text has {len(ids)} tokens, more than the {room} that {self._name} can read. Lower n_demonstrations."
                )
            text = text[: int(len(text) * min(0.98, room / len(ids)))]
            ids = self.encode(prompt.render(text))
        return ids, cut


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
