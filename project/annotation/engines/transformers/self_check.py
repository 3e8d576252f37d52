"""Which way of reading is exact for a model of transformers: tried once on a few short rows of tokens, when it is loaded.

Reading every row by itself is the definition. A model that a way reads wrongly shows it all over the vocabulary, while the rounding
of bfloat16 is now and then large but small in the median; so in the coarse dtypes the median is looked at, beside that by which
another text changes what is read. The gate stands between a deep model that is read rightly in bfloat16 and small ones that are read
wrongly; ``tests/test_plain.py`` measures both sides.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

from project.annotation.engines.label_trie import LabelTrie
from project.annotation.engines.transformers.packed import PackedModel
from project.annotation.engines.transformers.unpacked import PlainModel

_MOST = 1e-3  # nats, float32: rounding moves log probabilities by a tenth of it at most
_SHARE = 0.1  # of the change from one text to another, the other dtypes
_LENGTHS = (24, 9, 9, 23)  # of the prefix and the texts


def settle(model: Any, plain: PlainModel, dtype: str, *, split: bool) -> PackedModel | None:
    """The model over rows of texts, None where that is not exact; sets ``plain.padded``.

    ``dtype``: that of its weights, ``float32``, ``bfloat16`` or ``float16``; ``split``: see :class:`PackedModel`. Raises torch's OutOfMemoryError.
    A text must be read as if it stood alone, and what another text in the row says must not move it. For packing, every layer's
    cache must be plain full attention besides: a window over the last tokens may be longer than what is tried.
    """
    prefix, one, other, behind = _sample(int(model.config.get_text_config().vocab_size))
    trie = LabelTrie([(prefix[0],), (prefix[1], prefix[0]), (prefix[1], prefix[1])], "abc", ())
    rows = [[*prefix, *text, *node.path] for text in (one, behind) for node in trie.nodes]
    alone = torch.cat([plain.logs([row]) for row in rows])
    most = _MOST if dtype == "float32" else _SHARE * _apart(*alone.chunk(2)).median().item()
    plain.padded = _moved(plain.logs(rows), alone, dtype) < most
    if not all(type(layer) is DynamicLayer for layer in DynamicCache(config=model.config).layers):
        return None
    attention = model.config.get_text_config()._attn_implementation
    try:
        packed = PackedModel(model, split=split)
        row, moved = (packed.logs(prefix, [text, behind], trie) for text in (one, other))
        exact = (
            _moved(row.flatten(0, 1), alone, dtype) < most
            and _moved(moved[1], row[1], dtype) < most / 10
        )
    except torch.cuda.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, AttributeError, NotImplementedError):
        exact = False  # a model that takes no such row says so in many ways
    if not exact:
        model.set_attn_implementation(attention)
    return packed if exact else None


def _sample(vocabulary: int) -> list[list[int]]:
    """Rows of ordinary tokens: the first ones of a vocabulary are often control tokens."""
    middle, some = vocabulary // 2, min(97, vocabulary - vocabulary // 2)
    tokens = iter(middle + (7 * place * place + 3 * place) % some for place in range(sum(_LENGTHS)))
    return [[next(tokens) for _ in range(length)] for length in _LENGTHS]


def _apart(logs: torch.Tensor, others: torch.Tensor) -> torch.Tensor:
    """How far log probabilities are from others; 0 where both are minus infinity."""
    return torch.where(logs == others, 0.0, (logs - others).abs())


def _moved(logs: torch.Tensor, others: torch.Tensor, dtype: str) -> float:
    """By how much ``logs`` differ from ``others``, in nats: at most in float32, in the median in the other dtypes."""
    apart = _apart(logs, others)
    return float(apart.max() if dtype == "float32" else apart.median())
