"""Models of several seeds as one: their weights are stacked, and every operation computes all.

A GPU spends most of a small step on starting thousands of operations; stacked, five seeds start as
many as one. The mathematics is that of each model alone, on texts that are padded to one width.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch.func import functional_call, grad_and_value, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from project.support.errors import AssayError
from project.training.batching import MAX_DIFFERENCE, sample_texts
from project.training.device import to_device
from project.training.padding import Padded, inner_model, padded_ids
from project.training.precision import autocast, float32_products
from project.training.targets import latent_loss, loss
from project.training.tokens import Ids

_CANNOT = (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError)
"""What layers raise that cannot be stacked."""
_WIDTHS = {"cpu": 1, "cuda": 16}
"""Texts are padded to a multiple: few shapes let a GPU's libraries choose each operation once."""


class StackedTexts(NamedTuple):
    """Texts of all seeds, equally many of each.

    ``ids`` ``(n_seeds, n_texts, width)``; ``mask`` ``(n_seeds, n_texts, 1, width, width)``, true
    where a token may look.
    """

    ids: torch.Tensor
    mask: torch.Tensor


class StackedModel:
    """The models of several seeds.

    Attributes
    ----------
    parameters
        Weights of all seeds by name, ``(n_seeds, ...)``.
    n_seeds
        Number of seeds.
    """

    def __init__(self, models: Sequence[Any], precision: str, max_length: int) -> None:
        """Stack ``models`` of one architecture, which are not used any more.

        ``max_length``: tokens of the longest text that they can read.

        Raises
        ------
        AssayError
            If the stacked models do not answer as each does alone, or have frozen weights.
        """
        self.n_seeds = len(models)
        self._max_length = max_length
        self._precision = precision
        self._device = models[0].device.type
        kind = inner_model(models[0]).config.model_type
        refusal = AssayError(
            f"batching=stacked is not exact for a model of type {kind}. Use batching=auto, which "
            "trains every seed by itself."
        )
        if not all(value.requires_grad for value in models[0].parameters()):
            raise refusal
        try:
            alone = _logits_alone(models, precision)
        except torch.OutOfMemoryError:
            raise
        except _CANNOT as error:  # a head may need a token that the sample lacks
            raise refusal from error
        stacked, self._buffers = stack_module_state(list(models))
        self.parameters = {name: torch.nn.Parameter(value) for name, value in stacked.items()}
        self._skeleton = copy.deepcopy(models[0]).to("meta")
        self._check(alone, refusal)

    def gradients(
        self,
        texts: StackedTexts,
        targets: torch.Tensor,
        weights: torch.Tensor,
        *,
        latent: bool = False,
    ) -> torch.Tensor:
        """Add the gradients of the summed losses to those of the parameters.

        Parameters
        ----------
        texts
            Texts of every seed.
        targets, weights
            Target distributions ``(n_seeds, n_texts, n_classes)``, and weights
            ``(n_seeds, n_texts)``.
        latent
            Whether the targets are P(label | class).

        Returns
        -------
        torch.Tensor
            The loss of every seed, summed over its texts, ``(n_seeds,)``.
        """
        self._skeleton.train()
        loss_of = latent_loss if latent else loss

        def one(
            parameters: Any, buffers: Any, texts: Any, targets: Any, weights: Any
        ) -> torch.Tensor:
            return loss_of(self._one_logits(parameters, buffers, texts), targets, weights)

        values = {name: value.detach() for name, value in self.parameters.items()}
        # Every seed has random numbers of its own for its dropout.
        of_all = vmap(grad_and_value(one), randomness="different")
        # Around the gradients, too: a backward pass in vmap has the types of its own context.
        with self._arithmetic():
            found, losses = of_all(values, self._buffers, texts, targets, weights)
        for name, value in self.parameters.items():
            value.grad = found[name] if value.grad is None else value.grad + found[name]
        return torch.as_tensor(losses).detach()

    def texts(self, rows: Sequence[Sequence[Ids]]) -> StackedTexts:
        """The token ids of every seed's texts, padded to one width."""
        flat = [row for of_seed in rows for row in of_seed]
        shape = (self.n_seeds, len(rows[0]), -1)
        ids, is_token = (
            to_device(array, self._device).reshape(shape)
            for array in padded_ids(flat, self._skeleton, self._width(flat))
        )
        mask = is_token.bool()[:, :, None, None, :].expand(-1, -1, 1, ids.shape[-1], -1)
        return StackedTexts(ids, mask)

    def _width(self, rows: Sequence[Ids]) -> int:
        """To what texts are padded: a multiple of some tokens, but no more than can be read."""
        longest = max(map(len, rows))
        rounded = -(-longest // _WIDTHS[self._device]) * _WIDTHS[self._device]
        return max(longest, min(rounded, self._max_length))

    def clip(self, max_norm: float) -> None:
        """Clip every seed's gradient to a norm, as ``clip_grad_norm_`` does for one model."""
        gradients = [value.grad for value in self.parameters.values() if value.grad is not None]
        squares = [gradient.reshape(self.n_seeds, -1).square().sum(1) for gradient in gradients]
        norms = torch.stack(squares).sum(0).sqrt()
        factors = (max_norm / (norms + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(factors.reshape(-1, *(1,) * (gradient.ndim - 1)))

    @contextlib.contextmanager
    def _arithmetic(self) -> Iterator[None]:
        """The precision, and the attention that can be stacked."""
        with autocast(self._precision, self._device), contextlib.ExitStack() as stack:
            if self._device == "cpu":  # whose fused attention computes seed by seed
                stack.enter_context(sdpa_kernel(SDPBackend.MATH))
            yield

    def _one_logits(self, parameters: Any, buffers: Any, texts: Any) -> torch.Tensor:
        """Logits of one seed, inside of ``vmap``."""
        named = {"input_ids": texts[0], "attention_mask": texts[1]}
        answer = functional_call(self._skeleton, (parameters, buffers), (), named)
        logits: torch.Tensor = answer.logits
        return logits

    def _check(self, alone: torch.Tensor, refusal: AssayError) -> None:
        """Refuse an architecture whose stacked models answer otherwise than each ``alone``."""
        self._skeleton.eval()
        rows = sample_texts(self._skeleton)
        values = {name: value.detach() for name, value in self.parameters.items()}
        try:
            with torch.no_grad(), float32_products(self._precision), self._arithmetic():
                texts = self.texts([rows] * self.n_seeds)
                together = vmap(self._one_logits, randomness="different")(
                    values, self._buffers, texts
                ).float()
        except torch.OutOfMemoryError:
            raise
        except _CANNOT as error:
            raise refusal from error
        spread = float((alone - alone.mean(1, keepdim=True)).abs().max())
        if not float((together - alone).abs().max()) <= MAX_DIFFERENCE[self._precision] * spread:
            raise refusal


@torch.no_grad()
def copy_weights(stacked: Mapping[str, torch.Tensor], place: int, model: Any) -> None:
    """Set the weights of ``model`` to those of the seed at ``place`` of stacked weights."""
    for name, value in model.named_parameters():
        value.copy_(stacked[name][place])


@torch.no_grad()
def _logits_alone(models: Sequence[Any], precision: str) -> torch.Tensor:
    """Logits of the sample texts by each model, ``(n_models, n_texts, n_classes)``."""
    answers = []
    for model in models:
        model.eval()
        with float32_products(precision), autocast(precision, model.device.type):
            answers.append(Padded(model).logits(sample_texts(model)).float())
    return torch.stack(answers)
