"""One encoder for several labels: its loss, its scores, and results for each label."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import log_expit
from sklearn.metrics import accuracy_score, f1_score

from project.support.errors import AssayError
from project.training.inputs import Phase
from project.training.jobs import run_jobs
from project.training.not_learned import constant_loss
from project.training.one_encoder import in_one_encoder, run_one_encoder
from project.training.results import is_finished
from project.training.several_labels import log_probabilities, mean_scores
from project.training.targets import loss


def silent(job, told):
    """Progress that nobody reads."""


def trained(jobs, folder, workers=1):
    return {
        job.digest: result.predictions
        for job, result in run_jobs(
            jobs, folder=folder, workers=workers, progress=silent, run=run_one_encoder
        )
    }


@pytest.fixture
def labels(jobs):
    """Two jobs of one seed: yes or no by the first class, and by the second with gaps."""
    job = jobs[0]
    inputs = job.inputs
    phase = inputs.phases[0]
    made = []
    for code in (0, 1):
        yes = phase.targets[:, code]
        keep = np.arange(len(yes)) % (3 - code) != 1  # the labels have gaps of their own
        made.append(
            dataclasses.replace(
                job,
                label_set=("no", "yes"),
                digest=f"label{code}",
                inputs=dataclasses.replace(
                    inputs,
                    phases=(
                        Phase(
                            phase.indices[keep],
                            np.stack([1 - yes, yes], axis=1)[keep],
                            np.ones(int(keep.sum())),
                        ),
                    ),
                    validation_labels=(inputs.validation_labels == code).astype(int),
                ),
            )
        )
    return made


def test_the_loss_is_the_mean_over_labels_of_the_cross_entropy_of_those_that_are_known():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    yes = torch.tensor([[1.0, 0.0], [0.25, 1.0]])
    weights = torch.tensor([[1.0, 2.0], [1.0, 0.0]])
    # By hand from log(sigmoid), as scipy has it.
    by_hand = -(
        log_expit(2.0) + 2 * log_expit(1.0) + 0.25 * log_expit(0.5) + 0.75 * log_expit(-0.5)
    )

    assert loss(logits, yes, weights).item() == pytest.approx(by_hand / 2, rel=1e-6)


def test_scores_are_the_means_over_labels_of_those_of_scikit_learn():
    gold = np.array([[1, 0], [0, 0], [1, 1], [0, -1]])
    given = np.array([[True, False], [True, True], [True, True], [False, True]])
    accuracy = np.mean(
        [accuracy_score([1, 0, 1, 0], [1, 1, 1, 0]), accuracy_score([0, 0, 1], [0, 1, 1])]
    )
    macro_f1 = np.mean(
        [
            f1_score([1, 0, 1, 0], [1, 1, 1, 0], average="macro"),
            f1_score([0, 0, 1], [0, 1, 1], average="macro"),
        ]
    )

    assert mean_scores(gold, given) == pytest.approx((accuracy, macro_f1))


def test_probabilities_of_no_and_yes_sum_to_one_also_far_out():
    found = log_probabilities(np.array([-800.0, 0.0, 3.0]))

    assert np.exp(found).sum(axis=1) == pytest.approx(1.0)
    assert found[0, 1] == -800
    assert found[2, 1] == pytest.approx(log_expit(3.0))


def test_a_constant_answer_costs_the_mean_entropy_of_the_labels():
    yes = np.array([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    weights = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    third = -(np.log(1 / 3) / 3 + 2 * np.log(2 / 3) / 3)

    assert constant_loss(yes, weights) == pytest.approx((np.log(2) + third) / 2)


def test_every_label_has_a_result_and_a_killed_training_writes_those_that_are_missing(
    labels, tmp_path
):
    jobs = in_one_encoder(labels)
    all_at_once = trained(jobs, tmp_path / "whole")
    # Killed between two results: what is left is trained to the same bits.
    trained(jobs, tmp_path / "part")
    missing = tmp_path / "part" / jobs[1].digest
    for file in sorted(missing.rglob("*"), reverse=True):
        file.unlink()
    missing.rmdir()
    again = trained(jobs, tmp_path / "part")

    assert len(all_at_once) == 2
    for job in jobs:
        assert list(all_at_once[job.digest].columns)[-2:] == [
            "log_probability.no",
            "log_probability.yes",
        ]
        assert again[job.digest].equals(all_at_once[job.digest])
        assert is_finished(tmp_path / "part", job)
    first, second = all_at_once.values()
    assert not first["log_probability.yes"].equals(second["log_probability.yes"])


def test_labels_that_differ_in_more_than_their_answers_are_refused(labels):
    other = dataclasses.replace(labels[1], test_ids=labels[1].test_ids[::-1])
    with pytest.raises(AssayError, match="needs labels with the same texts"):
        in_one_encoder([labels[0], other])
    with pytest.raises(AssayError, match="needs labels with the same seeds"):
        in_one_encoder([labels[0], dataclasses.replace(labels[1], seed=9)])
