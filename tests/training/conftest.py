"""A training on the bundled task with a tiny encoder: recipe, inputs and jobs, made once."""

import dataclasses

import numpy as np
import pytest

from project.config.finetune import FinetuneConfig
from project.data.tables import codes
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.results import Job
from project.training.targets import targets
from tests.helpers.trainings import with_phase


@pytest.fixture(scope="session")
def config(tiny_encoder):
    """A recipe of three epochs for ``encoder``."""
    return FinetuneConfig(
        encoder=str(tiny_encoder),
        epochs=3,
        train_batch_size=8,
        learning_rate=3e-3,
        precision="fp32",
    )


@pytest.fixture(scope="session")
def encoder(config):
    """The tiny encoder."""
    return Encoder.find(config)


@pytest.fixture(scope="session")
def split(encoder, config, small_task, tmp_path_factory):
    """The gold labels of the small task to learn from, and the rows of its test split."""
    splits = {name: small_task.split(name) for name in ("train", "validation", "test")}
    tokens = encoder.tokens(
        [text for rows in splits.values() for text in rows["text"]],
        tmp_path_factory.mktemp("tokens"),
    )
    train, validation, test = (len(rows) for rows in splits.values())
    learned = targets(
        splits["train"].assign(label=splits["train"]["gold_label"], weight=1.0, source="gold"),
        small_task.label_set,
        config,
    )
    held = codes(splits["validation"]["gold_label"], small_task.label_set)
    rows = np.split(np.arange(train + validation + test), [train, train + validation])
    return TrainingInputs(
        tokens, (Phase(rows[0], learned.values, learned.weights),), rows[1], held
    ), rows[2]


@pytest.fixture(scope="session")
def data(split):
    """The inputs of a training on gold labels."""
    return split[0]


@pytest.fixture(scope="session")
def test_indices(split):
    """The rows of the test split among the tokens of ``data``."""
    return split[1]


@pytest.fixture
def jobs(encoder, config, data, test_indices, small_task):
    """Three seeds of the arm gold; their digests are made up."""
    ids = tuple(small_task.split("test")["example_id"])
    return [
        Job(
            arm="gold",
            seed=seed,
            digest=f"digest{seed}",
            encoder=encoder,
            config=config,
            inputs=data,
            test_indices=test_indices,
            test_ids=ids,
            label_set=small_task.label_set,
        )
        for seed in range(3)
    ]


@pytest.fixture
def diverging(jobs):
    """The second job, at a learning rate at which its loss is not a number."""
    recipe = dataclasses.replace(jobs[1].config, learning_rate=1e30, max_grad_norm=1e30, epochs=9)
    return dataclasses.replace(jobs[1], config=recipe)


@pytest.fixture
def misshapen(jobs):
    """The second job, with targets of one class instead of four."""
    one_class = jobs[1].inputs.phases[0].targets[:, :1]
    return dataclasses.replace(jobs[1], inputs=with_phase(jobs[1].inputs, targets=one_class))
