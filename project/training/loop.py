"""The training of one seed, by the recipe of Lu and Smith (2025), Appendix B."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

from project.config.finetune import FinetuneConfig, rate_factor
from project.stats.scores import confusion, scores
from project.stats.types import Codes
from project.support.errors import AssayError
from project.training.batching import Batching, choose_batching
from project.training.checkpoint import Checkpoint, TrainingState
from project.training.encoder import Encoder
from project.training.history import Epoch, best_epoch
from project.training.inputs import TrainingInputs
from project.training.optimizer import build_optimizer
from project.training.precision import autocast
from project.training.predict import predict
from project.training.targets import loss

_LOSS_CHECK_STEPS = {"cpu": 1, "cuda": 50}
"""Steps between two checks of the loss; a check makes the CPU wait for the GPU."""


class TrainedModel(NamedTuple):
    """A model at its best epoch, with the history of its training."""

    batching: Batching
    history: list[Epoch]


def train(
    encoder: Encoder,
    config: FinetuneConfig,
    inputs: TrainingInputs,
    *,
    seed: int,
    checkpoint: Checkpoint,
    after_epoch: Callable[[Epoch], None],
) -> TrainedModel:
    """Fine-tune an encoder; returns the model at its best epoch by validation macro-F1.

    Parameters
    ----------
    encoder
        The encoder to fine-tune.
    config
        The hyper-parameters.
    inputs
        What is learned.
    seed
        Decides the classification layer's first weights, dropout and the order of examples.
    checkpoint
        Where it holds the end of an epoch of the same training, the training continues from there
        and gives the same bits as one that never stopped.
    after_epoch
        Called after each epoch, also for those from the checkpoint.

    Raises
    ------
    AssayError
        If the loss is not a number.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)  # initial weights and dropout use torch's global generator
        order = np.random.default_rng([seed, 0])
        run = _TrainingRun(encoder, config, inputs, order=order, checkpoint=checkpoint)
        return run.run(after_epoch)


class _TrainingRun:
    """One training in progress."""

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        inputs: TrainingInputs,
        *,
        order: np.random.Generator,
        checkpoint: Checkpoint,
    ) -> None:
        self._config = config
        self._inputs = inputs
        self._checkpoint = checkpoint
        self._precision = encoder.precision
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = encoder.model(inputs.n_classes, config).to(self._device)
        self._batching = choose_batching(self._model, config.batching, encoder.precision)
        parameters = {
            name: value for name, value in self._model.named_parameters() if value.requires_grad
        }
        self._state = TrainingState(
            parameters,
            build_optimizer(parameters.values(), config),
            torch.amp.GradScaler(self._device, enabled=encoder.precision == "fp16"),
            order,
        )
        self._open_phase(0)

    def _open_phase(self, number: int) -> None:
        """Load the texts and the schedule of a phase."""
        phase = self._inputs.phases[number]
        self._number = number
        self._indices = phase.indices
        self._lengths = self._inputs.tokens.lengths(phase.indices)
        self._targets = self._tensor(phase.targets)
        self._weights = self._tensor(phase.weights)
        self._steps = math.ceil(len(phase.indices) / self._config.train_batch_size)
        self._factor = rate_factor(
            self._config.scheduler, self._config.warmup_ratio, self._steps * self._config.epochs
        )

    def _tensor(self, values: np.ndarray) -> torch.Tensor:
        """``values`` in float32 on the device."""
        return torch.tensor(values, dtype=torch.float32, device=self._device)

    def run(self, after_epoch: Callable[[Epoch], None]) -> TrainedModel:
        """Train the epochs that are missing, and restore the weights of the best one."""
        history = self._checkpoint.restore(self._state)
        best = self._checkpoint.best_weights(self._state.parameters)
        for epoch in history:
            after_epoch(epoch)
        if history and history[-1].phase:
            self._open_phase(history[-1].phase)  # with the optimizer that was restored
        last = self._config.epochs * len(self._inputs.phases)
        for number in range(len(history) + 1, last + 1):
            phase = (number - 1) // self._config.epochs
            if phase != self._number:
                # A new optimizer: moments of the phase before belong to other labels.
                self._open_phase(phase)
                self._state.optimizer = build_optimizer(
                    self._state.parameters.values(), self._config
                )
            history.append(self._epoch(number))
            # On the CPU, so that they take no memory of the GPU.
            if number == best_epoch(history):
                best = {
                    name: value.detach().to("cpu", copy=True)
                    for name, value in self._state.parameters.items()
                }
            if number < last:
                self._checkpoint.save(self._state, history, best)
            after_epoch(history[-1])
        with torch.no_grad():
            for name, value in self._state.parameters.items():
                value.copy_(best[name])
        return TrainedModel(self._batching, history)

    def _epoch(self, number: int) -> Epoch:
        """Train one epoch and score the validation texts; ``number`` counts over all phases."""
        began = time.perf_counter()
        n = len(self._indices)
        batch_size = self._config.train_batch_size
        in_phase = (number - 1) % self._config.epochs + 1
        self._model.train()
        losses: list[torch.Tensor] = []  # one sum for each step, left on the device
        n_checked = 0
        order = self._state.order.permutation(n)
        for batch in np.split(order, range(batch_size, n, batch_size)):  # the last may be smaller
            losses.append(self._step((in_phase - 1) * self._steps + len(losses), batch))
            is_last = len(losses) == self._steps
            if is_last or len(losses) % _LOSS_CHECK_STEPS[self._device] == 0:
                self._refuse_divergence(losses[n_checked:], in_phase, n_checked)
                n_checked = len(losses)
        seconds = time.perf_counter() - began  # of training alone
        accuracy, macro_f1 = self._validation_scores()
        return Epoch(
            epoch=number,
            training_loss=float(torch.stack(losses).double().sum()) / n,
            validation_accuracy=accuracy,
            validation_macro_f1=macro_f1,
            learning_rate=self._rate(in_phase * self._steps),
            phase=self._number,
            texts_per_second=n / seconds,
        )

    def _validation_scores(self) -> tuple[float, float]:
        """Accuracy and macro-F1 on the validation texts; nan where there are none."""
        inputs = self._inputs
        if not len(inputs.validation_indices):
            return math.nan, math.nan
        answers = predict(
            self._batching,
            inputs.tokens,
            inputs.validation_indices,
            precision=self._precision,
            batch_size=self._config.eval_batch_size,
        )
        counts = confusion(inputs.validation_labels, answers.argmax(axis=1), inputs.n_classes)
        score = scores(counts)
        return score.accuracy, score.macro_f1

    def _step(self, step: int, batch: Codes) -> torch.Tensor:
        """Train on one mini-batch; returns its loss, summed over the texts.

        The gradient is that of the mean over the mini-batch, whatever parts it is computed in.
        """
        optimizer = self._state.optimizer
        scaler = self._state.scaler
        for group in optimizer.param_groups:
            group["lr"] = self._rate(step)
        total = torch.zeros((), device=self._device)
        lengths = self._lengths[batch].tolist()
        # Gradients of the parts add up until the optimizer's step.
        for part in self._batching.parts(lengths, self._config.gradient_accumulation):
            chosen = batch[part]
            with autocast(self._precision, self._device):
                logits = self._batching.logits(self._inputs.tokens.rows(self._indices[chosen]))
            index = torch.from_numpy(chosen).to(self._device)
            part_loss = loss(logits, self._targets[index], self._weights[index])
            scaler.scale(part_loss / len(batch)).backward()
            total += part_loss.detach()
        scaler.unscale_(optimizer)  # before clipping, which compares with unscaled numbers
        torch.nn.utils.clip_grad_norm_(self._state.parameters.values(), self._config.max_grad_norm)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return total

    def _rate(self, step: int) -> float:
        """Learning rate before ``step`` of the phase."""
        return float(self._config.learning_rate or 0) * self._factor(step)

    def _refuse_divergence(self, losses: list[torch.Tensor], epoch: int, n_before: int) -> None:
        """Raise if one of ``losses``, after ``n_before`` steps of the epoch, is no number."""
        wrong = (~torch.stack(losses).isfinite()).nonzero()
        if len(wrong):
            step = (epoch - 1) * self._steps + n_before + int(wrong[0])
            raise AssayError(
                f"training diverged (loss is not a number) in epoch {epoch}, step {step + 1} of "
                f"{self._steps * self._config.epochs}, at learning rate {self._rate(step):g}. "
                "Lower learning_rate."
            )
