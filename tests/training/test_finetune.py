"""Fine-tuning: the recipe, its determinism, what stays on disk, seeds in parallel."""

import dataclasses
import math
import os
import re

import numpy as np
import pytest
import torch
from transformers import get_scheduler

from project.config.finetune import FinetuneConfig
from project.config.recipe import rate_factor
from project.data.tables import codes
from project.support.errors import AssayError, Incomplete
from project.training.checkpoint import Checkpoint
from project.training.encoder import Encoder
from project.training.history import Evaluation, best_evaluation
from project.training.inputs import Phase, TrainingInputs, seed_digest
from project.training.jobs import run_jobs
from project.training.loop import train
from project.training.optimizer import build_optimizer
from project.training.predict import predict
from project.training.results import Job
from project.training.seed import run_job
from project.training.targets import targets
from project.training.tokens import Tokens


@pytest.fixture(scope="module")
def config(tiny_encoder):
    return FinetuneConfig(
        encoder=str(tiny_encoder),
        epochs=3,
        train_batch_size=8,
        learning_rate=3e-3,
        precision="fp32",
    )


@pytest.fixture(scope="module")
def encoder(config):
    return Encoder.find(config)


@pytest.fixture(scope="module")
def split(encoder, config, small_task, tmp_path_factory):
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


@pytest.fixture(scope="module")
def data(split):
    return split[0]


@pytest.fixture(scope="module")
def test_indices(split):
    return split[1]


def with_phase(data, **changes):
    return dataclasses.replace(data, phases=(data.phases[0]._replace(**changes),))


def trained(encoder, config, data, folder, seed=0):
    evaluations: list[Evaluation] = []
    model, history = train(
        encoder,
        config,
        data,
        seed=seed,
        checkpoint=Checkpoint(folder / "x.safetensors", "x", 0),
        after_evaluation=evaluations.append,
    )
    assert evaluations == history
    return model, history


def test_the_same_seed_gives_the_same_predictions_and_another_seed_different_ones(
    encoder, config, data, test_indices, tmp_path
):
    before = torch.random.get_rng_state()
    read = [
        predict(
            trained(encoder, config, data, tmp_path / str(n), seed)[0],
            data.tokens,
            test_indices,
            precision="fp32",
            batch_size=32,
        )
        for n, seed in enumerate((0, 0, 1))
    ]

    assert (read[0] == read[1]).all()
    assert (read[0] != read[2]).any()
    assert (torch.random.get_rng_state() == before).all()


def test_training_lowers_the_loss_and_ends_at_a_learning_rate_of_zero(
    encoder, config, data, tmp_path
):
    _, history = trained(
        encoder, dataclasses.replace(config, epochs=30, learning_rate=5e-3), data, tmp_path
    )

    assert history[-1].training_loss < 0.5 * math.log(4)
    assert history[-1].learning_rate == 0.0


def test_the_best_epoch_by_validation_macro_f1_is_restored_and_ties_go_to_the_earlier(
    encoder, config, data, tmp_path
):
    from project.stats.scores import confusion, scores

    model, history = trained(encoder, config, data, tmp_path)
    given = predict(
        model, data.tokens, data.validation_indices, precision="fp32", batch_size=32
    ).argmax(axis=1)

    kept = scores(confusion(data.validation_labels, given, 4)).macro_f1
    assert kept == max(epoch.validation_macro_f1 for epoch in history)
    scored = [Evaluation(n, 0, 0, score, 0) for n, score in ((1, 0.5), (2, 0.7), (3, 0.7))]
    assert best_evaluation(scored).number == 2


def test_at_most_two_checkpoints_are_on_disk_at_any_time(
    encoder, config, data, tmp_path, monkeypatch
):
    import project.training.checkpoint

    seen: list[int] = []
    save = vars(project.training.checkpoint)["save_file"]

    def saved(*arguments):
        save(*arguments)
        seen.append(len(list(tmp_path.iterdir())))

    monkeypatch.setattr(project.training.checkpoint, "save_file", saved)
    trained(encoder, dataclasses.replace(config, epochs=5), data, tmp_path)

    assert seen == [1, 2, 2, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_predictions_do_not_depend_on_the_batch_they_are_in(
    encoder, config, data, test_indices, tmp_path
):
    model, _ = trained(encoder, config, data, tmp_path)

    together, alone = (
        predict(model, data.tokens, test_indices, precision="fp32", batch_size=size)
        for size in (32, 1)
    )
    assert together == pytest.approx(alone, abs=1e-5)
    assert predict(
        model, data.tokens, test_indices[::-1], precision="fp32", batch_size=32
    ) == pytest.approx(together[::-1], abs=1e-5)


@pytest.mark.parametrize("scheduler", ["linear", "cosine", "constant_with_warmup"])
def test_the_schedules_are_those_of_transformers(scheduler):
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    reference = get_scheduler(scheduler, optimizer, num_warmup_steps=3, num_training_steps=60)
    factor = rate_factor(scheduler.removesuffix("_with_warmup"), 0.05, 60)
    for step in range(60):
        assert factor(step) == pytest.approx(reference.get_last_lr()[0])
        optimizer.step()
        reference.step()


def test_biases_and_norms_do_not_decay_and_the_head_has_the_configured_dropout(encoder, config):
    model = encoder.model(4, dataclasses.replace(config, dropout=0.3))
    groups = build_optimizer(model.parameters(), config).param_groups

    assert [group["weight_decay"] for group in groups] == [0.01, 0.0]
    assert {parameter.ndim for parameter in groups[1]["params"]} == {1}
    assert sum(len(group["params"]) for group in groups) == len(list(model.parameters()))
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert model.dropout.p == 0.3


def test_the_error_of_a_diverging_seed_names_epoch_and_step(encoder, config, data, tmp_path):
    with pytest.raises(
        AssayError,
        match=r"training diverged .* in epoch \d, step \d+ of 36, at learning rate .*Lower "
        r"learning_rate",
    ):
        trained(
            encoder,
            dataclasses.replace(config, learning_rate=1e30, max_grad_norm=1e30, epochs=9),
            data,
            tmp_path,
        )


def test_the_digest_changes_with_everything_that_can_change_a_prediction(
    encoder, config, data, test_indices
):
    def identity(
        encoder=encoder, config=config, data=data, rows=test_indices, names=("t1", "a"), seed=0
    ):
        return seed_digest(encoder, config, data, test_indices=rows, names=names, seed=seed)

    replace, first = dataclasses.replace, data.phases[0]
    changed = [
        identity(replace(encoder, precision="bf16")),
        identity(replace(encoder, max_length=32)),
        identity(data=with_phase(data, indices=first.indices[::-1])),
        identity(data=with_phase(data, targets=first.targets[::-1])),
        identity(data=with_phase(data, weights=first.weights * 2)),
        identity(data=replace(data, phases=(first, first))),
        identity(data=replace(data, validation_indices=first.indices[:1])),
        identity(data=replace(data, validation_labels=1 - data.validation_labels)),
        identity(data=replace(data, tokens=Tokens(data.tokens.folder.with_name("other")))),
        identity(rows=test_indices[::-1]),
        identity(names=("t1", "b")),
        identity(seed=1),
        identity(config=replace(config, evaluations=2)),
        identity(config=replace(config, min_steps=1000)),
        *(
            identity(config=replace(config, **{name: value}))
            for name, value in OTHER_RECIPE.items()
        ),
    ]

    assert len({identity(), *changed}) == len(changed) + 1
    assert (
        identity(config=replace(config, seeds=9, workers=3, checkpoint_seconds=1.0)) == identity()
    )
    # The same steps and evaluations, whatever rule led to them.
    assert identity(config=replace(config, recipe="paper", min_steps=1)) == identity()


OTHER_RECIPE = {
    "epochs": 4,
    "train_batch_size": 9,
    "gradient_accumulation": 2,
    "eval_batch_size": 9,
    "learning_rate": 1e-5,
    "scheduler": "cosine",
    "warmup_ratio": 0.5,
    "weight_decay": 0.5,
    "adam_beta1": 0.5,
    "adam_beta2": 0.5,
    "adam_epsilon": 0.5,
    "max_grad_norm": 0.5,
    "dropout": 0.5,
    "lora_rank": 2,
    "lora_alpha": 2,
    "lora_dropout": 0.5,
    "batching": "padded",
}


def test_every_hyper_parameter_is_part_of_the_digest(config):
    assert config.hyper_parameters().keys() == OTHER_RECIPE.keys()


def test_every_hyper_parameter_reaches_the_optimizer(encoder, config):
    other = dataclasses.replace(
        config, adam_beta1=0.5, adam_beta2=0.6, adam_epsilon=0.25, weight_decay=0.125
    )
    group = build_optimizer(encoder.model(2, config).parameters(), other).param_groups[0]

    assert (group["betas"], group["eps"], group["weight_decay"], group["lr"]) == (
        (0.5, 0.6),
        0.25,
        0.125,
        3e-3,
    )


def test_fewer_examples_than_a_batch_are_one_step(encoder, config, data, tmp_path):
    few = dataclasses.replace(data, phases=(Phase(*(one[:3] for one in data.phases[0])),))

    _, history = trained(encoder, config, few, tmp_path)

    assert len(history) == 3
    assert all(
        math.isfinite(epoch.training_loss) and epoch.texts_per_second > 0 for epoch in history
    )


def test_a_second_phase_continues_with_the_first_one_s_weights_and_decides_the_best_epoch(
    encoder, config, data, test_indices, tmp_path
):
    first, n = data.phases[0], len(data.phases[0].indices)
    others = np.roll(first.targets, 1, axis=1)
    both = dataclasses.replace(
        data,
        phases=(first, Phase(first.indices[: n // 2], others[: n // 2], first.weights[: n // 2])),
    )

    how, history = trained(encoder, config, both, tmp_path)

    assert [(one.number, one.phase) for one in history] == [
        (1, 0),
        (2, 0),
        (3, 0),
        (4, 1),
        (5, 1),
        (6, 1),
    ]
    alone = trained(encoder, config, data, tmp_path / "alone")[1]
    assert [one.training_loss for one in history[:3]] == [one.training_loss for one in alone]
    assert history[3].learning_rate > history[2].learning_rate == 0  # a schedule of its own
    assert best_evaluation(history).number > 3
    given = predict(
        how, data.tokens, first.indices[: n // 2], precision="fp32", batch_size=32
    ).argmax(axis=1)
    assert (given == others[: n // 2].argmax(axis=1)).mean() > (
        given == first.targets[: n // 2].argmax(axis=1)
    ).mean()


def test_weights_decide_what_is_learned(encoder, config, data, tmp_path):
    weights = np.where(data.phases[0].targets[:, 0] == 1, 0.0, 1.0)
    blind = with_phase(data, weights=weights / weights.mean())
    recipe = dataclasses.replace(config, epochs=30, learning_rate=5e-3)

    model, _ = trained(encoder, recipe, blind, tmp_path)

    given = predict(
        model, data.tokens, data.phases[0].indices, precision="fp32", batch_size=32
    ).argmax(axis=1)
    assert not (given == 0).any()
    assert (given == data.phases[0].targets.argmax(axis=1))[weights > 0].mean() > 0.6


@pytest.fixture
def jobs(encoder, config, data, test_indices, small_task):
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


def outcomes(jobs, folder, workers):
    seen: dict[int, list[Evaluation]] = {}
    found = {
        job.seed: result
        for job, result in run_jobs(
            jobs,
            folder=folder,
            workers=workers,
            progress=lambda job, one: seen.setdefault(job.seed, []).append(one),
        )
    }
    assert seen == {
        seed: result.history for seed, result in found.items()
    }  # every seed's epochs, in order
    return found


def test_seeds_in_parallel_equal_seeds_in_sequence_and_leave_no_weights(
    jobs, tmp_path, forked_workers
):
    alone, together = (
        outcomes(jobs, tmp_path / "alone", 1),
        outcomes(jobs, tmp_path / "together", 2),
    )

    for seed, result in alone.items():
        assert result.predictions.equals(together[seed].predictions)
        assert result.history == together[seed].history
    names = [path.name for path in (tmp_path / "together").glob("digest*/*")]
    assert sorted(names) == sorted(["predictions.parquet", "result.json", "checksums.json"] * 3)


def results_in(folder):
    """The names of the folders of results."""
    return sorted(path.name for path in folder.iterdir() if path.name != "claims")


def test_finished_seeds_are_not_trained_again(jobs, tmp_path):
    outcomes(jobs[:2], tmp_path, 1)

    again = outcomes(jobs, tmp_path, 1)

    assert [again[seed].reused for seed in range(3)] == [True, True, False]


def test_arms_with_the_same_labels_share_one_training_run(jobs, tmp_path):
    duplicate = dataclasses.replace(jobs[0], arm="llm")
    seen: list[tuple[str, int]] = []

    found = [
        (job.arm, result.reused)
        for job, result in run_jobs(
            [jobs[0], duplicate],
            folder=tmp_path,
            workers=1,
            progress=lambda job, evaluation: seen.append((job.arm, evaluation.number)),
        )
    ]

    assert found == [("gold", False), ("llm", True)]
    assert seen == [("gold", 1), ("gold", 2), ("gold", 3), ("llm", 1), ("llm", 2), ("llm", 3)]


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


def finished_and_error(jobs, folder, workers):
    """The seeds that are finished, in order, and the message of the error at the end."""
    finished: list[int] = []
    with pytest.raises(Incomplete) as error:
        finished.extend(
            job.seed
            for job, _ in run_jobs(jobs, folder=folder, workers=workers, progress=lambda *_: None)
        )
    return sorted(finished), str(error.value)


def test_a_failed_seed_is_named_and_the_others_are_finished(jobs, diverging, tmp_path):
    finished, error = finished_and_error([jobs[0], diverging, jobs[2]], tmp_path, 1)

    assert finished == [0, 2]
    assert "1 of 3 seeds failed; the others are kept. arm gold, seed 1: training diverged" in error
    assert results_in(tmp_path) == ["digest0", "digest2"]


def test_a_seed_with_an_unexpected_error_is_named_and_the_others_are_finished(
    jobs, misshapen, tmp_path
):
    finished, error = finished_and_error([jobs[0], misshapen, jobs[2]], tmp_path, 1)

    assert finished == [0, 2]
    assert re.search(r"1 of 3 seeds failed; .*arm gold, seed 1: \w+Error: ", error)


def test_seeds_that_fail_in_worker_processes_are_named_and_the_others_are_finished(
    jobs, diverging, misshapen, tmp_path, forked_workers
):
    odd = dataclasses.replace(misshapen, arm="odd", digest="odd")

    finished, error = finished_and_error([jobs[0], diverging, odd, jobs[2]], tmp_path, 2)

    assert finished == [0, 2]
    assert "2 of 4 seeds failed; the others are kept." in error
    assert "arm gold, seed 1: training diverged" in error
    assert re.search(r"arm odd, seed 1: \w+Error: ", error)
    assert results_in(tmp_path) == ["digest0", "digest2"]


class Deadly:
    """Ends the process that unpickles it, as a kernel does that runs out of memory."""

    def __reduce__(self):
        return os._exit, (9,)


def test_a_seed_whose_process_dies_is_named_and_the_others_are_finished(
    jobs, tmp_path, capfd, forked_workers
):
    found: list[tuple[int, int]] = []
    deadly = dataclasses.replace(jobs[1], label_set=Deadly())
    seen: list[tuple[int, int]] = []

    with pytest.raises(
        Incomplete,
        match="1 of 3 seeds failed; the others are kept. arm gold, seed 1: its process died, "
        "often for lack of memory",
    ):
        found.extend(
            (job.seed, len(result.history))
            for job, result in run_jobs(
                [jobs[0], deadly, jobs[2]],
                folder=tmp_path,
                workers=2,
                progress=lambda job, evaluation: seen.append((job.seed, evaluation.number)),
            )
        )

    assert sorted(found) == [(0, 3), (2, 3)]
    assert sorted(seen) == [(seed, epoch) for seed in (0, 2) for epoch in (1, 2, 3)]
    assert (
        "a worker process died, often for lack of memory; going on with 1 at once"
        in capfd.readouterr().err
    )


def test_predictions_that_are_not_numbers_are_refused_as_divergence(
    encoder, config, data, test_indices, tmp_path
):
    how, _ = train(
        encoder,
        config,
        data,
        seed=0,
        checkpoint=Checkpoint(tmp_path / "c", "d", 1e9),
        after_evaluation=lambda _: None,
    )
    with torch.no_grad():
        next(iter(how.model.parameters()))[:] = float("nan")

    with pytest.raises(
        AssayError, match="training diverged: predictions are not numbers. Lower learning_rate"
    ):
        predict(how, data.tokens, test_indices, precision="fp32", batch_size=8)


def test_a_job_that_another_process_finished_meanwhile_is_no_error(jobs, tmp_path):
    outcomes(jobs[:1], tmp_path, 1)

    run_job(jobs[0], tmp_path, lambda evaluation: None)

    assert results_in(tmp_path) == ["digest0"]


def test_the_error_out_of_memory_names_what_to_lower(jobs, tmp_path, monkeypatch):
    def hungry(*_, **__):
        return torch.empty(2**60)

    monkeypatch.setattr("project.training.seed.train", hungry)
    with pytest.raises(
        AssayError,
        match="out of memory. Lower workers, .* raise gradient_accumulation, or lower "
        "eval_batch_size or max_length",
    ):
        run_job(jobs[0], tmp_path, lambda evaluation: None)
