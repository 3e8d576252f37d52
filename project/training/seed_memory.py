"""How much memory the training of one seed takes, estimated before it starts.

The estimate has three parts, in bytes. ``python -m benchmarks.seed_memory`` measures it beside the
highest memory of the process on a CPU: for a BERT of 22 million parameters and for the shape of
roberta-base, with 8 to 256 tokens a text, in float32 and bfloat16, and for six trainings one after
the other on texts of mixed lengths.

- The process: the libraries, and the kernels that are compiled for the shapes of mini-batches.
- The model: each trained parameter takes 20 bytes (float32 weight, gradient, two moments, the best
  weight) and 4 for what is computed with it. A frozen one, under LoRA, takes its weight alone.
- The largest mini-batch that the texts allow. What a layer keeps for the gradients is a number of
  vectors for each token, and numbers for each pair of tokens of a text and attention head.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from project.config.finetune import FinetuneConfig
from project.stats.types import Codes

if TYPE_CHECKING:
    from project.training.results import Job

PROCESS_BYTES = 896 * 2**20
_BYTES_OF_A_TRAINED_WEIGHT = 24
_BYTES_OF_A_TOKEN = 80  # for each layer and each number of its vector
_BYTES_OF_A_PAIR = 16  # for each layer and head: float32 scores, weights, dropout, its mask
_BYTES_OF_A_TOKEN_READ = 64  # in a prediction, one layer at a time: no gradients are computed


class ModelShape(NamedTuple):
    """Width and number of the layers of a model, and attention heads of each; 0 if unknown."""

    width: int = 0
    layers: int = 0
    heads: int = 0

    @classmethod
    def of(cls, settings: Any) -> ModelShape:
        """The shape in a configuration of transformers; unknown where it is named otherwise."""
        text = settings.get_text_config()
        names = ("hidden_size", "num_hidden_layers", "num_attention_heads")
        values = [getattr(text, name, None) for name in names]
        numbers = [value for value in values if isinstance(value, int)]
        return cls(*numbers) if len(numbers) == len(names) else UNKNOWN_SHAPE


UNKNOWN_SHAPE = ModelShape()


class SeedMemory(NamedTuple):
    """Bytes that the training of one seed takes beside those of the process.

    ``model``: weights and what belongs to each; 0 if unknown. ``batch``: the largest mini-batch.
    """

    model: int
    batch: int = 0


def model_bytes(n_parameters: int, n_trained: int, bytes_of_frozen: int) -> int:
    """Bytes of a model in training.

    Parameters
    ----------
    n_parameters, n_trained
        Number of all parameters, and of those that are trained.
    bytes_of_frozen
        Bytes of one that is not trained.
    """
    frozen = n_parameters - n_trained
    return n_trained * _BYTES_OF_A_TRAINED_WEIGHT + frozen * bytes_of_frozen


def batch_bytes(shape: ModelShape, lengths: Codes, config: FinetuneConfig) -> int:
    """Bytes of the largest mini-batch: the longest texts may meet in one.

    Parameters
    ----------
    shape
        Shape of the model.
    lengths
        Tokens of every text, ``(n,)``.
    config
        The recipe: the sizes of mini-batches.
    """
    n_trained = -(-config.train_batch_size // config.gradient_accumulation)
    longest = np.sort(lengths)[::-1]
    trained = longest[:n_trained].astype(np.int64)
    training = shape.layers * (
        _BYTES_OF_A_TOKEN * shape.width * int(trained.sum())
        + _BYTES_OF_A_PAIR * shape.heads * int((trained**2).sum())
    )
    reading = _BYTES_OF_A_TOKEN_READ * shape.width * int(longest[: config.eval_batch_size].sum())
    return max(training, reading)


def largest_seed(jobs: Iterable[Job]) -> SeedMemory:
    """The memory of the job that takes most; none without a job."""
    # Seeds of an arm share recipe and texts, and arms often do.
    distinct = {
        (id(job.encoder), id(job.config), id(job.inputs), id(job.test_indices)): job for job in jobs
    }
    needs = [_seed_memory(job) for job in distinct.values() if job.inputs.points is None]
    return max(needs, key=sum, default=SeedMemory(0))


def _seed_memory(job: Job) -> SeedMemory:
    """The memory of one job."""
    inputs = job.inputs
    parts = [phase.indices for phase in inputs.phases]
    indices = np.concatenate([*parts, inputs.validation_indices, job.test_indices])
    lengths = inputs.tokens.lengths(np.unique(indices))
    encoder = job.encoder
    n_networks = 2 if inputs.noise else 1
    return SeedMemory(
        n_networks * encoder.training_bytes(job.config),
        n_networks * batch_bytes(encoder.shape, lengths, job.config),
    )
