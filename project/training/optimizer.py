"""AdamW as BERT is fine-tuned with it."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from project.config.finetune import FinetuneConfig


def build_optimizer(
    parameters: Iterable[torch.nn.Parameter], config: FinetuneConfig, *, stacked: bool = False
) -> torch.optim.Optimizer:
    """AdamW; biases and normalisation weights, the parameters with one axis, do not decay.

    ``stacked``: the parameters have one more axis, that of the seeds.
    """
    trainable = list(parameters)
    matrices = [parameter for parameter in trainable if parameter.ndim > 1 + stacked]
    vectors = [parameter for parameter in trainable if parameter.ndim <= 1 + stacked]
    return torch.optim.AdamW(
        [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ],
        lr=float(config.learning_rate or 0),
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )
