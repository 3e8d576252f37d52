"""What one seed learns from, and the digest of everything that can change its predictions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from project.config.finetune import FinetuneConfig
from project.config.recipe import Schedule, schedule
from project.stats.types import Codes, Floats
from project.support.files import digest
from project.training.encoder import Encoder
from project.training.linear import Points
from project.training.tokens import Tokens

RECIPE = 2
"""Raise it when a change of the code changes predictions: finished seeds are then trained again."""


class Phase(NamedTuple):
    """The texts of one phase of training, and their targets.

    Attributes
    ----------
    indices
        Indices of the texts in the tokens, ``(n,)``.
    targets
        Probabilities of the classes, ``(n, n_classes)``; rows sum to 1. For several labels with one
        encoder: probabilities of yes, ``(n, n_labels)``. With ``latent`` classes: P(label | class).
    weights
        Weights of the texts with a mean of 1, ``(n,)``. For several labels with one encoder: of
        each label, ``(n, n_labels)``; 0 where a text has no answer for the label.
    """

    indices: Codes
    targets: Floats
    weights: Floats


@dataclass(frozen=True)
class TrainingInputs:
    """Texts, targets and validation labels of one training.

    Attributes
    ----------
    tokens
        Tokens of all texts, which all arms and seeds share.
    phases
        One phase, or several that follow one another. Each has an optimizer and a schedule of
        its own.
    validation_indices
        Indices of the validation texts in the tokens; without any, the last evaluation is kept.
    validation_labels
        Class codes of these, ``(n_validation,)``. For several labels with one encoder: 1 for yes, 0
        for no and -1 where it is not known, ``(n_validation, n_labels)``.
    points
        Coordinates of all texts for the logistic regression, ``(n_texts, n_components)``; None for
        an encoder that is fine-tuned.
    latent
        Whether the texts' classes are latent: each label is known with P(label | class).
    noise
        Share of the labels that two networks which teach each other leave out of their mini-batches
        in the end (:mod:`project.training.coteach`); 0: one network learns all of them.
    """

    tokens: Tokens
    phases: tuple[Phase, ...]
    validation_indices: Codes
    validation_labels: Codes
    points: Points | None = None
    latent: bool = False
    noise: float = 0.0

    @property
    def n_classes(self) -> int:
        """Number of classes, with or without labels; of labels where there are several."""
        return int(self.phases[0].targets.shape[1])

    @property
    def of_several_labels(self) -> bool:
        """Whether each output of the model answers a question of its own, yes or no."""
        return self.phases[0].weights.ndim == 2


def schedules(config: FinetuneConfig, phases: Sequence[Phase]) -> tuple[Schedule, ...]:
    """The schedule of each phase."""
    return tuple(schedule(config, len(phase.indices)) for phase in phases)


def seed_digest(
    encoder: Encoder,
    config: FinetuneConfig,
    inputs: TrainingInputs,
    *,
    test_indices: Codes,
    names: Sequence[str],
    seed: int,
) -> str:
    """The identity of one seed's predictions: what was trained on what, how and where.

    Versions of libraries are not part of it, so that an upgrade does not train everything again;
    they are logged with the experiment.

    Parameters
    ----------
    encoder
        The encoder with its precision and its longest input.
    config
        The hyper-parameters.
    inputs
        What the seed learns from.
    test_indices
        Indices of the predicted texts in the tokens.
    names
        Ids of the predicted texts, then the label set.
    seed
        The seed.
    """
    arrays = (
        *(array for phase in inputs.phases for array in phase),
        inputs.validation_indices,
        inputs.validation_labels,
        test_indices,
    )
    # Hashes of the arrays' bytes, since JSON of many numbers is slow.
    content = [
        hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest() for array in arrays
    ]
    if inputs.latent:  # only where it makes a difference: other results keep their names
        content.append("latent")
    if inputs.noise:
        content.append(f"coteach by label and loss {inputs.noise!r}")
    return digest(
        [
            RECIPE,
            encoder.identity,
            _hyper_parameters(config, inputs),
            inputs.tokens.folder.name,
            content,
            list(names),
            seed,
        ]
    )


def _hyper_parameters(config: FinetuneConfig, inputs: TrainingInputs) -> dict[str, Any]:
    """The hyper-parameters in a digest, with the epochs and evaluations that they come to."""
    values = config.hyper_parameters()
    if not values:  # a logistic regression has no steps
        return values
    planned = schedules(config, inputs.phases)
    epochs = [one.epochs for one in planned]
    values["epochs"] = epochs[0] if len(set(epochs)) == 1 else epochs
    if config.evaluations:
        # Again only where it makes a difference.
        values["evaluated_after"] = [list(one.evaluated_after) for one in planned]
    return values
