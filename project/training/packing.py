"""Mini-batches without padding: the layers read the texts one after another in one row.

The embeddings and the head of the model still read padded rows, so that this code need not know how
an architecture computes them. Only the layers, which cost most, read the packed row, and the
attention keeps the texts apart. This works for layers that pass unknown arguments on to an
attention that can be replaced; :func:`project.training.batching.choose_batching` checks that it is
exact.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import torch

from project.stats.types import Codes
from project.support.models import quiet_transformers
from project.training.packed_batch import ATTENTION, PackedBatch
from project.training.padding import inner_model, pad_rows, split_evenly
from project.training.tokens import Ids


class Packed:
    """A model whose layers read texts without padding.

    It is a :class:`project.training.batching.Batching`.
    """

    name = "packed"

    def __init__(self, model: Any, layers: Any) -> None:
        """Replace the attention of ``model`` and hook its ``layers``, until :meth:`undo`."""
        self.model = model
        # By thread: several threads may predict with one model.
        self._batches: dict[int, PackedBatch] = {}
        self._hooks = [
            layer.register_forward_pre_hook(
                self._enter if layer is layers[0] else self._continue, with_kwargs=True
            )
            for layer in layers
        ]
        self._hooks.append(layers[-1].register_forward_hook(self._leave))
        _set_attention(model, ATTENTION)

    @property
    def _batch(self) -> PackedBatch:
        """The batch that goes through the model in this thread."""
        return self._batches[threading.get_ident()]

    def undo(self, attention: str) -> None:
        """Remove the hooks and set the model's own ``attention`` again."""
        for hook in self._hooks:
            hook.remove()
        _set_attention(self.model, attention)

    def parts(self, lengths: Sequence[int], n: int) -> list[Codes]:
        """Parts of equally many texts; lengths do not matter without padding."""
        return split_evenly(lengths, n)

    def logits(self, rows: Sequence[Ids]) -> torch.Tensor:
        """Logits ``(n_rows, n_classes)`` in the order of ``rows``."""
        self._batches[threading.get_ident()] = PackedBatch.of(
            [len(row) for row in rows], self.model.device
        )
        logits: torch.Tensor = self.model(**pad_rows(rows, self.model)).logits
        return logits

    def _enter(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Before the first layer: pack its inputs."""
        return self._pack(args), self._continue(module, args, kwargs)[1]

    def _continue(self, module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Before the other layers, whose hidden states are packed already."""
        del module
        packed = {name: self._pack(value) for name, value in kwargs.items()}
        return args, {**packed, "packed_batch": self._batch}

    def _leave(self, module: Any, args: Any, output: Any) -> Any:
        """After the last layer: unpack its output."""
        del module, args
        return self._batch.unpack(output)

    def _pack(self, value: Any) -> Any:
        """``value``, packed if it has an entry for every token of the padded rows.

        Rotary positions have one for every token of one row, or of all rows.
        """
        if isinstance(value, tuple):
            return tuple(self._pack(element) for element in value)
        if (
            torch.is_tensor(value)
            and value.ndim > 1
            and value.shape[1] == self._batch.width
            and value.shape[0] in (1, len(self._batch.lengths))
        ):
            return self._batch.pack(value)
        return value


def _set_attention(model: Any, name: str) -> None:
    """Set the attention of a model; the warning of a model that has none to replace is hidden."""
    with quiet_transformers():  # the exactness check finds such models
        inner_model(model).set_attn_implementation(name)
