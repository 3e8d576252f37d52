"""A model's class probabilities of texts, and the predictions table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd
import torch

from project.data.tables import with_class_columns
from project.stats.types import Codes, Floats
from project.support.errors import AssayError
from project.training.batching import Batching
from project.training.precision import autocast, float32_products
from project.training.tokens import Ids


class HasTokens(Protocol):
    """Token ids of texts, as :class:`project.training.tokens.Tokens` has them."""

    def lengths(self, indices: Codes) -> Codes:
        """The number of ids of each text at ``indices``, ``(n,)``."""

    def rows(self, indices: Codes) -> list[Ids]:
        """The ids of the texts at ``indices``."""


def predict(
    batching: Batching,
    tokens: HasTokens,
    indices: Codes,
    *,
    precision: str,
    batch_size: int,
    of_several_labels: bool = False,
) -> Floats:
    """Natural log probabilities of texts, ``(n, n_classes)``, in the order of ``indices``.

    Of a model for several labels, the log odds of each label, ``(n, n_labels)``.

    Parameters
    ----------
    batching
        The model, packed or padded.
    tokens
        Tokens of all texts.
    indices
        Indices of the texts to predict, ``(n,)``.
    precision
        fp32, tf32, bf16 or fp16.
    batch_size
        Texts of similar length that go through the model together.
    of_several_labels
        Whether each output of the model answers a question of its own, yes or no.

    Raises
    ------
    AssayError
        If a probability is not a number.
    """
    batching.model.eval()
    order = np.argsort(tokens.lengths(indices), kind="stable")
    parts: list[torch.Tensor] = []
    with torch.inference_mode(), float32_products(precision):
        for start in range(0, len(order), batch_size):
            with autocast(precision, batching.model.device.type):
                logits = batching.logits(tokens.rows(indices[order[start : start + batch_size]]))
            exact = logits.double()
            parts.append(exact if of_several_labels else exact.log_softmax(-1))
    result: Floats = torch.cat(parts).cpu().numpy()
    if not np.isfinite(result).all():
        raise AssayError("training diverged: predictions are not numbers. Lower learning_rate.")
    return result[np.argsort(order)]


def predictions_table(
    example_ids: Sequence[str], log_probabilities: Floats, label_set: Sequence[str]
) -> pd.DataFrame:
    """The predictions table; the label is the argmax (ties: the first class).

    Parameters
    ----------
    example_ids
        Ids of the predicted texts, ``(n,)``.
    log_probabilities
        Natural log probabilities ``(n, n_classes)``.
    label_set
        All labels, in the task's order.
    """
    labels = np.array(list(label_set), dtype=object)[log_probabilities.argmax(axis=1)]
    table = pd.DataFrame({"example_id": list(example_ids), "label": labels})
    return with_class_columns(table, log_probabilities, label_set)
