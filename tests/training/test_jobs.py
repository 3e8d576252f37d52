"""Many jobs: none is trained twice, and a failed one does not stop the others."""

import dataclasses
import re

from project.training.jobs import run_jobs
from tests.helpers.trainings import finished_and_error, number_of, outcomes, results_in


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
            progress=lambda job, evaluation: seen.append((job.arm, number_of(evaluation))),
        )
    ]

    assert found == [("gold", False), ("llm", True)]
    assert seen == [("gold", 1), ("gold", 2), ("gold", 3), ("llm", 1), ("llm", 2), ("llm", 3)]


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
