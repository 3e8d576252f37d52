"""Seeds that are trained at once on stacked weights, beside the same seeds alone."""

import dataclasses
import itertools
import json
import shutil
import threading

import numpy as np
import pytest
import torch

from project.config.finetune import FinetuneConfig
from project.support.claims import Claim
from project.support.errors import AssayError
from project.training import stacked_jobs
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.jobs import run_jobs
from project.training.loop import train
from project.training.results import Stack, load_result
from project.training.seed import predict_and_save, run_job
from project.training.stacked import check_stackable, train_stacked
from project.training.stacked_jobs import run_stacked
from project.training.stacked_model import StackedModel
from tests.helpers.trainings import with_phase

SEEDS = (0, 1)
NEAR = {"fp32": 2e-4, "bf16": 0.02}
"""How far losses and weights may differ, by rounding alone."""
DROPOUTS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "dropout", "attention_dropout")


@pytest.fixture
def without_dropout(tiny, tmp_path):
    """A function from an architecture's name to an encoder whose training has no chance in it."""

    def encoder_of(name, precision="fp32"):
        folder = tmp_path / name
        shutil.copytree(tiny(name), folder)
        file = folder / "config.json"
        settings = json.loads(file.read_text())
        file.write_text(json.dumps({**settings, **dict.fromkeys(DROPOUTS, 0.0)}))
        config = FinetuneConfig(
            encoder=str(folder),
            epochs=2,
            train_batch_size=12,
            learning_rate=3e-3,
            precision=precision,
            dropout=0.0,
        )
        return Encoder.find(config), config

    return encoder_of


def alone(encoder, config, inputs, folder, seed):
    """The history of a seed alone, and its best weights."""
    model = train(
        encoder,
        dataclasses.replace(config, batching="padded"),
        inputs,
        seed=seed,
        checkpoint=Checkpoint(folder / "none", "", 1e9),
        after_evaluation=lambda evaluation: None,
    )
    return model.history, dict(model.batching.model.named_parameters())


def stacked(encoder, config, inputs, folder, seeds=SEEDS, report=lambda place, one: None):
    return train_stacked(
        encoder,
        config,
        inputs,
        seeds=seeds,
        checkpoint=Checkpoint(folder / "stack.safetensors", "digest", 0.0),
        after_evaluation=report,
    )


def weights(trained, place):
    """The best weights of one seed."""
    model = trained.select(place).model
    return {name: value.detach().clone() for name, value in model.named_parameters()}


@pytest.mark.parametrize(
    ("name", "parts", "precision"),
    [("Bert", 1, "fp32"), ("Roberta", 3, "fp32"), ("DistilBert", 1, "fp32"), ("Bert", 1, "bf16")],
)
def test_every_seed_has_the_numbers_that_it_has_alone(
    without_dropout, data, tmp_path, name, parts, precision
):
    encoder, config = without_dropout(name, precision)
    config = dataclasses.replace(config, gradient_accumulation=parts, max_grad_norm=0.5)
    near = NEAR[precision]
    inputs = dataclasses.replace(data, tokens=encoder.tokens(texts_of(data), tmp_path / "tokens"))
    together = stacked(encoder, config, inputs, tmp_path)

    for place, seed in enumerate(SEEDS):
        history, expected = alone(encoder, config, inputs, tmp_path, seed)
        found = weights(together, place)
        losses = [one.training_loss for one in together.histories[place]]
        assert losses == pytest.approx([one.training_loss for one in history], rel=near)
        for parameter, value in expected.items():
            torch.testing.assert_close(found[parameter], value.detach(), rtol=0, atol=near)
    assert len({one[-1].training_loss for one in together.histories}) == len(SEEDS)


def texts_of(data):
    """Texts with as many words as those of ``data``, since every architecture has own tokens."""
    n = sum(len(phase.indices) for phase in data.phases) + len(data.validation_indices)
    return [f"red cotton shirt {'soft ' * (index % 7)}for men" for index in range(n)]


def test_a_stopped_training_goes_on_with_the_same_bits(encoder, config, data, tmp_path):
    whole = stacked(encoder, config, data, tmp_path / "whole")
    seen = []

    def stop(place, evaluation):
        seen.append((place, evaluation.number))
        if evaluation.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stacked(encoder, config, data, tmp_path / "stopped", report=stop)
    reported = []
    again = stacked(
        encoder,
        config,
        data,
        tmp_path / "stopped",
        report=lambda place, one: reported.append((place, one.number)),
    )

    assert again.histories == whole.histories
    assert reported == [(place, number) for number in (1, 2, 3) for place in range(2)]
    for place in range(2):
        for name, value in weights(whole, place).items():
            assert torch.equal(weights(again, place)[name], value)


def test_dropout_differs_between_seeds_with_the_same_first_weights(encoder, config, data, tmp_path):
    twice = stacked(encoder, config, data, tmp_path, seeds=(4, 4))

    first, second = (history[0].training_loss for history in twice.histories)
    assert first != second


@pytest.fixture
def stack_jobs(jobs):
    """Two jobs of one stack."""
    stack = Stack(SEEDS, "of-all")
    config = dataclasses.replace(jobs[0].config, batching="stacked")
    return [dataclasses.replace(job, stack=stack, config=config) for job in jobs[:2]]


def test_every_seed_of_a_stack_has_a_result_of_its_own(stack_jobs, tmp_path):
    reported = []
    outcomes = list(
        run_stacked(stack_jobs, tmp_path, 1, lambda job, one: reported.append(job.seed))
    )
    results = [load_result(tmp_path / job.digest, job, reused=False) for job in stack_jobs]

    assert [(one.job.seed, one.error) for one in outcomes] == [(seed, None) for seed in SEEDS]
    assert reported == [*SEEDS] * 3
    assert {result.batching for result in results} == {"stacked"}
    tables = [result.predictions.to_numpy() for result in results]
    assert not np.array_equal(tables[0], tables[1])
    assert not list(tmp_path.glob("*.safetensors"))


def test_a_result_that_is_missing_is_made_as_it_was(stack_jobs, tmp_path):
    list(run_stacked(stack_jobs, tmp_path, 1, lambda job, one: None))
    before = load_result(tmp_path / stack_jobs[1].digest, stack_jobs[1], reused=False)
    shutil.rmtree(tmp_path / stack_jobs[1].digest)
    (outcome,) = run_stacked(stack_jobs[1:2], tmp_path, 1, lambda job, one: None)
    after = load_result(tmp_path / stack_jobs[1].digest, stack_jobs[1], reused=False)

    assert outcome.error is None
    assert after.predictions.equals(before.predictions)
    assert after.history == before.history


def test_scores_on_the_test_split_are_close_to_those_of_seeds_alone(
    without_dropout, stack_jobs, tmp_path
):
    encoder, config = without_dropout("Bert")
    changes = {"encoder": encoder, "config": dataclasses.replace(config, batching="stacked")}
    together = [dataclasses.replace(job, **changes) for job in stack_jobs]
    list(run_stacked(together, tmp_path, 1, lambda job, one: None))
    for job in together:
        by_itself = dataclasses.replace(job, digest=f"alone{job.seed}", stack=None, config=config)
        run_job(by_itself, tmp_path, lambda one: None)
        one, other = (
            load_result(tmp_path / each.digest, each, reused=False).predictions
            for each in (job, by_itself)
        )
        numbers = one.select_dtypes("number").columns
        assert len(numbers) == len(job.label_set)
        np.testing.assert_allclose(one[numbers], other[numbers], atol=2e-3)


def test_a_stack_whose_losses_are_no_numbers_says_so_for_each_seed(stack_jobs, tmp_path):
    recipe = dataclasses.replace(
        stack_jobs[0].config, learning_rate=1e30, max_grad_norm=1e30, epochs=9
    )
    outcomes = list(
        run_stacked(
            [dataclasses.replace(job, config=recipe) for job in stack_jobs],
            tmp_path,
            1,
            lambda job, one: None,
        )
    )

    assert [one.job.seed for one in outcomes] == [*SEEDS]
    assert all("training diverged (loss is not a number)" in str(one.error) for one in outcomes)


def test_one_seed_that_diverges_leaves_the_others_alone(stack_jobs, tmp_path, monkeypatch):
    step = StackedModel.gradients

    def break_the_second(model, *arguments, **options):
        losses = step(model, *arguments, **options)
        for value in model.parameters.values():
            value.grad[1].fill_(float("nan"))
        return losses

    monkeypatch.setattr(StackedModel, "gradients", break_the_second)
    first, second = run_stacked(stack_jobs, tmp_path, 1, lambda job, one: None)
    kept = load_result(tmp_path / stack_jobs[0].digest, stack_jobs[0], reused=False)

    assert first.error is None
    assert all(np.isfinite(one.training_loss) for one in kept.history)
    assert "training diverged (loss is not a number)" in str(second.error)


def test_a_seed_whose_predictions_fail_leaves_the_results_of_the_others(
    stack_jobs, tmp_path, monkeypatch
):
    def fail_for_the_second(job, *arguments, **more):
        if job.seed:
            raise AssayError("a probability is not a number")
        predict_and_save(job, *arguments, **more)

    monkeypatch.setattr(stacked_jobs, "predict_and_save", fail_for_the_second)
    first, second = run_stacked(stack_jobs, tmp_path, 1, lambda job, one: None)

    assert first.error is None
    assert "a probability" in str(second.error)


def test_a_stack_is_trained_by_one_process_and_once(stack_jobs, tmp_path):
    calls = []

    def run(jobs, folder, workers, progress):
        calls.append([job.seed for job in jobs])
        yield from run_stacked(jobs, folder, workers, progress)

    claim = Claim(tmp_path / "claims" / f"{stack_jobs[0].work}.lock")
    assert claim.take()
    threading.Timer(0.5, claim.close).start()  # as if the other process had died
    results = run_jobs(
        stack_jobs, folder=tmp_path, workers=1, progress=lambda job, one: None, run=run
    )

    assert [job.seed for job, _ in results] == [*SEEDS]
    assert calls == [[], [*SEEDS]]


def test_texts_per_second_are_those_of_one_seed(stack_jobs, tmp_path, monkeypatch):
    seconds = itertools.count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(seconds)))
    list(run_stacked(stack_jobs, tmp_path, 1, lambda job, one: None))
    result = load_result(tmp_path / stack_jobs[0].digest, stack_jobs[0], reused=False)

    # 40 texts in 5 steps: one look at the clock before, one in each step but the last, one behind.
    assert [one.texts_per_second for one in result.history] == [40 / 5] * 3


def test_a_stack_that_fails_does_not_stop_the_next_one(stack_jobs, tmp_path):
    one_class = stack_jobs[0].inputs.phases[0].targets[:, :1]
    broken = dataclasses.replace(
        stack_jobs[0],
        inputs=with_phase(stack_jobs[0].inputs, targets=one_class),
        stack=Stack(SEEDS, "broken"),
    )
    failed, *fine = run_stacked([broken, *stack_jobs[1:]], tmp_path, 1, lambda job, one: None)

    assert isinstance(failed.error, AssayError)
    assert [(one.job.seed, one.error) for one in fine] == [(1, None)]


@pytest.mark.parametrize("name", ["Llama", "ModernBert", "Bart", "XLNet", "DebertaV2"])
def test_an_architecture_that_cannot_be_stacked_is_refused_by_name(tiny, name):
    config = FinetuneConfig(encoder=str(tiny(name)), precision="fp32", batching="stacked")
    encoder = Encoder.find(config)

    with pytest.raises(AssayError, match="^batching=stacked is not exact for a model of type "):
        check_stackable(encoder, config)


@pytest.mark.parametrize(
    ("changes", "needed"),
    [
        ({"encoder": "linear"}, "an encoder that is fine-tuned"),
        ({"lora_rank": 8}, "lora_rank=0"),
        ({"precision": "fp16"}, "precision auto, bf16, tf32 or fp32"),
    ],
)
def test_what_cannot_be_stacked_is_refused(changes, needed):
    with pytest.raises(AssayError, match=f"^batching=stacked needs {needed}"):
        FinetuneConfig(batching="stacked", **changes)
