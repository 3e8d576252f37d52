"""An encoder on training labels with one seed -> predictions and history. The recipe of Lu and Smith (2025), Appendix B."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from project.config.finetune import FinetuneConfig, rate_factor
from project.data.tables import with_class_columns
from project.stats.scores import confusion, scores
from project.stats.types import Codes, Floats
from project.support.errors import AssayError
from project.support.files import digest
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder, arithmetic
from project.training.packing import Batching, batching
from project.training.targets import loss
from project.training.tokens import Tokens

RECIPE = 2  # to be raised when the code here comes to give other predictions: finished seeds are then trained anew
_LOOK = {
    "cpu": 1,
    "cuda": 50,
}  # steps between two looks at the loss: a look makes the CPU wait for the GPU


class Phase(NamedTuple):
    """Texts and what they are to be answered with.

    ``targets`` ``(n, n_classes)`` with rows summing to 1 and ``weights`` ``(n,)`` of mean 1 belong to the texts ``rows``, places in the tokens.
    """

    rows: Codes
    targets: Floats
    weights: Floats


@dataclass(frozen=True)
class Training:
    """What one seed learns from. Splits are index sets of ``tokens``, which all arms and seeds share.

    ``lessons``: one, or several that follow one another, each with all epochs, an optimizer and a schedule of its own;
    ``validation_labels`` are class codes.
    """

    tokens: Tokens
    lessons: tuple[Phase, ...]
    validation_rows: Codes
    validation_labels: Codes

    @property
    def n_classes(self) -> int:
        """How many classes there are, with or without labels."""
        return int(self.lessons[0].targets.shape[1])


@dataclass(frozen=True)
class Epoch:
    """What is known after one epoch; scores in [0, 1], learning rate as it stood at the epoch's end, training texts a second.

    Epochs are counted over all lessons; ``lesson``: which one it belongs to, the first is 0.
    """

    epoch: int
    training_loss: float
    validation_accuracy: float
    validation_macro_f1: float
    learning_rate: float
    lesson: int = 0
    texts_per_second: float = field(
        default=0.0, compare=False
    )  # the one thing here that the seed does not decide


def seed_digest(
    encoder: Encoder,
    config: FinetuneConfig,
    data: Training,
    test_rows: Codes,
    names: Sequence[str],
    seed: int,
) -> str:
    """Identity of one seed's predictions: what was trained on what, how and where. ``names``: the test split's ids, then the label set.

    Versions of libraries are left out, so that an upgrade does not pay for everything again; they are logged with the experiment.
    """
    arrays = (
        *(array for lesson in data.lessons for array in lesson),
        data.validation_rows,
        data.validation_labels,
        test_rows,
    )
    content = [
        hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays
    ]
    return digest(
        [
            RECIPE,
            encoder.identity,
            config.recipe(),
            data.tokens.folder.name,
            content,
            list(names),
            seed,
        ]
    )


def train(
    encoder: Encoder,
    config: FinetuneConfig,
    data: Training,
    *,
    seed: int,
    checkpoint: Checkpoint,
    after_epoch: Callable[[Epoch], None],
) -> tuple[Batching, list[Epoch]]:
    """Fine-tune with ``seed``; returns the model at its best epoch by validation macro-F1 (ties: the earlier) and the history.

    ``seed`` decides the classification layer's first weights, dropout and the order of examples. Where ``checkpoint`` holds an epoch's
    end of the same training, it goes on from there and ends as if it had never stopped.
    """
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)  # initial weights and dropout have no generator of their own
        return _Run(encoder, config, data, np.random.default_rng([seed, 0]), checkpoint).epochs(
            after_epoch
        )


class _Run:
    """One training under way."""

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        data: Training,
        order: np.random.Generator,
        checkpoint: Checkpoint,
    ) -> None:
        self._config, self._data, self._order, self._checkpoint, self._precision = (
            config,
            data,
            order,
            checkpoint,
            encoder.precision,
        )
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = encoder.model(data.n_classes, config).to(self._device)
        self._batching = batching(self._model, config.batching, encoder.precision)
        self._learning = {
            name: value for name, value in self._model.named_parameters() if value.requires_grad
        }
        self._scaler = torch.amp.GradScaler(self._device, enabled=encoder.precision == "fp16")
        self._begin(0)

    def _begin(self, number: int) -> None:
        """Open lesson ``number``: its texts, and an optimizer and a schedule that know nothing of the one before."""
        self._number, lesson = number, self._data.lessons[number]
        self._rows = lesson.rows
        self._optimizer = _optimizer(self._learning.values(), self._config)
        self._steps = math.ceil(len(lesson.rows) / self._config.train_batch_size)
        self._factor = rate_factor(
            self._config.scheduler, self._config.warmup_ratio, self._steps * self._config.epochs
        )
        self._lengths = self._data.tokens.lengths(lesson.rows)
        self._targets, self._weights = (
            torch.tensor(one, dtype=torch.float32, device=self._device)
            for one in (lesson.targets, lesson.weights)
        )

    def epochs(self, after_epoch: Callable[[Epoch], None]) -> tuple[Batching, list[Epoch]]:
        history = [
            Epoch(**epoch)
            for epoch in self._checkpoint.restore(
                self._learning, self._optimizer, self._scaler, self._order
            )
        ]
        best, each, last = (
            self._checkpoint.best(self._learning),
            self._config.epochs,
            self._config.epochs * len(self._data.lessons),
        )
        for epoch in history:
            after_epoch(epoch)
        if history:
            self._resume(history[-1].lesson)
        for number in range(len(history) + 1, last + 1):
            if (number - 1) // each != self._number:
                self._begin((number - 1) // each)
            history.append(self._epoch(number))
            if number == best_epoch(history):
                best = {
                    name: value.detach().to("cpu", copy=True)
                    for name, value in self._learning.items()
                }
            if number < last:
                self._checkpoint.keep(
                    self._learning, self._optimizer, self._scaler, self._order, history, best
                )
            after_epoch(history[-1])
        with torch.no_grad():
            for name, value in self._learning.items():
                value.copy_(best[name])
        return self._batching, history

    def _resume(self, number: int) -> None:
        """Open the lesson that a checkpoint was kept in, with the optimizer that was restored."""
        optimizer = self._optimizer
        if number:
            self._begin(number)
            self._optimizer = optimizer

    def _epoch(self, number: int) -> Epoch:
        began, batch_size, n = time.perf_counter(), self._config.train_batch_size, len(self._rows)
        within = (number - 1) % self._config.epochs + 1
        self._model.train()
        losses: list[torch.Tensor] = []
        seen = 0
        for batch in np.split(self._order.permutation(n), range(batch_size, n, batch_size)):
            losses.append(self._step((within - 1) * self._steps + len(losses), batch))
            if len(losses) % _LOOK[self._device] == 0 or len(losses) == self._steps:
                self._refuse_divergence(losses[seen:], within, seen)
                seen = len(losses)
        took = time.perf_counter() - began
        answers = predict(
            self._batching,
            self._data.tokens,
            self._data.validation_rows,
            self._precision,
            self._config.eval_batch_size,
        )
        score = scores(
            confusion(self._data.validation_labels, answers.argmax(axis=1), self._data.n_classes)
        )
        mean = float(torch.stack(losses).double().sum()) / n
        return Epoch(
            number,
            mean,
            score.accuracy,
            score.macro_f1,
            self._rate(within * self._steps),
            self._number,
            n / took,
        )

    def _step(self, step: int, batch: Codes) -> torch.Tensor:
        """One mini-batch; its loss, summed over the texts. The gradient is that of the mean, whatever the parts it comes in."""
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step)
        total = torch.zeros((), device=self._device)
        for part in self._batching.parts(
            self._lengths[batch].tolist(), self._config.gradient_accumulation
        ):
            chosen = batch[part]
            with arithmetic(self._precision, self._device):
                logits = self._batching.logits(self._data.tokens.rows(self._rows[chosen]))
            index = torch.from_numpy(chosen).to(self._device)
            part_loss = loss(logits, self._targets[index], self._weights[index])
            self._scaler.scale(part_loss / len(batch)).backward()
            total += part_loss.detach()
        self._scaler.unscale_(self._optimizer)
        torch.nn.utils.clip_grad_norm_(self._learning.values(), self._config.max_grad_norm)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        return total

    def _rate(self, step: int) -> float:
        return float(self._config.learning_rate or 0) * self._factor(step)

    def _refuse_divergence(self, losses: list[torch.Tensor], epoch: int, before: int) -> None:
        """Raise where one of the last ``losses``, which follow ``before`` steps of the epoch, is not a number."""
        wrong = (~torch.stack(losses).isfinite()).nonzero()
        if len(wrong):
            step = (epoch - 1) * self._steps + before + int(wrong[0])
            raise AssayError(
                f"training diverged (loss is not a number) in epoch {epoch}, step {step + 1} of {self._steps * self._config.epochs}, "
                f"at learning rate {self._rate(step):g}. Lower learning_rate."
            )


def best_epoch(history: Sequence[Epoch]) -> int:
    """The epoch that is kept: of the last lesson the first with the highest validation macro-F1."""
    return max(history, key=lambda one: (one.lesson, one.validation_macro_f1, -one.epoch)).epoch


def best_macro_f1(history: Sequence[Epoch]) -> float:
    """Validation macro-F1 of the epoch that is kept."""
    return next(one.validation_macro_f1 for one in history if one.epoch == best_epoch(history))


def predict(how: Batching, tokens: Tokens, rows: Codes, precision: str, batch_size: int) -> Floats:
    """Natural log probabilities ``(n_texts, n_classes)`` of the texts ``rows``, in their order; they are batched by length."""
    how.model.eval()
    order = np.argsort(tokens.lengths(rows), kind="stable")
    result: list[torch.Tensor] = []
    with torch.inference_mode():
        for start in range(0, len(order), batch_size):
            with arithmetic(precision, how.model.device.type):
                logits = how.logits(tokens.rows(rows[order[start : start + batch_size]]))
            result.append(logits.double().log_softmax(-1))
    logs: Floats = torch.cat(result).cpu().numpy()
    if not np.isfinite(logs).all():
        raise AssayError("training diverged: predictions are not numbers. Lower learning_rate.")
    return logs[np.argsort(order)]


def predictions_table(
    example_ids: Sequence[str], log_probabilities: Floats, label_set: Sequence[str]
) -> pd.DataFrame:
    """The predictions table; the label is the argmax (ties: the first class)."""
    labels = np.array(list(label_set), dtype=object)[log_probabilities.argmax(axis=1)]
    return with_class_columns(
        pd.DataFrame({"example_id": list(example_ids), "label": labels}),
        log_probabilities,
        label_set,
    )


def _optimizer(parameters: Any, config: FinetuneConfig) -> torch.optim.Optimizer:
    """AdamW; biases and normalisation weights, the parameters with one dimension, do not decay."""
    learning = list(parameters)
    groups = [
        {
            "params": [parameter for parameter in learning if parameter.ndim > 1],
            "weight_decay": config.weight_decay,
        },
        {
            "params": [parameter for parameter in learning if parameter.ndim <= 1],
            "weight_decay": 0.0,
        },
    ]
    return torch.optim.AdamW(
        groups,
        lr=float(config.learning_rate or 0),
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        fused=True,
    )
