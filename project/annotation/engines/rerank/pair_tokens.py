"""The tokens of pairs of a text and the text of a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from project.stats.types import Mask
from project.support.errors import AssayError
from project.support.escape import abridged

Row = dict[str, list[int]]
"""The inputs of a model for one pair, by name, without the attention mask."""

_MASK = "attention_mask"


class TokenizedPairs(NamedTuple):
    """All pairs of ``n`` texts with ``n_labels`` labels, text by text.

    Attributes
    ----------
    rows
        ``n * n_labels`` rows; those of the first text come first.
    lengths
        Tokens of each row, ``(n, n_labels)``.
    truncated
        ``(n,)``: the text was cut in one of its pairs at least.
    """

    rows: list[Row]
    lengths: npt.NDArray[np.int64]
    truncated: Mask


class PairTokens:
    """A tokenizer of pairs; in pairs that are too long the text is cut, never the label's text."""

    def __init__(self, tokenizer: Any, *, limit: int, name: str) -> None:
        """Set the tokenizer and the most tokens of a pair; ``name``: the model's, for errors.

        Raises AssayError for a tokenizer that joins a pair without a mark, or cannot pad.
        """
        alone, together = (tokenizer.num_special_tokens_to_add(pair=pair) for pair in (False, True))
        if together <= alone:
            raise AssayError(
                f"annotator_model {name}: its tokenizer puts no mark between two texts, so the "
                "model would read a text and a label as one. Name a cross-encoder whose tokenizer "
                "marks pairs."
            )
        if tokenizer.pad_token_id is None:
            raise AssayError(
                f"annotator_model {name}: its tokenizer has no padding token. Set pad_token in its "
                "tokenizer_config.json."
            )
        self.tokenizer = tokenizer
        self.limit = limit
        self._name = name
        self._inputs = [name for name in tokenizer.model_input_names if name != _MASK]
        self._checked: set[tuple[str, ...]] = set()

    def pairs(self, texts: Sequence[str], label_texts: Sequence[str]) -> TokenizedPairs:
        """All pairs, none longer than the limit.

        Raises AssayError for the text of a label beside which no text has room.
        """
        if tuple(label_texts) not in self._checked:
            self._check(label_texts)
        first = [text for text in texts for _ in label_texts]
        second = list(label_texts) * len(texts)
        rows = self._encode(first, second)
        lengths = np.array([len(row["input_ids"]) for row in rows], dtype=np.int64)
        too_long = np.flatnonzero(lengths > self.limit).tolist()
        if too_long:
            cut = self._encode(
                [first[index] for index in too_long],
                [second[index] for index in too_long],
                truncation="only_first",
                max_length=self.limit,
            )
            for index, row in zip(too_long, cut, strict=True):
                rows[index] = row
        is_cut = (lengths > self.limit).reshape(len(texts), -1).any(axis=1)
        lengths = np.minimum(lengths, self.limit).reshape(len(texts), -1)
        return TokenizedPairs(rows, lengths, np.asarray(is_cut))

    def _check(self, label_texts: Sequence[str]) -> None:
        """Raise AssayError for a label's text that is too long, or two of the same tokens."""
        seen: dict[tuple[int, ...], str] = {}
        rows = self._encode([""] * len(label_texts), label_texts)
        for text, row in zip(label_texts, rows, strict=True):
            n_tokens = len(row["input_ids"])
            if n_tokens >= self.limit:
                raise AssayError(
                    f"template: the text of a label must leave room for a text within the "
                    f"{self.limit} tokens that {self._name} reads; {abridged(text)} takes "
                    f"{n_tokens}. Shorten it in the file that template names, or raise "
                    "max_model_len if it is set."
                )
            other = seen.setdefault(tuple(row["input_ids"]), text)
            if other != text:
                raise AssayError(
                    f"template: {self._name} reads the label texts {abridged(other)} and "
                    f"{abridged(text)} as the same tokens, so it cannot tell them apart. Write "
                    "other texts in the file that template names."
                )
        self._checked.add(tuple(label_texts))

    def _encode(self, first: Sequence[str], second: Sequence[str], **cutting: Any) -> list[Row]:
        encoded = self.tokenizer(
            list(first), list(second), return_attention_mask=False, verbose=False, **cutting
        )
        columns = {name: encoded[name] for name in self._inputs if name in encoded}
        return [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
