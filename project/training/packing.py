"""How the texts of a mini-batch go through a model: packed, without padding, or padded in parts of like length.

Packed, a model's embeddings and head read rows with padding as always, but what costs, its layers, reads the texts one behind the other
in one row of real tokens, and attention takes every text by itself. So positions and heads need no knowledge of the architecture;
the layers must hand what they do not know on to an attention that can be replaced. Whether that is exact is tried once on every model.
The mini-batch is the same either way, and so is its loss but for the order of additions (and the random numbers of dropout).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from project.config.fields import AUTO
from project.stats.types import Codes
from project.support.errors import AssayError
from project.support.models import quiet_transformers
from project.training.encoder import arithmetic
from project.training.packed_batch import ATTENTION, PackedBatch
from project.training.tokens import Ids

_EXACT = {
    "fp32": 1e-4,
    "bf16": 0.1,
    "fp16": 0.05,
}  # most that logits may differ in the check at loading, as a share of their spread
_SAMPLE = (
    [5, 9, 7, 11, 6, 3, 8],
    [8, 12],
    [4, 3, 10, 6, 9],
    [10, 6, 13, 7, 2],
)  # two texts, a third, and another of the third's length
_AT_THE_FRONT = ("xlnet",)  # its head reads the last position
_CALL_TOKENS = {
    "cpu": 64,
    "cuda": 1_000_000,
}  # what one more pass through the model costs, in tokens; a GPU has time for padding


class Batching(Protocol):
    """How a mini-batch goes through a model. ``name`` is ``packed`` or ``padded``."""

    name: str
    model: Any

    def parts(self, lengths: Sequence[int], n: int) -> list[Codes]:
        """Positions of the texts that go through the model together; at least ``n`` parts where there are as many texts."""

    def logits(self, rows: Sequence[Ids]) -> torch.Tensor:
        """Logits ``(n_rows, n_classes)`` in the order of ``rows``."""


def batching(model: Any, asked: str, precision: str) -> Batching:
    """``asked`` settled for ``model``: ``auto`` is ``packed`` where that is exact. A model belongs to the batching that was made for it last."""
    padded = Padded(model)
    layers = _layers(model)
    if asked == "padded" or layers is None:
        return padded if asked != "packed" else _refuse(model)
    mixed = (
        precision
        if any(parameter.dtype != torch.float32 for parameter in model.parameters())
        else "fp32"
    )
    usual = _transformer(model).config._attn_implementation
    try:
        plain = torch.cat([_answers(padded, [row], mixed) for row in _sample(model)[:3]])
    except (
        RuntimeError,
        ValueError,
    ):  # a head that wants a token which the sample lacks, as BART's does
        return padded if asked == AUTO else _refuse(model)
    packed = Packed(model, layers)
    if _exact(packed, plain, mixed):
        return packed
    packed.undo(usual)
    return padded if asked == AUTO else _refuse(model)


def _refuse(model: Any) -> Any:
    kind = _transformer(model).config.model_type
    raise AssayError(
        f"batching=packed is not exact for a model of type {kind}. Use batching=auto or batching=padded."
    )


def _exact(packed: Packed, plain: torch.Tensor, precision: str) -> bool:
    """Whether packed logits are the ``plain`` ones of each text alone, and what one text says does not move another."""
    one, two, three, other = _sample(packed.model)
    try:
        given, moved = (_answers(packed, [one, two, last], precision) for last in (three, other))
    except (
        RuntimeError,
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        NotImplementedError,
    ):  # layers that are not of this kind say so in many ways
        return False
    spread = float((plain - plain.mean(0)).abs().max())
    return bool(
        (given - plain).abs().max() <= _EXACT[precision] * spread
        and torch.equal(given[:2], moved[:2])
    )


@torch.no_grad()
def _answers(how: Batching, rows: Sequence[Ids], precision: str) -> torch.Tensor:
    """Logits of ``rows`` as evaluation reads them; leaves the model as it was."""
    training = how.model.training
    how.model.eval()
    try:
        with arithmetic(precision, how.model.device.type):
            return how.logits(rows).float()
    finally:
        how.model.train(training)


def _sample(model: Any) -> list[Ids]:
    middle = (
        int(_transformer(model).config.get_text_config().vocab_size) // 2
    )  # ordinary tokens: the first ones are often control tokens
    return [np.array(row, dtype=np.int32) % middle + middle for row in _SAMPLE]


class Padded:
    """Rows padded to the longest one among them."""

    name = "padded"

    def __init__(self, model: Any) -> None:
        """``model``: any for sequence classification."""
        self.model = model

    def parts(self, lengths: Sequence[int], n: int) -> list[Codes]:
        """See :class:`Batching`: texts of like length, so that few tokens are padding."""
        call = _CALL_TOKENS[self.model.device.type]
        return [part for piece in _pieces(lengths, n) for part in _alike(piece, lengths, call)]

    def logits(self, rows: Sequence[Ids]) -> torch.Tensor:
        """See :class:`Batching`."""
        logits: torch.Tensor = self.model(**_padded(rows, self.model)).logits
        return logits


class Packed:
    """Rows one behind the other in the model's ``layers``, see the module's docstring."""

    name = "packed"

    def __init__(self, model: Any, layers: Any) -> None:
        """Take over the attention of ``model`` and what goes in and out of its ``layers``, until :meth:`undo`."""
        self.model, self._places = model, PackedBatch.of([1], torch.device("cpu"))
        self._hooks = [
            layer.register_forward_pre_hook(
                self._enter if layer is layers[0] else self._go_on, with_kwargs=True
            )
            for layer in layers
        ]
        self._hooks.append(layers[-1].register_forward_hook(self._leave))
        _set_attention(model, ATTENTION)

    def undo(self, attention: str) -> None:
        """Leave the model as it was, with its own ``attention``."""
        for hook in self._hooks:
            hook.remove()
        _set_attention(self.model, attention)

    def parts(self, lengths: Sequence[int], n: int) -> list[Codes]:
        """See :class:`Batching`."""
        return _pieces(lengths, n)

    def logits(self, rows: Sequence[Ids]) -> torch.Tensor:
        """See :class:`Batching`."""
        self._places = PackedBatch.of([len(row) for row in rows], self.model.device)
        logits: torch.Tensor = self.model(**_padded(rows, self.model)).logits
        return logits

    def _enter(self, module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        return self._pack(given), self._go_on(module, given, named)[1]

    def _go_on(self, module: Any, given: tuple[Any, ...], named: dict[str, Any]) -> Any:
        del module
        return given, {
            **{name: self._pack(value) for name, value in named.items()},
            "places": self._places,
        }

    def _leave(self, module: Any, given: Any, output: Any) -> Any:
        del module, given
        return self._places.unpack(output)

    def _pack(self, value: Any) -> Any:
        """Pack what has a value for every token of the padded rows; rotary positions do, for one row or for all."""
        if isinstance(value, tuple):
            return tuple(self._pack(one) for one in value)
        if (
            torch.is_tensor(value)
            and value.ndim > 1
            and value.shape[1] == self._places.width
            and value.shape[0] in (1, len(self._places.lengths))
        ):
            return self._places.pack(value)
        return value


def _padded(rows: Sequence[Ids], model: Any) -> dict[str, torch.Tensor]:
    """``input_ids`` and ``attention_mask`` ``(n_rows, width)``, padded on the side that the model's head does not read."""
    width = max(len(row) for row in rows)
    config = _transformer(model).config
    ids = np.full((len(rows), width), config.pad_token_id or 0, dtype=np.int64)
    mask = np.zeros_like(ids)
    for index, row in enumerate(rows):
        place = (
            slice(width - len(row), width)
            if config.model_type in _AT_THE_FRONT
            else slice(len(row))
        )
        ids[index, place], mask[index, place] = row, 1
    return {
        "input_ids": torch.from_numpy(ids).to(model.device),
        "attention_mask": torch.from_numpy(mask).to(model.device),
    }


def _pieces(lengths: Sequence[int], n: int) -> list[Codes]:
    """Positions ``0, 1, ...`` in ``n`` pieces of about equally many texts."""
    return [piece for piece in np.array_split(np.arange(len(lengths)), n) if len(piece)]


def _alike(piece: Codes, lengths: Sequence[int], call: int) -> list[Codes]:
    """``piece`` sorted by length and cut where padded tokens, and ``call`` tokens for every part, are fewest in all."""
    order = sorted(piece, key=lambda index: lengths[index])
    best: list[tuple[int, int]] = [
        (0, 0)
    ]  # for the first 0, 1, ... texts: the fewest tokens, and where their last part begins
    for end in range(1, len(order) + 1):
        longest = lengths[order[end - 1]]
        best.append(
            min((best[start][0] + (end - start) * longest + call, start) for start in range(end))
        )
    parts, end = [], len(order)
    while end:
        parts.append(np.array(order[best[end][1] : end]))
        end = best[end][1]
    return parts[::-1]


def _transformer(model: Any) -> Any:
    """The model of transformers itself, out of the wrapper of LoRA if there is one."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _set_attention(model: Any, name: str) -> None:
    with (
        quiet_transformers()
    ):  # a model whose attention cannot be replaced says so; the check finds out
        _transformer(model).set_attn_implementation(name)


def _layers(model: Any) -> Any:
    """The list of a transformer's layers, or None where there is none of the stated length."""
    inner = _transformer(model)
    n = getattr(inner.config.get_text_config(), "num_hidden_layers", None)
    return next(
        (
            part
            for part in inner.base_model.modules()
            if isinstance(part, torch.nn.ModuleList) and len(part) == n
        ),
        None,
    )
