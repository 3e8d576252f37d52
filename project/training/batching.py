"""How mini-batches go through a model: packed if that is exact, else padded.

The mini-batch is the same either way. Its loss differs only by rounding, since numbers are added in
another order, and by the random numbers of dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch

from project.config.fields import AUTO
from project.stats.types import Codes
from project.support.errors import AssayError
from project.training.packing import Packed
from project.training.padding import Padded, inner_model
from project.training.precision import autocast, float32_products
from project.training.tokens import Ids

MAX_DIFFERENCE = {"fp32": 1e-4, "tf32": 0.01, "bf16": 0.1, "fp16": 0.05}
"""Largest difference of logits in the exactness check, as a share of their spread."""
# Values are distances from the middle of the vocabulary.
_SAMPLE = (
    [5, 9, 7, 11, 6, 3, 8],
    [8, 12],
    [4, 3, 10, 6, 9],
    [10, 6, 13, 7, 2],
)
"""Three texts, and another one of the third text's length."""


class Batching(Protocol):
    """How a mini-batch goes through a model; ``name`` is ``packed`` or ``padded``."""

    name: str
    model: Any

    def parts(self, lengths: Sequence[int], n: int) -> list[Codes]:
        """Positions of the texts that go through the model together.

        There are at least ``n`` parts where there are as many texts.
        """

    def logits(self, rows: Sequence[Ids]) -> torch.Tensor:
        """Logits ``(n_rows, n_classes)`` in the order of ``rows``."""


def choose_batching(model: Any, requested: str, precision: str) -> Batching:
    """The batching of a model.

    Packing replaces the attention of the model, so that an earlier batching of it must not be used
    any more.

    Parameters
    ----------
    model
        A model for sequence classification.
    requested
        ``packed``, ``padded``, or ``auto``: packed where that is exact.
    precision
        fp32, tf32, bf16 or fp16; the tolerance of the check depends on it.

    Raises
    ------
    AssayError
        If ``requested`` is packed and that is not exact for this model.
    """
    padded = Padded(model)
    layers = _layers(model)
    if requested == "padded":
        return padded
    packed = None if layers is None else _packed_if_exact(padded, layers, precision)
    if packed is not None:
        return packed
    if requested == AUTO:
        return padded
    raise AssayError(
        f"batching=packed is not exact for a model of type {inner_model(model).config.model_type}. "
        "Use batching=auto or batching=padded."
    )


def _packed_if_exact(padded: Padded, layers: Any, precision: str) -> Packed | None:
    """The model packed; None, with the model unchanged, if that is not exact."""
    model = padded.model
    # The check runs in float32 if the weights allow it, where errors show best.
    has_low_precision = any(parameter.dtype != torch.float32 for parameter in model.parameters())
    checked_precision = precision if has_low_precision else "fp32"
    attention = inner_model(model).config._attn_implementation
    try:
        alone = [_logits(padded, [row], checked_precision) for row in sample_texts(model)[:3]]
    except (RuntimeError, ValueError):  # a head may need a token that the sample lacks, as BART's
        return None
    packed = Packed(model, layers)
    if _is_exact(packed, torch.cat(alone), checked_precision):
        return packed
    packed.undo(attention)
    return None


def _is_exact(packed: Packed, alone: torch.Tensor, precision: str) -> bool:
    """Whether packed logits equal those of each text ``alone``, and no text changes another's."""
    first, second, third, other = sample_texts(packed.model)
    try:
        together = _logits(packed, [first, second, third], precision)
        exchanged = _logits(packed, [first, second, other], precision)
    except (  # layers of another kind fail in many ways
        RuntimeError,
        TypeError,
        ValueError,
        AttributeError,
        LookupError,
        NotImplementedError,
    ):
        return False
    # Differences are judged relative to those between texts. A text's logits must stay the same to
    # the bit when another text is exchanged for one of the same length.
    spread = float((alone - alone.mean(0)).abs().max())
    return bool(
        (together - alone).abs().max() <= MAX_DIFFERENCE[precision] * spread
        and torch.equal(together[:2], exchanged[:2])
    )


@torch.no_grad()
def _logits(batching: Batching, rows: Sequence[Ids], precision: str) -> torch.Tensor:
    """Logits of ``rows`` in evaluation; leaves the model's mode as it was."""
    training = batching.model.training
    batching.model.eval()
    try:
        with float32_products(precision), autocast(precision, batching.model.device.type):
            return batching.logits(rows).float()
    finally:
        batching.model.train(training)


def sample_texts(model: Any) -> list[Ids]:
    """Texts of ordinary tokens; control tokens are in the first half of a vocabulary."""
    middle = int(inner_model(model).config.get_text_config().vocab_size) // 2
    return [np.array(row, dtype=np.int32) % middle + middle for row in _SAMPLE]


def _layers(model: Any) -> Any:
    """The list of a transformer's layers, None where none has the length that is configured."""
    inner = inner_model(model)
    n = getattr(inner.config.get_text_config(), "num_hidden_layers", None)
    return next(
        (
            module
            for module in inner.base_model.modules()
            if isinstance(module, torch.nn.ModuleList) and len(module) == n
        ),
        None,
    )
