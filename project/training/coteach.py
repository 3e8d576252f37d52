"""Two networks that teach each other the texts of small loss: co-teaching.

Han et al. (2018), Co-teaching: Robust Training of Deep Neural Networks with Extremely Noisy Labels,
NeurIPS, algorithm 1. Networks fit right labels before wrong ones. In every mini-batch each network
names the texts whose loss is smallest for it, and the other one learns from these. The two have
other first weights and other dropout, the same order of texts, and one checkpoint. Every seed has a
peer of its own, which is thrown away, so that seeds stay independent; that is twice the work.

Unlike the paper, texts are compared with those that have the same label. An LLM's labels often lean
to one class; texts with the other labels then have the larger losses at first, are left out
together, and the networks learn the one class alone (EXPERIMENTS.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from project.config.finetune import LINEAR, STACKED, FinetuneConfig
from project.stats.types import Codes
from project.support.errors import AssayError
from project.training.batching import Batching, choose_batching
from project.training.checkpoint import Checkpoint, TrainingState
from project.training.device import to_device
from project.training.encoder import Encoder
from project.training.history import Evaluation, Underway
from project.training.inputs import TrainingInputs
from project.training.loop import TrainedModel, TrainingRun
from project.training.optimizer import build_optimizer
from project.training.precision import autocast, float32_products
from project.training.targets import text_losses
from project.training.text_order import TextOrder

RAMP = 1 / 3
"""Share of the steps after which all of the noise is left out: one epoch of three. In the paper it
is 10 of 200, of networks that start from nothing."""
PEER = "peer."


def check_pair(config: FinetuneConfig) -> None:
    """Raise AssayError for a recipe with which two networks cannot be trained as one seed."""
    wrong = {
        "encoder must be one that is fine-tuned": config.encoder == LINEAR,
        "batching must not be stacked": config.batching == STACKED,
        "gradient_accumulation must be 1": config.gradient_accumulation != 1,
    }
    for rule, is_broken in wrong.items():
        if is_broken:
            raise AssayError(
                f"{rule} with the arm coteach, whose two networks choose texts of whole "
                "mini-batches. Change it, or leave coteach out of arms."
            )


def train_pair(
    encoder: Encoder,
    config: FinetuneConfig,
    inputs: TrainingInputs,
    *,
    seed: int,
    checkpoint: Checkpoint,
    after_evaluation: Callable[[Evaluation], None],
    underway: Callable[[Underway], None] = lambda _: None,
) -> TrainedModel:
    """Fine-tune an encoder beside a peer; returns the model at its best evaluation.

    The training loss is that of all texts, left out or not.

    Parameters
    ----------
    encoder, config, inputs, checkpoint, after_evaluation, underway
        See :func:`project.training.loop.train`; ``inputs.noise`` is the share to leave out. The
        checkpoint is that of both networks.
    seed
        The first weights are those that the seed has alone.

    Raises
    ------
    AssayError
        If the loss of either network is not a number, or the recipe does not allow a pair.
    """
    check_pair(config)
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        order = TextOrder(seed)
        run = _PairRun(encoder, config, inputs, order=order, checkpoint=checkpoint, seed=seed)
        run.underway = underway
        with float32_products(encoder.precision):
            return run.run(after_evaluation)


def kept_counts(sizes: Codes, noise: float) -> Codes:
    """How many texts of each mini-batch are learned from ``(n_steps,)``, at least one.

    Their share falls from 1 to 1 - ``noise`` over the first :data:`RAMP` of the steps, and stays
    there. Rounding is carried on, so that it is met over the steps.

    Parameters
    ----------
    sizes
        Texts of each mini-batch ``(n_steps,)``.
    noise
        Share of wrong labels, in [0, 1).
    """
    n_rising = max(1, round(RAMP * len(sizes)))
    shares = 1 - noise * np.minimum(np.arange(len(sizes)) / n_rising, 1)
    whole = np.floor(np.cumsum(shares * sizes) + 1e-9)  # a sum may round to below a whole number
    return np.maximum(np.diff(whole, prepend=0), 1).astype(np.int64)


def easiest(losses: torch.Tensor, labels: torch.Tensor, n_kept: int) -> torch.Tensor:
    """The texts of smallest loss among those with their label: their indices ``(n_kept,)``.

    About the same share of each label is named. Between texts that are as easy for their label the
    loss decides: with more labels than a mini-batch has texts, it decides alone, as in the paper.

    Parameters
    ----------
    losses
        Of the texts of a mini-batch ``(n,)``.
    labels
        Their class codes ``(n,)``.
    n_kept
        How many to name, at most ``n``.
    """
    by_loss = losses.argsort(stable=True)
    same = labels[by_loss, None] == labels[by_loss]
    ranks = same.tril(-1).sum(dim=1)  # texts of the same label with smaller losses
    return by_loss[((ranks + 0.5) / same.sum(dim=1)).argsort(stable=True)[:n_kept]]


class _PairRun(TrainingRun):
    """The training of a network and its peer in progress."""

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        inputs: TrainingInputs,
        *,
        order: TextOrder,
        checkpoint: Checkpoint,
        seed: int,
    ) -> None:
        super().__init__(encoder, config, inputs, order=order, checkpoint=checkpoint)
        self._own = dict(self._state.parameters)
        torch.manual_seed(int(np.random.default_rng([seed, 1]).integers(2**62)))
        peer = encoder.model(inputs.n_classes, config).to(self._device)
        self._peer_batching = choose_batching(peer, config.batching, encoder.precision)
        peer.train()
        self._peer = {name: value for name, value in peer.named_parameters() if value.requires_grad}
        both = {**self._own, **{PEER + name: value for name, value in self._peer.items()}}
        # AdamW treats every number by itself, so that one optimizer serves both.
        optimizer = build_optimizer(both.values(), config)
        self._state = TrainingState(both, optimizer, self._state.scaler, order)
        n, size = len(self._phase.indices), config.train_batch_size
        schedule = self._phase.schedule
        of_epoch = np.diff(np.append(np.arange(0, n, size), n))
        self._kept = kept_counts(np.resize(of_epoch, schedule.n_steps), inputs.noise)

    def _add_gradients(self, step: int, batch: Codes) -> torch.Tensor:
        """Add those of the texts that the other network names to each of the two."""
        own, peer = (self._losses(of, batch) for of in (self._batching, self._peer_batching))
        n_kept = int(self._kept[step])
        index = to_device(batch, self._device)
        weights = self._phase.weights[index]
        labels = self._phase.targets[index].argmax(dim=1)
        taught = [
            (losses * weights)[easiest(other.detach(), labels, n_kept)].sum() / n_kept
            for losses, other in ((own, peer), (peer, own))
        ]
        self._state.scaler.scale(taught[0] + taught[1]).backward()
        total = (own.detach() * weights).sum()
        # A peer that diverges ends the training, too.
        return torch.where(peer.detach().isfinite().all(), total, torch.nan)

    def _losses(self, batching: Batching, batch: Codes) -> torch.Tensor:
        """The loss of every text of a mini-batch by one of the networks, ``(n,)``."""
        found: list[torch.Tensor] = []
        parts = batching.parts(self._phase.lengths[batch].tolist(), 1)
        for part in parts:
            with autocast(self._precision, self._device):
                rows = self._inputs.tokens.rows(self._phase.indices[batch[part]])
                logits = batching.logits(rows)
            index = to_device(batch[part], self._device)
            found.append(text_losses(logits, self._phase.targets[index]))
        place = np.argsort(np.concatenate(parts))
        return torch.cat(found)[to_device(place, self._device)]

    def _clip(self) -> None:
        """Clip the norm of each network's gradient."""
        for parameters in (self._own, self._peer):
            torch.nn.utils.clip_grad_norm_(parameters.values(), self._config.max_grad_norm)
