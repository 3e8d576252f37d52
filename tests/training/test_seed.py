"""The work of one job: what it does beside another process, and where memory ends."""

import pytest
import torch

from project.support.errors import AssayError
from project.training.seed import run_job
from tests.helpers.trainings import outcomes, results_in


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
