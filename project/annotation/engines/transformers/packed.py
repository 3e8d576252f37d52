"""A decoder of transformers over many texts in one row: each behind the same prefix, none sees another, the linear layers without padding.

The prefix's keys and values are computed once. Attention is the one place where the texts of a row must be kept apart. On a CPU
it is computed in two parts that are merged exactly by their log-sum-exps (as in Dao et al., 2022, *FlashAttention*, section
3.1): all tokens over the prefix, where nothing is masked, and every text over itself, padded to the longest of its row. A mask
over the whole row, which a GPU gets, costs torch's CPU kernels more than twice the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from project.annotation.engines.label_trie import LabelTrie

Layer = tuple[torch.Tensor, torch.Tensor]
"""Keys and values ``(1, n_key_value_heads, n_tokens, head_size)`` of a layer."""
Attend = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, Layer | None, float | None], torch.Tensor
]
"""Queries ``(1, n_heads, n_tokens, head_size)``, keys, values, the prefix's layer, the scale -> ``(1, n_heads, n_tokens, head_size)``."""

_NAME = "packed_row"
_BEYOND = (
    "softcap",
    "sliding_window",
    "s_aux",
    "position_bias",
)  # what some models' attention wants on top, and is not done here
_flash: Any = (
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
)  # unlike the public function it returns the log-sum-exp


class PackedModel:
    """``model`` with its attention replaced; whether its answers are still its own is for the caller to check."""

    def __init__(self, model: Any, *, split: bool) -> None:
        """``split``: attention in two parts, on a CPU alone; else behind a mask over the whole row."""
        self._model, self._device, self._attend = model, model.device, _Split if split else _Masked
        self._prefix: tuple[tuple[int, ...], dict[int, Layer]] = ((), {})
        model.set_attn_implementation(_NAME)
        if model.config.get_text_config()._attn_implementation != _NAME:
            raise NotImplementedError(f"{type(model).__name__} has an attention of its own")

    @torch.inference_mode()
    def logs(
        self, prefix: Sequence[int], suffixes: Sequence[Sequence[int]], trie: LabelTrie
    ) -> torch.Tensor:
        """Natural log probabilities over the vocabulary behind every text and inner node of the trie, ``(n, n_nodes, vocabulary)``."""
        inner, start = trie.nodes[1:], len(prefix)
        if prefix and self._prefix[0] != tuple(prefix):
            layers: dict[int, Layer] = {}
            self._run([prefix], (), 0, layers, keep=True, places=torch.tensor([start - 1]))
            self._prefix = (tuple(prefix), layers)
        ends = (
            torch.tensor([len(suffix) + len(inner) for suffix in suffixes]).cumsum(0)
            - len(inner)
            - 1
        )
        places = (ends[:, None] + torch.arange(len(inner) + 1)).flatten()
        paths = [node.path for node in inner]
        logits = self._run(
            suffixes, paths, start, self._prefix[1] if prefix else {}, keep=False, places=places
        )
        return logits.float().log_softmax(-1).reshape(len(suffixes), len(trie.nodes), -1)

    def _run(
        self,
        texts: Sequence[Sequence[int]],
        paths: Sequence[Sequence[int]],
        start: int,
        layers: dict[int, Layer],
        *,
        keep: bool,
        places: torch.Tensor,
    ) -> torch.Tensor:
        """Logits at ``places`` of the row of ``texts``, ``start`` tokens behind the prefix's begin, the trie's inner nodes behind each."""
        depths = torch.tensor([len(path) - 1 for path in paths], dtype=torch.long)
        ids = [token for text in texts for token in (*text, *(path[-1] for path in paths))]
        positions = (
            torch.cat([torch.cat([torch.arange(len(text)), len(text) + depths]) for text in texts])
            + start
        )
        attend = self._attend(
            [len(text) + len(paths) for text in texts],
            _sees(paths),
            start,
            self._device,
            self._model.dtype,
        )
        with _reading(attend, layers, keep=keep):
            output = self._model(
                input_ids=torch.tensor([ids], device=self._device),
                position_ids=positions[None].to(self._device),
                use_cache=False,
                # a mask with four dimensions is taken as it is; the attention below does not look at it
                attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self._device),
                logits_to_keep=places.to(self._device),
            )
        logits: torch.Tensor = output.logits[0]
        return logits


def _sees(paths: Sequence[Sequence[int]]) -> torch.Tensor:
    """Which inner node of the trie sees which, ``(n_inner, n_inner)``: its ancestors and itself."""
    return torch.tensor(
        [[tuple(path[: len(other)]) == tuple(other) for other in paths] for path in paths],
        dtype=torch.bool,
    ).reshape(len(paths), len(paths))


class _Masked:
    """Attention of a row behind one mask over the prefix and the row."""

    def __init__(
        self,
        sizes: Sequence[int],
        sees: torch.Tensor,
        start: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        del dtype
        segment = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
        mask = (segment[:, None] == segment[None]).tril_()
        if len(sees):
            for end in torch.tensor(sizes).cumsum(0).tolist():
                mask[end - len(sees) : end, end - len(sees) : end] = sees
        self._mask = torch.cat([torch.ones(len(segment), start, dtype=torch.bool), mask], dim=1)[
            None, None
        ].to(device)

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        prefix: Layer | None,
        scale: float | None,
    ) -> torch.Tensor:
        if prefix is not None:
            key, value = torch.cat([prefix[0], key], dim=2), torch.cat([prefix[1], value], dim=2)
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        return torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=self._mask, scale=scale
        )


class _Split:
    """Attention of a row in two parts, merged: over the prefix, and of every text over itself."""

    def __init__(
        self,
        sizes: Sequence[int],
        sees: torch.Tensor,
        start: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        del start
        lengths, width = torch.tensor(sizes, device=device), max(sizes)
        inside = torch.arange(width, device=device)[None] < lengths[:, None]
        self._shape = (len(sizes), width)
        self._back = inside.flatten().nonzero()[
            :, 0
        ]  # (n_tokens,): where in the padded rows each token stands
        self._places = torch.zeros(
            len(sizes) * width, dtype=torch.long, device=device
        )  # and the other way round; padding repeats the first token
        self._places[self._back] = torch.arange(len(self._back), device=device)
        self._bias: torch.Tensor | None = None
        if len(sees):
            mask = torch.ones(len(sizes), width, width, dtype=torch.bool).tril_()
            for row, end in zip(mask, sizes, strict=True):
                row[end - len(sees) : end, end - len(sees) : end] = sees
            self._bias = (
                torch.zeros(mask.shape, dtype=dtype)
                .masked_fill_(~mask, -torch.inf)[:, None]
                .to(device)
            )

    def __call__(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        prefix: Layer | None,
        scale: float | None,
    ) -> torch.Tensor:
        heads, size = query.shape[1], query.shape[3]
        groups = heads // key.shape[1]
        q, k, v = (self._padded(part) for part in (query, key, value))
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        own, log_own = _flash(
            q, k, v, is_causal=self._bias is None, attn_mask=self._bias, scale=scale
        )
        own = own.transpose(0, 1).reshape(heads, -1, size)[:, self._back]
        if prefix is None:
            return own[None]
        # heads that share keys are so many more queries of the same keys
        over, log_over = _flash(query.reshape(1, heads // groups, -1, size), *prefix, scale=scale)
        log_own = log_own.transpose(0, 1).reshape(heads, -1)[:, self._back]
        weight = torch.sigmoid(log_over.reshape(heads, -1) - log_own)[..., None].to(own.dtype)
        return torch.lerp(own, over.reshape(heads, -1, size), weight)[None]

    def _padded(self, part: torch.Tensor) -> torch.Tensor:
        """``(1, n_heads, n_tokens, size)`` -> ``(n_texts, n_heads, width, size)``."""
        return part[0, :, self._places].unflatten(1, self._shape).transpose(0, 1)


_READING: ContextVar[tuple[Attend, dict[int, Layer], bool] | None] = ContextVar(
    "reading", default=None
)


@contextlib.contextmanager
def _reading(attend: Attend, layers: dict[int, Layer], *, keep: bool) -> Iterator[None]:
    """While inside, the attention is ``attend`` behind the prefix of ``layers``; ``keep``: its keys and values are put there instead."""
    token = _READING.set((attend, layers, keep))
    try:
        yield
    finally:
        _READING.reset(token)


def _attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    **others: Any,
) -> tuple[torch.Tensor, None]:
    """An attention function of transformers: ``(1, n_tokens, n_heads, head_size)``, as its models want it."""
    reading = _READING.get()
    if reading is None:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **others
        )
    if any(others.get(name) is not None for name in _BEYOND):
        raise NotImplementedError(f"attention with {', '.join(_BEYOND)}")
    attend, layers, keep = reading
    if keep:
        layers[module.layer_idx] = (key.contiguous(), value.contiguous())
    out = attend(query, key, value, None if keep else layers.get(module.layer_idx), scaling)
    return out.transpose(1, 2), None


AttentionInterface.register(_NAME, _attention)
AttentionMaskInterface.register(_NAME, sdpa_mask)


class _Prepacked(torch.nn.Module):
    """A linear layer whose weights lie as oneDNN multiplies them: in float32 1.1 to 1.4 times as fast, a head over few rows four times."""

    def __init__(self, layer: torch.nn.Linear, rows: int) -> None:
        super().__init__()
        self._packed, self.bias = (
            torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows),
            layer.bias,
        )
        self.in_features, self.out_features = layer.in_features, layer.out_features

    @property
    def weight(self) -> torch.Tensor:
        """The weights as ``torch.nn.Linear`` holds them, made anew: some models look at the layer's dtype or multiply with them themselves."""
        dense: torch.Tensor = self._packed.to_dense()
        return dense

    def forward(self, row: torch.Tensor) -> torch.Tensor:
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            row, self._packed, self.bias, "none", [], ""
        )
        return product


def prepack(model: Any, rows: int) -> None:
    """Replace the linear layers of ``model``, on a CPU, in place; ``rows``: tokens in a pass, as a hint.

    A head that shares its weights with the embedding is a second copy of them from here on.
    """
    fits = torch.backends.mkldnn.is_available() and (
        model.dtype == torch.float32
        or (model.dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
    )
    if model.device.type != "cpu" or not fits:
        return
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if type(layer) is torch.nn.Linear:
                setattr(parent, name, _Prepacked(layer, rows))
