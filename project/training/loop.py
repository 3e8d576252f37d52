"""The training of one seed, by the recipe of Lu and Smith (2025), Appendix B."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from project.config.finetune import FinetuneConfig
from project.config.recipe import Schedule
from project.stats.scores import confusion, scores
from project.stats.types import Codes
from project.support.errors import AssayError
from project.training.batching import Batching, choose_batching
from project.training.checkpoint import Checkpoint, TrainingState
from project.training.device import to_device
from project.training.encoder import Encoder
from project.training.history import Evaluation, Underway, best_evaluation
from project.training.inputs import TrainingInputs, schedules
from project.training.open_phase import OpenPhase
from project.training.optimizer import build_optimizer
from project.training.precision import autocast, float32_products
from project.training.predict import predict
from project.training.several_labels import mean_scores
from project.training.targets import latent_loss, loss
from project.training.text_order import TextOrder

SECONDS_BETWEEN_REPORTS = 20.0
_LOSS_CHECK_STEPS = {"cpu": 1, "cuda": 50}
"""Steps between two checks of the loss; a check makes the CPU wait for the GPU."""


class TrainedModel(NamedTuple):
    """A model at its best evaluation, with the history of its training."""

    batching: Batching
    history: list[Evaluation]


def train(
    encoder: Encoder,
    config: FinetuneConfig,
    inputs: TrainingInputs,
    *,
    seed: int,
    checkpoint: Checkpoint,
    after_evaluation: Callable[[Evaluation], None],
    underway: Callable[[Underway], None] = lambda _: None,
) -> TrainedModel:
    """Fine-tune an encoder; returns the model at its best evaluation.

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
        Where it holds an evaluation of the same training, the training continues from there and
        gives the same bits as one that never stopped.
    after_evaluation
        Called after each evaluation, also for those from the checkpoint.
    underway
        Called every 20 seconds between two evaluations.

    Raises
    ------
    AssayError
        If the loss is not a number.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)  # initial weights and dropout use torch's global generator
        order = TextOrder(seed)
        run = TrainingRun(encoder, config, inputs, order=order, checkpoint=checkpoint)
        run.underway = underway
        with float32_products(encoder.precision):
            return run.run(after_evaluation)


def planned_evaluations(schedules: Sequence[Schedule]) -> list[tuple[int, int, int]]:
    """The phase of every evaluation, and the steps of the phase that it comes after: from, to."""
    return [
        (phase, begin, end)
        for phase, one in enumerate(schedules)
        for begin, end in itertools.pairwise((0, *one.evaluated_after))
    ]


def validation_scores(
    batching: Batching, inputs: TrainingInputs, config: FinetuneConfig, precision: str
) -> tuple[float, float]:
    """Accuracy and macro-F1 of a model on the validation texts; nan where there are none.

    For several labels: the means over the labels of those of yes and no.
    """
    if not len(inputs.validation_indices):
        return math.nan, math.nan
    answers = predict(
        batching,
        inputs.tokens,
        inputs.validation_indices,
        precision=precision,
        batch_size=config.eval_batch_size,
        of_several_labels=inputs.of_several_labels,
    )
    if inputs.of_several_labels:
        return mean_scores(inputs.validation_labels, answers > 0)
    counts = confusion(inputs.validation_labels, answers.argmax(axis=1), inputs.n_classes)
    score = scores(counts)
    return score.accuracy, score.macro_f1


class TrainingRun:
    """One training in progress."""

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        inputs: TrainingInputs,
        *,
        order: TextOrder,
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
        self._order = order
        self._state = TrainingState(
            parameters,
            build_optimizer(parameters.values(), config),
            torch.amp.GradScaler(self._device, enabled=encoder.precision == "fp16"),
            order,
        )
        self.underway: Callable[[Underway], None] = lambda _: None
        self._phase = OpenPhase(inputs, config, 0, self._device)

    def run(self, after_evaluation: Callable[[Evaluation], None]) -> TrainedModel:
        """Take the steps that are missing, and restore the weights of the best evaluation."""
        history = self._checkpoint.restore(self._state)
        best = self._checkpoint.best_weights(self._state.parameters)
        for evaluation in history:
            after_evaluation(evaluation)
        if history and history[-1].phase:
            # With the optimizer that was restored.
            self._phase = OpenPhase(self._inputs, self._config, history[-1].phase, self._device)
        planned = planned_evaluations(schedules(self._config, self._inputs.phases))
        for number, (phase, begin, end) in enumerate(planned, start=1):
            if number <= len(history):
                continue
            if phase != self._phase.number:
                # A new optimizer: moments of the phase before belong to other labels.
                self._phase = OpenPhase(self._inputs, self._config, phase, self._device)
                self._state.optimizer = build_optimizer(
                    self._state.parameters.values(), self._config
                )
            history.append(self._steps_and_evaluation(number, begin, end))
            # On the device: a copy to the CPU would take as long as some of the steps.
            if best_evaluation(history).number == number:
                best = {
                    name: value.detach().clone() for name, value in self._state.parameters.items()
                }
            if number < len(planned):
                self._checkpoint.save(self._state, history, best)
            after_evaluation(history[-1])
        with torch.no_grad():
            for name, value in self._state.parameters.items():
                value.copy_(best[name])
        return TrainedModel(self._batching, history)

    def _steps_and_evaluation(self, number: int, begin: int, end: int) -> Evaluation:
        """Take the steps ``begin`` to ``end`` of the phase, and score the validation texts."""
        began = told = time.perf_counter()
        n = len(self._phase.indices)
        self._model.train()
        losses: list[torch.Tensor] = []  # one sum for each step, left on the device
        n_texts = 0
        n_checked = 0
        for step in range(begin, end):
            batch = self._order.batch(
                step % self._phase.schedule.steps_per_epoch, n, self._config.train_batch_size
            )
            losses.append(self._step(step, batch))
            n_texts += len(batch)
            if step + 1 == end or len(losses) % _LOSS_CHECK_STEPS[self._device] == 0:
                self._refuse_divergence(losses[n_checked:], begin + n_checked)
                n_checked = len(losses)
            if step + 1 < end and (now := time.perf_counter()) - told > SECONDS_BETWEEN_REPORTS:
                told = now
                done = self._phase.steps_before + step + 1
                self.underway(Underway(done, n_texts / (now - began)))
        seconds = time.perf_counter() - began  # of training alone
        accuracy, macro_f1 = validation_scores(
            self._batching, self._inputs, self._config, self._precision
        )
        return Evaluation(
            number=number,
            training_loss=float(torch.stack(losses).double().sum()) / n_texts,
            validation_accuracy=accuracy,
            validation_macro_f1=macro_f1,
            learning_rate=self._phase.rate(end),
            phase=self._phase.number,
            step=self._phase.steps_before + end,
            texts_per_second=n_texts / seconds,
        )

    def _step(self, step: int, batch: Codes) -> torch.Tensor:
        """Train on one mini-batch; returns its loss, summed over the texts.

        The gradient is that of the mean over the mini-batch, whatever parts it is computed in.
        """
        optimizer = self._state.optimizer
        scaler = self._state.scaler
        for group in optimizer.param_groups:
            group["lr"] = self._phase.rate(step)
        total = self._add_gradients(step, batch)
        scaler.unscale_(optimizer)  # before clipping, which compares with unscaled numbers
        self._clip()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()
        return total

    def _add_gradients(self, step: int, batch: Codes) -> torch.Tensor:
        """Add those of one mini-batch, scaled; returns its loss, summed over the texts."""
        del step
        total = torch.zeros((), device=self._device)
        lengths = self._phase.lengths[batch].tolist()
        # Gradients of the parts add up until the optimizer's step.
        for part in self._batching.parts(lengths, self._config.gradient_accumulation):
            chosen = batch[part]
            with autocast(self._precision, self._device):
                rows = self._inputs.tokens.rows(self._phase.indices[chosen])
                logits = self._batching.logits(rows)
            index = to_device(chosen, self._device)
            loss_of = latent_loss if self._inputs.latent else loss
            part_loss = loss_of(logits, self._phase.targets[index], self._phase.weights[index])
            self._state.scaler.scale(part_loss / len(batch)).backward()
            total += part_loss.detach()
        return total

    def _clip(self) -> None:
        """Clip the gradient's norm."""
        torch.nn.utils.clip_grad_norm_(self._state.parameters.values(), self._config.max_grad_norm)

    def _refuse_divergence(self, losses: list[torch.Tensor], n_before: int) -> None:
        """Raise if one of ``losses``, after ``n_before`` steps of the phase, is no number."""
        wrong = (~torch.stack(losses).isfinite()).nonzero()
        if len(wrong):
            step = n_before + int(wrong[0])
            epoch = step // self._phase.schedule.steps_per_epoch + 1
            raise AssayError(
                f"training diverged (loss is not a number) in epoch {epoch}, step {step + 1} of "
                f"{self._phase.schedule.n_steps}, at learning rate {self._phase.rate(step):g}. "
                "Lower learning_rate."
            )
