"""How many seeds are trained at once, and how much memory one takes."""

import dataclasses
import shutil

import huggingface_hub.constants
import numpy as np
import pytest

from project.config.finetune import FinetuneConfig
from project.support.machine import Memory
from project.training import worker_counts
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.results import Job
from project.training.seed_memory import (
    PROCESS_BYTES,
    UNKNOWN_SHAPE,
    ModelShape,
    SeedMemory,
    batch_bytes,
    largest_seed,
    model_bytes,
)
from project.training.worker_counts import cpu_workers, gpu_workers, worker_count

GIB = 2**30
ROBERTA = ModelShape(768, 12, 12)
ROBERTA_BYTES = model_bytes(124_647_939, 124_647_939, 4)


@pytest.fixture
def job(tiny_encoder, tmp_path):
    """A job of 20 texts with 10 words each, and of 4 texts with 40 words that are predicted."""
    config = FinetuneConfig(encoder=str(tiny_encoder), precision="fp32")
    encoder = Encoder.find(config)
    tokens = encoder.tokens(["word " * 10] * 20 + ["word " * 40] * 4, tmp_path)
    inputs = TrainingInputs(
        tokens,
        (Phase(np.arange(20), np.eye(2)[[0, 1] * 10], np.ones(20)),),
        np.arange(0),
        np.arange(0),
    )
    test = np.arange(20, 24)
    return Job("gold", 0, "digest", encoder, config, inputs, test, tuple("abcd"), ("x", "y"))


def n_weights(encoder, config, n_classes):
    return sum(weight.numel() for weight in encoder.model(n_classes, config).parameters())


@pytest.fixture
def hub_id(tiny_encoder, tmp_path, monkeypatch):
    """The id of an encoder that is in the hub's cache, on a machine without a network."""
    commit = "a" * 40
    cached = tmp_path / "hub" / "models--owner--small"
    shutil.copytree(tiny_encoder, cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return "owner/small"


def test_the_size_of_an_encoder_from_the_hub_is_known_before_it_is_trained(hub_id, tiny_encoder):
    from_hub = Encoder.find(FinetuneConfig(encoder=hub_id, precision="fp32"))
    from_folder = Encoder.find(FinetuneConfig(encoder=str(tiny_encoder), precision="fp32"))

    assert from_hub.source.identity.startswith("hub owner/small@")
    assert from_hub.n_trained == from_folder.n_trained > 0
    assert from_hub.shape == from_folder.shape == ModelShape(32, 2, 2)


@pytest.mark.parametrize("name", ["bundled", "linear"])
def test_the_size_of_the_bundled_encoder_is_known(name):
    encoder = Encoder.find(FinetuneConfig(encoder=name))

    assert 22e6 < encoder.n_parameters < 23e6
    assert encoder.shape == ModelShape(384, 6, 12)


def test_weights_stored_in_half_precision_count_as_the_float32_weights_they_become(
    tiny_encoder, tmp_path
):
    folder = tmp_path / "half"
    shutil.copytree(tiny_encoder, folder)
    from safetensors.torch import load_file, save_file

    path = folder / "model.safetensors"
    weights = {name: value.half() for name, value in load_file(path).items()}
    save_file(weights, path, {"format": "pt"})
    save_file(weights, folder / "copy.safetensors", {"format": "pt"})  # which nobody loads

    config = FinetuneConfig(encoder=str(folder), precision="fp32")
    encoder = Encoder.find(config)

    assert encoder.training_bytes(config) == 24 * encoder.n_parameters
    # A head of 257 classes is counted, which is that of the trial.
    assert encoder.n_parameters - n_weights(encoder, config, 257) == 0


def test_frozen_weights_under_lora_take_their_own_bytes_alone(tiny):
    config = FinetuneConfig(encoder=str(tiny("Bert")), lora_rank=2, precision="bf16")

    encoder = Encoder.find(config)

    assert encoder.n_trained < encoder.n_parameters / 2
    frozen = encoder.n_parameters - encoder.n_trained
    assert encoder.training_bytes(config) == 24 * encoder.n_trained + 2 * frozen


def test_a_batch_is_that_of_the_longest_texts_and_smaller_in_parts():
    config = FinetuneConfig(train_batch_size=2)
    lengths = np.array([10, 100, 10, 50])

    whole = batch_bytes(ROBERTA, lengths, config)

    assert whole == 12 * (80 * 768 * 150 + 16 * 12 * (100**2 + 50**2))
    in_parts = dataclasses.replace(config, gradient_accumulation=2)
    assert batch_bytes(ROBERTA, lengths, in_parts) == 12 * (80 * 768 * 100 + 16 * 12 * 100**2)
    many = dataclasses.replace(in_parts, eval_batch_size=65_536)
    assert batch_bytes(ROBERTA, np.full(10_000, 10), many) == 64 * 768 * 100_000
    assert batch_bytes(UNKNOWN_SHAPE, lengths, config) == 0


def test_the_largest_job_decides_with_the_texts_that_it_predicts(job):
    shape = job.encoder.shape
    lengths = job.inputs.tokens.lengths(np.arange(24))
    larger = dataclasses.replace(job, config=dataclasses.replace(job.config, train_batch_size=20))

    assert largest_seed([job]).batch == batch_bytes(shape, lengths, job.config)
    assert largest_seed([job, larger]) == largest_seed([larger])
    assert largest_seed([larger]).batch > largest_seed([job]).batch
    assert largest_seed([]) == SeedMemory(0)


def test_a_cpu_trains_a_seed_on_each_core_if_memory_holds_as_many():
    seed = SeedMemory(GIB, GIB // 2)
    one = PROCESS_BYTES + GIB + GIB // 2

    assert cpu_workers(100 * one, seed, 64) == 64
    assert cpu_workers(3 * one, seed, 64) == 3
    assert cpu_workers(3 * one - 1, seed, 64) == 2
    assert cpu_workers(one // 2, seed, 64) == 1


def test_a_gpu_trains_up_to_five_seeds_within_memory_and_cores_and_one_of_unknown_size():
    seed = SeedMemory(ROBERTA_BYTES, GIB)

    assert gpu_workers(1, 79 * GIB, seed, 16) == 5
    assert gpu_workers(1, 20 * GIB, seed, 16) == 2
    assert gpu_workers(1, 79 * GIB, SeedMemory(0), 16) == 1
    assert gpu_workers(1, 6 * GIB, SeedMemory(10 * GIB), 16) == 1
    assert gpu_workers(4, 79 * GIB, seed, 8) == 8
    assert gpu_workers(4, 79 * GIB, SeedMemory(70 * GIB), 2) == 4
    # Large mini-batches leave room for fewer.
    assert gpu_workers(1, 79 * GIB, SeedMemory(ROBERTA_BYTES, 10 * GIB), 16) == 3


def test_memory_that_keeps_cores_idle_is_reported(job, monkeypatch):
    seed = largest_seed([job])
    one = PROCESS_BYTES + sum(seed)
    monkeypatch.setattr(worker_counts, "cpu_cores", lambda: 64)

    def with_free(free):
        monkeypatch.setattr(worker_counts, "memory", lambda: Memory(free, free))
        return worker_count(None, [job] * 4)

    assert with_free(100 * one) == (64, "")
    assert with_free(4 * one) == (4, "")  # there are four jobs only
    n, note = with_free(2 * one)
    assert n == 2
    assert note.startswith(
        "a seed takes about 0.9 GB, and 1.9 GB of memory are free: 2 are trained"
    )
    n, note = with_free(one // 2)
    assert n == 1
    assert note.startswith("note: a seed takes about 0.9 GB, and 0.5 GB")
    assert worker_count(7, [job]) == (7, "")


def test_logistic_regressions_run_one_after_another(job):
    inputs = dataclasses.replace(job.inputs, points=np.zeros((24, 2), dtype=np.float32))

    assert worker_count(7, [dataclasses.replace(job, inputs=inputs)]) == (1, "")
