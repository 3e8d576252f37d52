"""Fine-tuning: the recipe, its determinism, what stays on disk, many seeds side by side."""

import dataclasses
import math

import numpy as np
import pytest
import torch
import transformers
from transformers import get_linear_schedule_with_warmup

from project.config import FinetuneConfig
from project.errors import AssayError, Incomplete
from project.finetune import Encoder, Epoch, Training, _linear, _optimizer, best_epoch, predict, seed_digest, train
from project.models import ModelSource
from project.seeds import Job, _run, run_jobs
from project.tables import codes


@pytest.fixture(scope="module")
def config(tiny_encoder):
    return FinetuneConfig(encoder=str(tiny_encoder), epochs=3, train_batch_size=8, learning_rate=3e-3, precision="fp32")


@pytest.fixture(scope="module")
def encoder(config):
    return Encoder.find(config)


@pytest.fixture(scope="module")
def data(encoder, small_task):
    splits = {split: small_task.split(split) for split in ("train", "validation")}
    tokens = {split: encoder.encode(list(rows["text"]))[0] for split, rows in splits.items()}
    labels = {split: codes(rows["gold_label"], small_task.label_set) for split, rows in splits.items()}
    return Training(tokens["train"], labels["train"], tokens["validation"], labels["validation"], 4)


@pytest.fixture(scope="module")
def test_tokens(encoder, small_task):
    return encoder.encode(list(small_task.split("test")["text"]))[0]


def trained(encoder, config, data, folder, seed=0):
    epochs: list[Epoch] = []
    model, history = train(encoder, config, data, seed=seed, checkpoint=folder / "best.safetensors", after_epoch=epochs.append)
    assert epochs == history
    return model, history


def test_a_seed_gives_the_same_predictions_twice_and_another_seed_others(encoder, config, data, test_tokens, tmp_path):
    before = torch.random.get_rng_state()
    read = [predict(trained(encoder, config, data, tmp_path, seed)[0], test_tokens, "fp32", 32) for seed in (0, 0, 1)]

    assert (read[0] == read[1]).all()
    assert (read[0] != read[2]).any()
    assert (torch.random.get_rng_state() == before).all()


def test_training_learns_the_labels_it_is_given(encoder, config, data, tmp_path):
    _, history = trained(encoder, dataclasses.replace(config, epochs=30, learning_rate=1e-2), data, tmp_path)

    assert history[-1].training_loss < 0.5 * math.log(4)
    assert history[-1].learning_rate == 0.0


def test_the_best_epoch_by_validation_macro_f1_is_restored_and_ties_go_to_the_earlier(encoder, config, data, tmp_path):
    from project.stats.scores import confusion, scores

    model, history = trained(encoder, config, data, tmp_path)
    given = predict(model, data.validation_tokens, "fp32", 32).argmax(axis=1)

    kept = scores(confusion(data.validation_labels, given, 4)).macro_f1
    assert kept == max(epoch.validation_macro_f1 for epoch in history)
    assert best_epoch([Epoch(1, 0, 0, 0.5, 0), Epoch(2, 0, 0, 0.7, 0), Epoch(3, 0, 0, 0.7, 0)]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["best.safetensors"]


def test_predictions_do_not_depend_on_the_batch_they_are_in(encoder, config, data, test_tokens, tmp_path):
    model, _ = trained(encoder, config, data, tmp_path)

    assert predict(model, test_tokens, "fp32", 32) == pytest.approx(predict(model, test_tokens, "fp32", 1), abs=1e-5)


def test_the_schedule_is_transformers_linear_one():
    parameter = torch.nn.Parameter(torch.zeros(1))
    ours, theirs = (torch.optim.SGD([parameter], lr=1.0) for _ in range(2))
    mine = torch.optim.lr_scheduler.LambdaLR(ours, _linear(0.05, 60))
    reference = get_linear_schedule_with_warmup(theirs, num_warmup_steps=3, num_training_steps=60)
    for _ in range(60):
        assert mine.get_last_lr() == pytest.approx(reference.get_last_lr())
        for one in (ours, theirs, mine, reference):
            one.step()


def test_biases_and_norms_do_not_decay_and_the_head_has_the_dropout_asked_for(encoder, config):
    model = encoder.model(4, 0.3)
    groups = _optimizer(model, config).param_groups

    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.dropout.p == 0.3


def test_texts_longer_than_the_encoder_reads_are_cut_and_counted(encoder):
    tokens, cut = encoder.encode(["kettle " * 300, "kettle"])

    assert encoder.max_length == 64
    assert ([len(one) for one in tokens], cut) == ([64, 3], 1)


def test_a_diverging_seed_says_where(encoder, config, data, tmp_path):
    with pytest.raises(AssayError, match=r"training diverged .* in epoch \d at learning rate .*Lower learning_rate"):
        trained(encoder, dataclasses.replace(config, learning_rate=1e30, max_grad_norm=1e30, epochs=9), data, tmp_path)


def test_the_digest_names_all_that_can_change_a_prediction(encoder, config):
    base = seed_digest(encoder, config, ["t"], ["a"], 0)
    others = [
        seed_digest(encoder, dataclasses.replace(config, learning_rate=1e-5), ["t"], ["a"], 0), seed_digest(encoder, config, ["u"], ["a"], 0),
        seed_digest(encoder, config, ["t"], ["b"], 0), seed_digest(encoder, config, ["t"], ["a"], 1),
        seed_digest(dataclasses.replace(encoder, precision="bf16"), config, ["t"], ["a"], 0),
    ]  # fmt: skip

    assert len({base, *others}) == 6
    assert seed_digest(encoder, dataclasses.replace(config, seeds=9), ["t"], ["a"], 0) == base


@pytest.fixture
def jobs(encoder, config, data, test_tokens, small_task):
    ids = tuple(small_task.split("test")["example_id"])
    return [Job("gold", seed, f"digest{seed}", encoder, config, data, test_tokens, ids, small_task.label_set) for seed in range(3)]


def outcomes(jobs, folder, workers):
    ticks: list[int] = []
    found = {job.seed: result for job, result in run_jobs(jobs, folder=folder, workers=workers, progress=ticks.append)}
    assert sum(ticks) == sum(job.config.epochs for job in jobs)
    return found


def test_seeds_side_by_side_equal_seeds_one_after_another_and_leave_no_weights(jobs, tmp_path):
    alone, together = outcomes(jobs, tmp_path / "alone", 1), outcomes(jobs, tmp_path / "together", 2)

    for seed, result in alone.items():
        assert result.predictions.equals(together[seed].predictions)
        assert result.history == together[seed].history
    assert sorted(path.name for path in (tmp_path / "together").rglob("*.*")) == sorted(["predictions.parquet", "result.json"] * 3)


def test_finished_seeds_are_not_trained_again(jobs, tmp_path):
    outcomes(jobs[:2], tmp_path, 1)

    again = outcomes(jobs, tmp_path, 1)

    assert [again[seed].reused for seed in range(3)] == [True, True, False]


def test_arms_with_the_same_labels_share_one_training_run(jobs, tmp_path):
    twin = dataclasses.replace(jobs[0], arm="llm")
    ticks: list[int] = []

    found = [(job.arm, result.reused) for job, result in run_jobs([jobs[0], twin], folder=tmp_path, workers=1, progress=ticks.append)]

    assert found == [("gold", False), ("llm", True)]
    assert sum(ticks) == 6


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failing_seed_leaves_the_others_running_and_is_named(jobs, tmp_path, workers):
    wild = dataclasses.replace(jobs[1], config=dataclasses.replace(jobs[1].config, learning_rate=1e30, max_grad_norm=1e30, epochs=9))
    found: list[int] = []

    with pytest.raises(Incomplete, match="1 of 3 seeds failed; the others are kept. arm gold, seed 1: training diverged"):
        found.extend(job.seed for job, _ in run_jobs([jobs[0], wild, jobs[2]], folder=tmp_path, workers=workers, progress=lambda n: None))

    assert sorted(found) == [0, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["digest0", "digest2"]


def test_the_bundled_encoder_reads_the_embedded_task(small_task, tmp_path):
    encoder = Encoder.find(FinetuneConfig())
    tokens, cut = encoder.encode(list(small_task.split("test")["text"]))

    assert cut == 0
    model = encoder.model(4, 0.1)
    logs = predict(model, tokens[:4], "fp32", 4)
    assert np.exp(logs).sum(axis=1) == pytest.approx(1)
    assert sum(parameter.numel() for parameter in model.parameters()) == pytest.approx(22.7e6, rel=0.01)


@pytest.mark.parametrize(
    ("name", "field"),
    [("Albert", "classifier_dropout_prob"), ("DebertaV2", "cls_dropout"), ("DistilBert", "seq_classif_dropout"), ("Roberta", "classifier_dropout")],
)
def test_the_dropout_reaches_the_head_of_other_architectures(tmp_path, name, field):
    small = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "embedding_size": 16}
    if name == "DistilBert":
        small = {"vocab_size": 99, "dim": 32, "n_layers": 1, "n_heads": 2, "hidden_dim": 32}
    settings = getattr(transformers, f"{name}Config")(**small)
    getattr(transformers, f"{name}Model")(settings).save_pretrained(tmp_path)
    encoder = Encoder(ModelSource(name, str(tmp_path), None, "test"), "fp32", 64)

    model = encoder.model(2, 0.37)

    assert getattr(model.config, field) == 0.37
    assert 0.37 in {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}


def test_a_dropout_that_cannot_be_set_is_refused(tmp_path):
    settings = transformers.MPNetConfig(vocab_size=99, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    transformers.MPNetModel(settings).save_pretrained(tmp_path)
    encoder = Encoder(ModelSource("mpnet", str(tmp_path), None, "test"), "fp32", 64)

    encoder.model(2, 0.1)
    with pytest.raises(AssayError, match="dropout cannot be set for encoder mpnet"):
        encoder.model(2, 0.2)


def test_a_job_that_another_process_has_finished_meanwhile_is_no_error(jobs, tmp_path):
    outcomes(jobs[:1], tmp_path, 1)

    _run(jobs[0], tmp_path, lambda epoch: None)

    assert [path.name for path in tmp_path.iterdir()] == ["digest0"]


def test_unknown_encoders_and_impossible_precisions_are_refused():
    with pytest.raises(AssayError, match="encoder: no-such/encoder .* could not be found on the hub"):
        Encoder.find(FinetuneConfig(encoder="no-such/encoder"))
    if not torch.cuda.is_available():
        with pytest.raises(AssayError, match="precision fp16 needs a GPU"):
            Encoder.find(FinetuneConfig(precision="fp16"))
