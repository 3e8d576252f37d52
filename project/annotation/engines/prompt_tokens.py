"""Prompts as token ids, for the engines that read token ids.

The beginning of a prompt is the same for every text of a draw and is tokenised once; the text and
the end of the prompt are tokenised for each text. A text never becomes a control token, whatever it
spells.
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

# Texts whose first or last characters join with their neighbours in one tokenizer or another.
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

    The tokens of a prompt are those of ``prefix``, then those of ``before_end + text + after``,
    then those of ``suffix``.

    Attributes
    ----------
    prefix
        Control tokens, and the prompt's ``before`` without its end.
    before_end
        The end of ``before``, whose characters may form tokens together with the text.
    suffix
        Control tokens behind the prompt.
    trie
        How the answers are read.
    """

    prefix: tuple[int, ...]
    before_end: str
    suffix: tuple[int, ...]
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
            If the tokenizer has no fast version.
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

    def written(self, text: str, max_tokens: int) -> list[int]:
        """The tokens of a prompt that asks for a reply of ``max_tokens`` tokens.

        It is a user's message where the tokenizer has a chat template, else plain text. Raises
        AssayError if it leaves no room for the reply.
        """
        frame = self._around_message
        (row,) = self.encode([text])
        tokens = [*frame.before, *row, *frame.behind]
        if len(tokens) + max_tokens > self._context:
            raise AssayError(
                f"a prompt has {len(tokens)} tokens and its reply may have {max_tokens}; "
                f"{self._name} can read {self._context} in all. Shorten the texts or, for a "
                "taxonomy, lower batch_texts or summary_words."
            )
        return tokens

    @functools.cached_property
    def _around_message(self) -> ChatTokens:
        """The control tokens around a prompt that asks for a reply."""
        if getattr(self._tokenizer, "chat_template", None):
            return chat_tokens(self._tokenizer, Prompt(0, "", "", (), chat=True), self._name)
        return ChatTokens(self._begin(), ())

    def written_ends(self) -> list[int]:
        """Tokens that end a reply to :meth:`written`."""
        ends = {self._tokenizer.eos_token_id} - {None}
        if getattr(self._tokenizer, "chat_template", None):
            ends |= message_ends(self._tokenizer)
        return sorted(ends)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of tokens, without control tokens."""
        return str(self._tokenizer.decode(tokens, skip_special_tokens=True))

    def trie(self, prompt: Prompt) -> LabelTrie:
        """How the answers of ``prompt`` are read."""
        return self._frame(prompt).trie

    def fit(self, prompt: Prompt, texts: Sequence[str]) -> TokenizedPrompts:
        """The prompts of ``texts``, cut to the context.

        Only the end of a text is cut: the prompt stays whole, and the position of the label
        always follows. Raises AssayError if the prompt leaves no room for a text.
        """
        frame = self._frame(prompt)
        rows = self.encode([f"{frame.before_end}{text}{prompt.after}" for text in texts])
        # Tokens that are left for the text and its direct neighbours.
        room = self._context - frame.trie.depth - len(frame.prefix) - len(frame.suffix)
        too_long = [index for index, row in enumerate(rows) if len(row) > room]
        if too_long:
            cut = self._cut_to(room, frame, prompt, [texts[index] for index in too_long])
            for index, row in zip(too_long, cut, strict=True):
                rows[index] = row
        truncated = np.zeros(len(rows), dtype=bool)
        truncated[too_long] = True
        prefix = frame.prefix
        if frame.suffix:
            rows = [row + list(frame.suffix) for row in rows]
        if len(frame.before_end) == len(prompt.before):
            # Nothing could be tokenised ahead. What these rows happen to share is the prefix.
            n_shared = _n_shared(rows)
            prefix = (*prefix, *rows[0][:n_shared])
            rows = [row[n_shared:] for row in rows]
        return TokenizedPrompts(prefix, rows, truncated)

    def _cut_to(
        self, room: int, frame: _Frame, prompt: Prompt, texts: Sequence[str]
    ) -> list[list[int]]:
        """The tokens of ``before_end + text + after`` of every text, cut to ``room`` tokens."""
        (behind,) = self.encode([prompt.after])
        (before_end,) = self.encode([frame.before_end])
        if room - len(behind) <= len(before_end):
            n_tokens = self._context - room + len(behind) + len(before_end)
            raise AssayError(
                f"the prompt without its text has {n_tokens} tokens, which leaves no place for "
                f"a text in the {self._context} that {self._name} can read. Lower "
                "n_demonstrations."
            )
        # Tokenised without ``after``, so that the cut falls into the text and not behind it.
        uncut = self.encode([f"{frame.before_end}{text}" for text in texts])
        return [row[: room - len(behind)] + behind for row in uncut]

    def _make_frame(self, prompt: Prompt) -> _Frame:
        """Tokenise what is the same for every text of ``prompt``."""
        control = self._control_tokens(prompt)
        # The shortest end of ``before`` that can be tokenised apart from the beginning leaves the
        # least to do for every text. Without any, the whole of ``before`` goes with the text.
        ends = (end for end in _possible_ends(prompt.before) if self._can_split(prompt, end))
        before_end = next(ends, prompt.before)
        (beginning,) = self.encode([prompt.before.removesuffix(before_end)])
        answers = self._answer_tokens(prompt)
        trie = LabelTrie(answers, prompt.answers, self._reply_ends(prompt, answers))
        return _Frame((*control.before, *beginning), before_end, control.behind, trie)

    def _control_tokens(self, prompt: Prompt) -> ChatTokens:
        """The control tokens before and behind the prompt."""
        if prompt.chat:
            return chat_tokens(self._tokenizer, prompt, self._name)
        return ChatTokens(self._begin(), ())

    def _answer_tokens(self, prompt: Prompt) -> list[list[int]]:
        """The tokens of every answer; refuses labels that the vocabulary cannot write."""
        # A chat's reply begins behind control tokens, with which no answer can join.
        answers = self.encode(prompt.answers) if prompt.chat else self._plain_answer_tokens(prompt)
        unknown = self._tokenizer.unk_token_id
        for ids, answer in zip(answers, prompt.answers, strict=True):
            if unknown is not None and unknown in ids:
                raise AssayError(
                    f"label {answer.strip()!r} cannot be written in the tokenizer of {self._name}. "
                    "Set label_style=letter."
                )
        return answers

    def _plain_answer_tokens(self, prompt: Prompt) -> list[list[int]]:
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

    def _can_split(self, prompt: Prompt, before_end: str) -> bool:
        """Whether tokens stay the same if ``before`` is split in front of its end ``before_end``.

        Tokenizers differ too much for a rule, so it is tried with texts that tend to join.
        """
        (beginning,) = self.encode([prompt.before.removesuffix(before_end)])
        complete = self.encode([prompt.render(text) for text in _PROBES])
        parts = self.encode([f"{before_end}{text}{prompt.after}" for text in _PROBES])
        return all(row == beginning + part for row, part in zip(complete, parts, strict=True))

    def _begin(self) -> tuple[int, ...]:
        """The control tokens that the tokenizer puts before every text, such as BOS."""
        ids = self._tokenizer("text")["input_ids"]
        plain = self._tokenizer("text", add_special_tokens=False)["input_ids"]
        starts = range(len(ids) + 1)
        return tuple(ids[: next(n for n in starts if ids[n : n + len(plain)] == plain)])

    def _reply_ends(self, prompt: Prompt, answers: Sequence[Sequence[int]]) -> list[int]:
        """Tokens that can end a reply, given the tokens of every answer.

        They are the model's own end of text, and the end of a message in a chat or the line break
        before the next demonstration in a plain prompt.
        """
        ends = {self._tokenizer.eos_token_id} - {None}
        if prompt.chat:
            return sorted(ends | message_ends(self._tokenizer))
        with_break = [prompt.render("text") + answer + "\n" for answer in prompt.answers]
        for ids, row in zip(answers, self.encode(with_break), strict=True):
            # A line break that forms one token with the answer's end cannot end a reply.
            if row[-len(ids) - 1 : -1] == list(ids):
                ends.add(row[-1])
        return sorted(ends)


def _possible_ends(before: str) -> list[str]:
    """Ends of ``before`` at which it might be split, the shortest first.

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
