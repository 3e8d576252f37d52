"""Prompts as token ids, shared by all engines that are given token ids.

What is the same for every text of a draw is tokenised once; only the text and what stands behind
it are tokenised for each. User text never becomes a control token, no matter what it spells.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.annotation.engines.control_tokens import (
    ChatTokens,
    PlainTokenizer,
    chat_tokens,
    message_ends,
)
from project.annotation.engines.label_trie import LabelTrie
from project.annotation.prompt import Prompt
from project.stats.types import Mask
from project.support.errors import AssayError

# Texts whose first and last characters join with their neighbours in one tokenizer or another.
_PROBES = (
    "text",
    " text",
    "\n\ntext",
    "Text.\n",
    "123 text 45",
    "\u0301e",
    "🙂 text 🙂",
    "文字",
    "שלום",
    ".",
    "'s",
    "a\t",
    "",
)


class TokenizedPrompts(NamedTuple):
    """Prompts as token ids: text i is ``prefix + suffixes[i]``.

    ``truncated``, ``(n,)``: the text was cut at its end to fit the context.
    """

    prefix: tuple[int, ...]
    suffixes: list[list[int]]
    truncated: Mask

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of every prompt, ``(n,)``."""
        lengths = [len(self.prefix) + len(suffix) for suffix in self.suffixes]
        return np.array(lengths, dtype=np.int64)


class _Frame(NamedTuple):
    """A prompt, tokenised as far as it is the same for every text.

    The tokens of a prompt are ``prefix``, those of the text ``last + text + after``, and ``tail``.
    ``last`` is the end of the prompt's ``before``, which may join with the text.
    """

    prefix: tuple[int, ...]
    last: str
    tail: tuple[int, ...]
    trie: LabelTrie


class PromptTokens:
    """The tokenizer of an annotator whose model reads ``context`` tokens."""

    def __init__(self, tokenizer: Any, *, context: int, name: str) -> None:
        """Wrap a tokenizer.

        Parameters
        ----------
        tokenizer
            A transformers tokenizer with a ``tokenizers`` backend.
        context
            Most tokens of a prompt.
        name
            The model's name, for errors.

        Raises
        ------
        AssayError
            Where the tokenizer has no fast version.
        """
        if not getattr(tokenizer, "is_fast", False):
            raise AssayError(
                f"the tokenizer of {name} has no fast version (a tokenizer.json), which annotation "
                "needs. Use another model."
            )
        self._tokenizer = tokenizer
        self._context = context
        self._name = name
        self._plain = PlainTokenizer(tokenizer.backend_tokenizer)
        self._frame = functools.lru_cache(maxsize=8)(self._make_frame)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text; a text that spells a control token is read as characters."""
        return self._plain.encode(texts)

    def trie(self, prompt: Prompt) -> LabelTrie:
        """How the answers of ``prompt`` are read."""
        return self._frame(prompt).trie

    def fit(self, prompt: Prompt, texts: Sequence[str]) -> TokenizedPrompts:
        """The prompts of ``texts``, cut to the context.

        Only the end of a text is cut: the prompt stays whole, and the position of the label
        always follows. Raises AssayError where the prompt leaves no room for a text.
        """
        frame = self._frame(prompt)
        rows = self.encode([f"{frame.last}{text}{prompt.after}" for text in texts])
        # Tokens that are left for the text and its direct neighbours.
        room = self._context - frame.trie.depth - len(frame.prefix) - len(frame.tail)
        too_long = [index for index, row in enumerate(rows) if len(row) > room]
        if too_long:
            (behind,) = self.encode([prompt.after])
            (last,) = self.encode([frame.last])
            if room - len(behind) <= len(last):
                n_tokens = self._context - room + len(behind) + len(last)
                raise AssayError(
                    f"the prompt without its text has {n_tokens} tokens, which leaves no place for "
                    f"a text in the {self._context} that {self._name} can read. Lower "
                    "n_demonstrations."
                )
            # These texts are tokenised again without what stands behind them.
            uncut = self.encode([f"{frame.last}{texts[index]}" for index in too_long])
            for index, row in zip(too_long, uncut, strict=True):
                rows[index] = row[: room - len(behind)] + behind
        truncated = np.zeros(len(rows), dtype=bool)
        truncated[too_long] = True
        prefix = frame.prefix
        if frame.tail:
            rows = [row + list(frame.tail) for row in rows]
        if len(frame.last) == len(prompt.before):
            # Nothing could be tokenised ahead. What these rows happen to share is the prefix.
            n_shared = _n_shared(rows)
            prefix = (*prefix, *rows[0][:n_shared])
            rows = [row[n_shared:] for row in rows]
        return TokenizedPrompts(prefix, rows, truncated)

    def _make_frame(self, prompt: Prompt) -> _Frame:
        """Tokenise what is the same for every text of ``prompt``."""
        around = self._around(prompt)
        candidates = (last for last in _ends(prompt.before) if self._splits(prompt, last))
        last = next(candidates, prompt.before)
        (ahead,) = self.encode([prompt.before.removesuffix(last)])
        tails = self.encode(prompt.answers) if prompt.chat else self._answer_tokens(prompt)
        unknown = self._tokenizer.unk_token_id
        for tail, answer in zip(tails, prompt.answers, strict=True):
            if unknown is not None and unknown in tail:
                raise AssayError(
                    f"label {answer.strip()!r} cannot be written in the tokenizer of {self._name}. "
                    "Set label_style=letter."
                )
        trie = LabelTrie(tails, prompt.answers, self._reply_ends(prompt, tails))
        return _Frame((*around.before, *ahead), last, around.behind, trie)

    def _around(self, prompt: Prompt) -> ChatTokens:
        """The control tokens before and behind the prompt."""
        if prompt.chat:
            return chat_tokens(self._tokenizer, prompt, self._name)
        return ChatTokens(self._begin(), ())

    def _answer_tokens(self, prompt: Prompt) -> list[list[int]]:
        """The tokens of every answer behind a plain prompt."""
        rendered = prompt.render("text")
        row, *with_answer = self.encode(
            [rendered, *(rendered + answer for answer in prompt.answers)]
        )
        for ids, answer in zip(with_answer, prompt.answers, strict=True):
            if ids[: len(row)] != row or len(ids) == len(row):
                raise AssayError(
                    f"label {answer.strip()!r} joins with the end of the prompt in the tokenizer "
                    f"of {self._name}. Use another label_style, other label names, or a template "
                    "that ends otherwise."
                )
        return [ids[len(row) :] for ids in with_answer]

    def _splits(self, prompt: Prompt, last: str) -> bool:
        """Whether tokenising can begin anew at ``last``, the end of ``before``, for all probes."""
        (ahead,) = self.encode([prompt.before.removesuffix(last)])
        complete = self.encode([prompt.render(text) for text in _PROBES])
        parts = self.encode([f"{last}{text}{prompt.after}" for text in _PROBES])
        return all(row == ahead + part for row, part in zip(complete, parts, strict=True))

    def _begin(self) -> tuple[int, ...]:
        """The control tokens that the tokenizer puts before every text."""
        ids = self._tokenizer("text")["input_ids"]
        plain = self._tokenizer("text", add_special_tokens=False)["input_ids"]
        starts = range(len(ids) + 1)
        return tuple(ids[: next(n for n in starts if ids[n : n + len(plain)] == plain)])

    def _reply_ends(self, prompt: Prompt, tails: Sequence[Sequence[int]]) -> list[int]:
        """Tokens that can end a reply.

        They are the model's own end of text, and the end of a message in a chat or the line break
        before the next demonstration in a plain prompt.
        """
        ends = {self._tokenizer.eos_token_id} - {None}
        if prompt.chat:
            return sorted(ends | message_ends(self._tokenizer))
        broken = [prompt.render("text") + answer + "\n" for answer in prompt.answers]
        for tail, row in zip(tails, self.encode(broken), strict=True):
            if row[-len(tail) - 1 : -1] == list(tail):
                ends.add(row[-1])
        return sorted(ends)


def _ends(before: str) -> list[str]:
    """Ends of ``before`` from which tokenising might begin anew, the shortest first.

    They are its last spaces, its last line and its last two lines.
    """
    lines = before.splitlines(keepends=True)
    return [before[len(before.rstrip()) :], "".join(lines[-1:]), "".join(lines[-2:])]


def _n_shared(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, leaving every row at least its last one."""
    n = 0
    shortest = min(map(len, rows))
    while n < shortest - 1 and len({row[n] for row in rows}) == 1:
        n += 1
    return n
