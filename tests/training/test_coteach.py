"""Two networks that teach each other the texts of small loss (Han et al. 2018)."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from project.config.finetune import LINEAR, FinetuneConfig
from project.support.errors import AssayError
from project.training.checkpoint import Checkpoint
from project.training.coteach import _PairRun, easiest, kept_counts, train_pair
from project.training.inputs import seed_digest
from project.training.results import RESULT
from project.training.seed import run_job
from project.training.seed_memory import largest_seed
from project.training.text_order import TextOrder
from tests.helpers.trainings import trained, with_phase


class Killed(BaseException):
    """An exception that no stage catches."""


def small(data, **changes):
    """The first 24 training texts of ``data``, with 30 % noise."""
    first = {name: getattr(data.phases[0], name)[:24] for name in data.phases[0]._fields}
    return dataclasses.replace(with_phase(data, **first), noise=0.3, **changes)


def pair(encoder, config, data, folder, seed=0, report=lambda evaluation: None):
    return train_pair(
        encoder,
        config,
        data,
        seed=seed,
        checkpoint=Checkpoint(folder / "x.safetensors", "x", 0),
        after_evaluation=report,
    )


def test_the_share_that_is_learned_falls_over_a_third_of_the_steps_and_is_met_over_all():
    sizes = np.resize([16, 16, 8], 300)
    kept = kept_counts(sizes, 0.2)

    assert kept[0] == 16
    assert (kept <= sizes).all()
    assert kept[100:].sum() == pytest.approx(0.8 * sizes[100:].sum(), abs=1)
    assert kept[:100].sum() == pytest.approx(0.9 * sizes[:100].sum(), rel=0.01)
    assert set(kept[100:][sizes[100:] == 16]) <= {12, 13}
    assert kept_counts(np.array([1, 1, 1]), 0.9).tolist() == [1, 1, 1]  # at least one


def test_the_same_share_of_each_label_is_named_whose_losses_are_the_smallest():
    labels = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1])
    losses = torch.tensor([0.1, 0.4, 0.2, 0.3, 0.6, 0.5, 2.0, 3.0])

    assert sorted(easiest(losses, labels, 4).tolist()) == [0, 2, 3, 6]  # not 0, 1, 2, 3
    assert sorted(easiest(losses, torch.zeros(8), 4).tolist()) == [0, 1, 2, 3]
    assert sorted(easiest(torch.ones(4), torch.zeros(4), 2).tolist()) == [0, 1]
    assert len(easiest(losses, labels, 8)) == 8
    # With a label for each text the loss alone decides.
    assert easiest(losses, torch.arange(8), 3).tolist() == [0, 2, 3]


def test_each_network_learns_from_the_texts_that_the_other_names(
    encoder, config, data, tmp_path, monkeypatch
):
    inputs = small(data)
    checkpoint = Checkpoint(tmp_path / "x.safetensors", "x", 1e9)
    run = _PairRun(encoder, config, inputs, order=TextOrder(0), checkpoint=checkpoint, seed=0)
    run._kept[:] = 2
    run._phase.targets[:4] = torch.eye(inputs.n_classes)[[0, 0, 1, 1]]
    own = torch.tensor([4.0, 1.0, 8.0, 6.0], requires_grad=True)
    peer = torch.tensor([1.0, 2.0, 5.0, 9.0], requires_grad=True)
    losses = iter((own, peer))
    monkeypatch.setattr(run, "_losses", lambda batching, batch: next(losses))
    total = run._add_gradients(0, np.arange(4))

    # what the peer finds easy, of each label
    assert torch.as_tensor(own.grad).tolist() == [0.5, 0, 0.5, 0]
    assert torch.as_tensor(peer.grad).tolist() == [0, 0.5, 0, 0.5]
    assert total.item() == 19
    broken = iter((torch.ones(4, requires_grad=True), torch.tensor([1.0, np.nan, 1.0, 1.0])))
    monkeypatch.setattr(run, "_losses", lambda batching, batch: next(broken))
    assert run._add_gradients(0, np.arange(4)).isnan()


def test_a_network_starts_as_its_seed_alone_does_and_its_peer_as_no_other(
    encoder, config, data, tmp_path
):
    inputs = small(data)
    heads: dict[int, torch.Tensor] = {}
    for seed in (0, 1):
        torch.manual_seed(seed)
        alone = encoder.model(inputs.n_classes, config).state_dict()
        torch.manual_seed(seed)
        checkpoint = Checkpoint(tmp_path / "x.safetensors", "x", 1e9)
        run = _PairRun(
            encoder, config, inputs, order=TextOrder(seed), checkpoint=checkpoint, seed=seed
        )
        for name, value in run._own.items():
            assert torch.equal(value, alone[name].to(value.device))
        name = next(name for name in run._own if name.startswith("classifier"))
        heads |= {seed: run._own[name].detach(), -1 - seed: run._peer[name].detach()}
    assert len({tuple(value.flatten().tolist()) for value in heads.values()}) == 4


def test_it_is_another_training_than_that_of_the_labels_and_the_same_every_time(
    encoder, config, data, tmp_path
):
    config = dataclasses.replace(config, epochs=2)
    inputs = small(data)
    _, alone = trained(encoder, config, inputs, tmp_path / "alone")
    histories = [
        pair(encoder, config, inputs, tmp_path / name, seed).history
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]

    assert histories[0] == histories[1]
    assert histories[0] != histories[2]
    assert histories[0][-1].training_loss != alone[-1].training_loss


@pytest.mark.parametrize("batching", ["packed", "padded"])
def test_a_killed_pair_goes_on_with_the_same_bits(encoder, config, data, jobs, tmp_path, batching):
    recipe = dataclasses.replace(config, checkpoint_seconds=0, batching=batching)
    job = dataclasses.replace(jobs[0], inputs=small(data), config=recipe)

    def stop(evaluation):
        if evaluation.number == 2:
            raise Killed

    with pytest.raises(Killed):
        run_job(job, tmp_path / "halves", stop)
    assert (tmp_path / "halves" / f"{job.digest}.safetensors").is_file()
    run_job(job, tmp_path / "halves", lambda evaluation: None)
    run_job(job, tmp_path / "whole", lambda evaluation: None)

    found = []
    for name in ("halves", "whole"):
        facts = json.loads((tmp_path / name / job.digest / RESULT).read_text())
        found.append(
            [
                {key: value for key, value in one.items() if key != "texts_per_second"}
                for one in facts["history"]
            ]
        )
        found[-1].append((tmp_path / name / job.digest / "predictions.parquet").read_bytes())
    assert found[0] == found[1]


def test_a_pair_has_an_identity_of_its_own_and_takes_the_memory_of_two(jobs):
    job = jobs[0]

    def identity(**changes):
        return seed_digest(
            job.encoder,
            job.config,
            dataclasses.replace(job.inputs, **changes),
            test_indices=job.test_indices,
            names=job.test_ids,
            seed=0,
        )

    assert len({identity(), identity(noise=0.1), identity(noise=0.2), identity(latent=True)}) == 4
    noisy = dataclasses.replace(job, inputs=dataclasses.replace(job.inputs, noise=0.1))
    assert sum(largest_seed([noisy])) == 2 * sum(largest_seed([job]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"encoder": LINEAR}, "encoder must be one that is fine-tuned with the arm coteach"),
        ({"batching": "stacked"}, "batching must not be stacked with the arm coteach"),
        ({"gradient_accumulation": 2}, "gradient_accumulation must be 1 with the arm coteach"),
    ],
)
def test_recipes_that_two_networks_cannot_share_are_refused_by_name(
    encoder, data, tmp_path, changes, message
):
    with pytest.raises(AssayError, match=message):
        pair(encoder, FinetuneConfig(**changes), small(data), tmp_path)
