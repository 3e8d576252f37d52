"""The training of all seeds of an arm at once, on stacked weights.

Every seed has its own first weights, order of texts and dropout, and keeps its own best evaluation.
Without dropout the numbers are those of each seed alone but for rounding; with it, the random
numbers of a seed also depend on the seeds beside it, so that all are part of each one's digest.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from project.config.finetune import FinetuneConfig
from project.stats.types import Codes
from project.support.errors import AssayError
from project.training.batching import Batching, choose_batching
from project.training.checkpoint import Checkpoint, TrainingState
from project.training.device import to_device
from project.training.encoder import Encoder
from project.training.history import Evaluation, Underway, best_evaluation
from project.training.inputs import TrainingInputs, schedules
from project.training.loop import SECONDS_BETWEEN_REPORTS, planned_evaluations, validation_scores
from project.training.open_phase import OpenPhase
from project.training.optimizer import build_optimizer
from project.training.padding import split_evenly
from project.training.precision import device, float32_products
from project.training.stacked_model import StackedModel, copy_weights
from project.training.text_order import TextOrders


class StackedSeeds(NamedTuple):
    """Trained seeds.

    Attributes
    ----------
    histories
        The evaluations of each seed. The loss of one that has diverged is no number from then on;
        the others are not affected.
    select
        Gives the model with the weights of one seed's best evaluation, by its place.
    """

    histories: list[list[Evaluation]]
    select: Callable[[int], Batching]


def train_stacked(
    encoder: Encoder,
    config: FinetuneConfig,
    inputs: TrainingInputs,
    *,
    seeds: Sequence[int],
    checkpoint: Checkpoint,
    after_evaluation: Callable[[int, Evaluation], None],
    underway: Callable[[Underway], None] = lambda _: None,
) -> StackedSeeds:
    """Fine-tune an encoder with several seeds at once.

    Parameters
    ----------
    encoder, config, inputs
        See :func:`project.training.loop.train`.
    seeds
        The seeds.
    checkpoint
        Of all seeds together; the training continues from there with the same bits.
    after_evaluation
        Called with a seed's place and its evaluation, also for those from the checkpoint.
    underway
        Called every 20 seconds between two evaluations; the step is that of every seed.

    Raises
    ------
    AssayError
        If the encoder cannot be stacked.
    """
    with (
        torch.random.fork_rng(devices=range(torch.cuda.device_count())),
        float32_products(encoder.precision),
    ):
        run = _StackedRun(encoder, config, inputs, seeds=seeds, checkpoint=checkpoint)
        run.underway = underway
        return run.run(after_evaluation)


def check_stackable(encoder: Encoder, config: FinetuneConfig) -> None:
    """Raise AssayError if models of the encoder do not answer stacked as each does alone."""
    if encoder.precision == "fp16":
        raise AssayError(
            "batching=stacked needs bf16 or fp32; this GPU trains in fp16. Set batching=auto, or "
            "precision=fp32."
        )
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        StackedModel(
            [encoder.model(2, config).to(device()) for _ in range(2)],
            encoder.precision,
            encoder.max_length,
        )


class _StackedRun:
    """One training of several seeds in progress."""

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        inputs: TrainingInputs,
        *,
        seeds: Sequence[int],
        checkpoint: Checkpoint,
    ) -> None:
        self._config = config
        self._inputs = inputs
        self._checkpoint = checkpoint
        self._precision = encoder.precision
        self._device = device()
        first_weights = [self._new_model(encoder, seed) for seed in seeds]
        # It reads validation and test texts, with the weights of one seed after the other.
        self._batching = choose_batching(
            self._new_model(encoder, seeds[0]), "auto", encoder.precision
        )
        self._model = StackedModel(first_weights, encoder.precision, encoder.max_length)
        self._orders = TextOrders(seeds)
        self._state = TrainingState(
            self._model.parameters,
            build_optimizer(self._model.parameters.values(), config, stacked=True),
            torch.amp.GradScaler(self._device, enabled=False),
            self._orders,
        )
        self._best: dict[str, torch.Tensor] = {}
        self.underway: Callable[[Underway], None] = lambda _: None
        self._phase = OpenPhase(inputs, config, 0, self._device)
        torch.manual_seed(seeds[0])  # of dropout

    def _new_model(self, encoder: Encoder, seed: int) -> Any:
        """The encoder with the first weights that this seed has alone."""
        torch.manual_seed(seed)
        return encoder.model(self._inputs.n_classes, self._config).to(self._device)

    def run(self, after_evaluation: Callable[[int, Evaluation], None]) -> StackedSeeds:
        """Take the steps that are missing; returns all seeds at their best evaluations."""
        n_seeds = self._model.n_seeds
        saved = self._checkpoint.restore(self._state)  # of all seeds, then of all seeds again, ...
        histories = [saved[place::n_seeds] for place in range(n_seeds)]
        best = self._checkpoint.best_weights(self._state.parameters)
        self._best = {name: value.to(self._device) for name, value in best.items()}
        for number, evaluation in enumerate(saved):
            after_evaluation(number % n_seeds, evaluation)
        if saved and saved[-1].phase:
            # With the optimizer that was restored.
            self._phase = OpenPhase(self._inputs, self._config, saved[-1].phase, self._device)
        planned = planned_evaluations(schedules(self._config, self._inputs.phases))
        for number, (phase, begin, end) in enumerate(planned, start=1):
            if number <= len(histories[0]):
                continue
            if phase != self._phase.number:
                # A new optimizer: moments of the phase before belong to other labels.
                self._phase = OpenPhase(self._inputs, self._config, phase, self._device)
                self._state.optimizer = build_optimizer(
                    self._state.parameters.values(), self._config, stacked=True
                )
            evaluations = self._steps_and_evaluations(number, begin, end)
            for history, evaluation in zip(histories, evaluations, strict=True):
                history.append(evaluation)
            self._keep_best(histories)
            if number < len(planned):
                together = [one for each in zip(*histories, strict=True) for one in each]
                self._checkpoint.save(self._state, together, self._best)
            for place, evaluation in enumerate(evaluations):
                after_evaluation(place, evaluation)
        return StackedSeeds(histories, self._select)

    def _keep_best(self, histories: Sequence[Sequence[Evaluation]]) -> None:
        """Keep the weights of the seeds whose last evaluation is their best."""
        if not self._best:
            self._best = {
                name: value.detach().clone() for name, value in self._model.parameters.items()
            }
        for place, history in enumerate(histories):
            if best_evaluation(history).number == history[-1].number:
                for name, value in self._model.parameters.items():
                    self._best[name][place].copy_(value.detach()[place])

    def _select(self, place: int) -> Batching:
        """The model with the weights of the best evaluation of the seed at ``place``."""
        copy_weights(self._best, place, self._batching.model)
        return self._batching

    def _steps_and_evaluations(self, number: int, begin: int, end: int) -> list[Evaluation]:
        """Take the steps ``begin`` to ``end`` of the phase, and score the validation texts."""
        began = told = time.perf_counter()
        losses = torch.zeros(self._model.n_seeds, dtype=torch.float64, device=self._device)
        n_texts = 0
        for step in range(begin, end):
            batches = np.stack(
                [
                    order.batch(
                        step % self._phase.schedule.steps_per_epoch,
                        len(self._phase.indices),
                        self._config.train_batch_size,
                    )
                    for order in self._orders.of_seeds
                ]
            )
            losses += self._step(step, batches)
            n_texts += batches.shape[1]
            if step + 1 < end and (now := time.perf_counter()) - told > SECONDS_BETWEEN_REPORTS:
                told = now
                done = self._phase.steps_before + step + 1
                self.underway(Underway(done, n_texts / (now - began)))
        mean_losses = (losses / n_texts).tolist()  # waits for the device
        seconds = time.perf_counter() - began
        evaluations = []
        for place, mean_loss in enumerate(mean_losses):
            training_loss = mean_loss
            accuracy, macro_f1 = math.nan, math.nan
            if math.isfinite(training_loss):
                copy_weights(self._model.parameters, place, self._batching.model)
                try:
                    accuracy, macro_f1 = validation_scores(
                        self._batching, self._inputs, self._config, self._precision
                    )
                except AssayError:  # its last step gave weights that are no numbers
                    training_loss = math.nan
            evaluations.append(
                Evaluation(
                    number=number,
                    training_loss=training_loss,
                    validation_accuracy=accuracy,
                    validation_macro_f1=macro_f1,
                    learning_rate=self._phase.rate(end),
                    phase=self._phase.number,
                    step=self._phase.steps_before + end,
                    texts_per_second=n_texts / seconds,
                )
            )
        return evaluations

    def _step(self, step: int, batches: Codes) -> torch.Tensor:
        """Train every seed on its mini-batch ``(n_seeds, n)``; returns the losses, summed."""
        optimizer = self._state.optimizer
        for group in optimizer.param_groups:
            group["lr"] = self._phase.rate(step)
        n_seeds, n = batches.shape
        total = torch.zeros(n_seeds, device=self._device)
        # Gradients of the parts add up until the optimizer's step.
        for part in split_evenly(range(n), self._config.gradient_accumulation):
            chosen = batches[:, part]
            index = to_device(np.ascontiguousarray(chosen), self._device)
            rows = [self._inputs.tokens.rows(self._phase.indices[one]) for one in chosen]
            # The gradient is that of the mean over the mini-batch.
            losses = self._model.gradients(
                self._model.texts(rows),
                self._phase.targets[index],
                self._phase.weights[index] / n,
                latent=self._inputs.latent,
            )
            total += losses * n
        self._model.clip(self._config.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad()
        return total
