"""Which way of reading is exact for a model, found out on a few short rows when it is loaded.

The right answer is that of a row that is read alone. A wrong way of reading changes the log
probabilities of all tokens; rounding in bfloat16 changes some of them much, but the median little.
So float32 is judged by the largest difference, and other dtypes by the median, relative to the
difference that another text makes. The limit lies between the differences of a deep model that is
read correctly in bfloat16 and those of small models that are read wrongly;
``tests/annotation/test_unpacked.py`` measures both.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.transformers.packed import PackedModel
from project.annotation.engines.transformers.unpacked import UnpackedModel

MAX_DIFFERENCE = 1e-3  # nats, float32: rounding moves log probabilities by at most a tenth of it
MAX_SHARE = 0.1  # other dtypes: share of the difference between two texts
_LENGTHS = (24, 9, 9, 23)  # tokens of the rows of _Sample; unequal, so that padding is tried too


class Readers(NamedTuple):
    """The ways to read a model. ``packed``: None where packing is not exact."""

    packed: PackedModel | None
    unpacked: UnpackedModel


class _Sample(NamedTuple):
    """Rows of ordinary tokens: a prefix and three texts."""

    prefix: list[int]
    text: list[int]
    other_text: list[int]
    second_text: list[int]


def exact_readers(model: Any, batch_tokens: int, dtype: str, *, split: bool) -> Readers:
    """The ways to read ``model`` that are exact; also sets ``unpacked.padded``.

    Parameters
    ----------
    model
        A causal language model of transformers, in eval mode.
    batch_tokens
        See :class:`UnpackedModel`.
    dtype
        Of its weights: ``float32``, ``bfloat16`` or ``float16``.
    split
        See :class:`PackedModel`.

    Raises
    ------
    torch.cuda.OutOfMemoryError
        If the GPU's memory does not suffice.
    """
    unpacked = UnpackedModel(model, batch_tokens)
    sample = sample_rows(int(model.config.get_text_config().vocab_size))
    first, second = sample.prefix[:2]
    # The smallest trie with an inner node below the root; the labels' names do not matter.
    trie = LabelTrie([(first,), (second, first), (second, second)], "abc", ())
    rows = [
        [*sample.prefix, *text, *node.path]
        for text in (sample.text, sample.second_text)
        for node in trie.nodes
    ]
    alone = torch.cat([unpacked.logs([row]) for row in rows])
    limit = MAX_DIFFERENCE
    if dtype != "float32":
        limit = MAX_SHARE * _difference(*alone.chunk(2)).median().item()
    unpacked.padded = _distance(unpacked.logs(rows), alone, dtype) < limit
    # A window over the last tokens may be longer than these rows, so that no difference would show.
    # Only models with plain full attention in every layer are packed.
    if not all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers):
        return Readers(None, unpacked)
    attention = model.config.get_text_config()._attn_implementation
    try:
        packed = PackedModel(model, split=split)
        is_exact = _is_exact(packed, sample, trie, alone, dtype=dtype, limit=limit)
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
        is_exact = False  # models that cannot read such a row fail in many ways
    if not is_exact:
        model.set_attn_implementation(attention)
    return Readers(packed if is_exact else None, unpacked)


def _is_exact(
    packed: PackedModel,
    sample: _Sample,
    trie: LabelTrie,
    alone: torch.Tensor,
    *,
    dtype: str,
    limit: float,
) -> bool:
    """Whether texts in one row are read as they are ``alone``, and no text changes another."""
    row = packed.logs(sample.prefix, [sample.text, sample.second_text], trie)
    changed = packed.logs(sample.prefix, [sample.other_text, sample.second_text], trie)
    return (
        _distance(row.flatten(0, 1), alone, dtype) < limit
        and _distance(changed[1], row[1], dtype) < limit / 10
    )


def sample_rows(vocabulary: int) -> _Sample:
    """Rows of ordinary tokens, from the middle of a vocabulary with ``vocabulary`` tokens.

    The first tokens of a vocabulary are often control tokens.
    """
    middle = vocabulary // 2
    n_distinct = min(97, vocabulary - middle)
    # An arbitrary sequence, whose period of 97 is longer than all rows together.
    tokens = iter(middle + (7 * i * i + 3 * i) % n_distinct for i in range(sum(_LENGTHS)))
    return _Sample(*([next(tokens) for _ in range(length)] for length in _LENGTHS))


def _difference(logs: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """Absolute difference of log probabilities; 0 where both are minus infinity."""
    return torch.where(logs == others, 0.0, (logs - others).abs())


def _distance(logs: torch.Tensor, others: torch.Tensor, dtype: str) -> float:
    """The largest difference in float32, the median in other dtypes; in nats."""
    difference = _difference(logs, others)
    return float(difference.max() if dtype == "float32" else difference.median())
