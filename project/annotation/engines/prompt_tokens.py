"""Prompts as token ids: what every engine that is given token ids shares. No engine is imported here.

What is the same for every text of a draw is tokenised once; only the text and what stands behind it are tokenised for each.
User text never becomes a control token, whatever it spells.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.prompt import Prompt
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
_CONTENT = "ASSAYUSERCONTENT"


class Fitted(NamedTuple):
    """Prompts as token ids: text i is ``prefix + suffixes[i]``; ``truncated[i]``: the text was cut at its end to fit the context."""

    prefix: tuple[int, ...]
    suffixes: list[list[int]]
    truncated: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of every prompt, ``(n,)``."""
        return np.array(
            [len(self.prefix) + len(suffix) for suffix in self.suffixes], dtype=np.int64
        )


class _Plan(NamedTuple):
    """A prompt, tokenised as far as it is the same for every text: ``prefix`` + tokens of (``kept`` + text + after) + ``tail``."""

    prefix: tuple[int, ...]
    kept: str
    tail: tuple[int, ...]
    trie: LabelTrie


class PromptTokens:
    """The tokenizer of an annotator whose model reads ``context`` tokens; ``name`` is the model's, for errors."""

    def __init__(self, tokenizer: Any, *, context: int, name: str) -> None:
        """``tokenizer``: a transformers tokenizer with a ``tokenizers`` backend."""
        if not getattr(tokenizer, "is_fast", False):
            raise AssayError(
                f"the tokenizer of {name} has no fast version (a tokenizer.json), which annotation needs. Use another model."
            )
        self._tokenizer, self._context, self._name = tokenizer, context, name
        self._plain, controls = _without_controls(tokenizer.backend_tokenizer)
        # control tokens that the vocabulary itself can spell
        self._spelt = [
            text
            for text, token in controls.items()
            if token in self._plain.encode(text, add_special_tokens=False).ids
        ]
        self.plan = functools.lru_cache(maxsize=8)(self._plan)

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text; a text that spells a control token is read as plain characters."""
        return [
            encoding.ids
            for encoding in self._plain.encode_batch_fast(
                [self._harmless(text) for text in texts], add_special_tokens=False
            )
        ]

    def trie(self, prompt: Prompt) -> LabelTrie:
        """How the answers of ``prompt`` are read."""
        return self.plan(prompt).trie

    def fit(self, prompt: Prompt, texts: Sequence[str]) -> Fitted:
        """The prompts of ``texts``, cut to the context. The prompt itself is never cut, and the place of the label always follows."""
        plan = self.plan(prompt)
        rows = self.encode([f"{plan.kept}{text}{prompt.after}" for text in texts])
        room = self._context - plan.trie.depth - len(plan.prefix) - len(plan.tail)
        long = [index for index, row in enumerate(rows) if len(row) > room]
        if long:
            (behind,) = self.encode([prompt.after])
            (least,) = self.encode([plan.kept])
            if room - len(behind) <= len(least):
                raise AssayError(
                    f"the prompt without its text has {self._context - room + len(behind) + len(least)} tokens, which leaves no place for a "
                    f"text in the {self._context} that {self._name} can read. Lower n_demonstrations."
                )
            for index, row in zip(
                long, self.encode([f"{plan.kept}{texts[index]}" for index in long]), strict=True
            ):
                rows[index] = row[: room - len(behind)] + behind
        truncated = np.zeros(len(rows), dtype=bool)
        truncated[long] = True
        tail, prefix = list(plan.tail), plan.prefix
        rows = [row + tail for row in rows] if tail else rows
        if len(plan.kept) == len(
            prompt.before
        ):  # nothing could be tokenised ahead: what these rows happen to share
            shared = _common(rows)
            prefix, rows = (*prefix, *rows[0][:shared]), [row[shared:] for row in rows]
        return Fitted(prefix, rows, truncated)

    def _plan(self, prompt: Prompt) -> _Plan:
        head, tail = self._chat(prompt) if prompt.chat else (self._begin(), ())
        kept = next(
            (kept for kept in _places(prompt.before) if self._splits(prompt, kept)), prompt.before
        )
        (ahead,) = self.encode([prompt.before.removesuffix(kept)])
        tails = self.encode(prompt.answers) if prompt.chat else self._tails(prompt)
        for rest, answer in zip(tails, prompt.answers, strict=True):
            if self._tokenizer.unk_token_id is not None and self._tokenizer.unk_token_id in rest:
                raise AssayError(
                    f"label {answer.strip()!r} cannot be written in the tokenizer of {self._name}. Use -P label_style=letter."
                )
        return _Plan(
            (*head, *ahead), kept, tail, LabelTrie(tails, prompt.answers, self._ends(prompt, tails))
        )

    def _tails(self, prompt: Prompt) -> list[list[int]]:
        """The tokens of every answer behind a plain prompt."""
        whole = prompt.render("text")
        row, *full = self.encode([whole, *(whole + answer for answer in prompt.answers)])
        for ids, answer in zip(full, prompt.answers, strict=True):
            if ids[: len(row)] != row or len(ids) == len(row):
                raise AssayError(
                    f"label {answer.strip()!r} melts into the end of the prompt in the tokenizer of {self._name}. Use another label_style, other "
                    "label names, or a template that ends otherwise."
                )
        return [ids[len(row) :] for ids in full]

    def _splits(self, prompt: Prompt, kept: str) -> bool:
        """Whether the prompt can be tokenised apart where ``kept``, the end of ``before``, begins, whatever the text."""
        (ahead,) = self.encode([prompt.before.removesuffix(kept)])
        whole = self.encode([prompt.render(text) for text in _PROBES])
        parts = self.encode([f"{kept}{text}{prompt.after}" for text in _PROBES])
        return all(one == ahead + part for one, part in zip(whole, parts, strict=True))

    def _begin(self) -> tuple[int, ...]:
        """The control tokens that the tokenizer puts before every text."""
        ids, plain = (
            self._tokenizer("text")["input_ids"],
            self._tokenizer("text", add_special_tokens=False)["input_ids"],
        )
        return tuple(
            ids[: next(n for n in range(len(ids) + 1) if ids[n : n + len(plain)] == plain)]
        )

    def _chat(self, prompt: Prompt) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The chat template's tokens before and behind the user's message."""
        if not getattr(self._tokenizer, "chat_template", None):
            raise AssayError(
                f"the tokenizer of {self._name} has no chat template. Leave out chat_template=true."
            )
        messages = [*prompt.messages("")[:-1], {"role": "user", "content": _CONTENT}]
        try:
            text = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        except Exception as error:  # templates raise what they like, for instance where they know no system message
            raise AssayError(
                f"the chat template of {self._name} refuses these messages: {' '.join(str(error).split())}"
            ) from error
        parts = text.split(_CONTENT)
        if len(parts) != 2:
            raise AssayError(
                f"the chat template of {self._name} does not show the user's message exactly once. Leave out chat_template=true."
            )
        head, tail = (
            tuple(self._tokenizer(part, add_special_tokens=False)["input_ids"]) for part in parts
        )
        return head, tail

    def _ends(self, prompt: Prompt, tails: Sequence[Sequence[int]]) -> list[int]:
        """Tokens that can end a reply: the model's own end, and in a plain prompt the line break before the next demonstration."""
        ends = {self._tokenizer.eos_token_id} - {None}
        if prompt.chat:
            messages = [
                {"role": "user", "content": "u"},
                {"role": "assistant", "content": _CONTENT},
            ]
            behind = self._tokenizer.apply_chat_template(messages, tokenize=False).rpartition(
                _CONTENT
            )[2]
            ends |= set(self._tokenizer(behind, add_special_tokens=False)["input_ids"][:1])
        else:
            for rest, broken in zip(
                tails,
                self.encode([prompt.render("text") + answer + "\n" for answer in prompt.answers]),
                strict=True,
            ):
                if broken[-len(rest) - 1 : -1] == list(rest):
                    ends.add(broken[-1])
        return sorted(ends)

    def _harmless(self, text: str) -> str:
        """``text`` as valid Unicode, control tokens that the vocabulary can spell broken up."""
        for control in self._spelt:
            text = text.replace(control, f"{control[0]} {control[1:]}")
        return (
            text
            if text.isascii()
            else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
        )


def _without_controls(backend: Any) -> tuple[Any, dict[str, int]]:
    """A copy of a ``tokenizers`` tokenizer that knows no control token, and those it knew.

    Runs of white space that some vocabularies add are not control tokens and stay.
    """
    from tokenizers import Tokenizer

    content = json.loads(backend.to_str())
    added = content["added_tokens"]
    controls = [
        one
        for one in added
        if one["special"] or re.fullmatch(r"[<\[].*[>\]]", one["content"], re.DOTALL)
    ]
    content["added_tokens"] = [one for one in added if one not in controls]
    content["post_processor"] = content["truncation"] = content["padding"] = None
    return Tokenizer.from_str(json.dumps(content)), {one["content"]: one["id"] for one in controls}


def _places(before: str) -> list[str]:
    """Ends of ``before`` from which tokenising might begin anew, the shortest first: its last spaces, its last line, its last two."""
    lines = before.splitlines(keepends=True)
    return [before[len(before.rstrip()) :], "".join(lines[-1:]), "".join(lines[-2:])]


def _common(rows: Sequence[Sequence[int]]) -> int:
    """How many tokens all rows begin with, leaving every row at least its last one."""
    n, least = 0, min(map(len, rows))
    while n < least - 1 and len({row[n] for row in rows}) == 1:
        n += 1
    return n
