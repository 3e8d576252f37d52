"""A killed training continues from its last epoch and gives the same result."""

import dataclasses
import json
import pickle
import signal
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest

from project.config.finetune import FinetuneConfig
from project.support.claims import Claim
from project.support.errors import AssayError, Incomplete
from project.support.parquet import read_table
from project.training import jobs
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.jobs import run_jobs
from project.training.results import PREDICTIONS, RESULT, Job
from project.training.seed import run_job
from project.training.tokens import Tokens
from project.training.workers import Outcome
from tests.helpers import forked
from tests.helpers.trainings import number_of


@pytest.fixture
def make_job(tiny_encoder, tmp_path, words):
    """A function that gives a job on sixteen short texts, which keeps every epoch's end."""

    def make(**changes):
        config = FinetuneConfig(
            encoder=str(tiny_encoder),
            epochs=5,
            train_batch_size=4,
            learning_rate=3e-3,
            checkpoint_seconds=0,
            **changes,
        )
        encoder = Encoder.find(config)
        texts = [" ".join(words[index * 7 : index * 7 + 1 + index % 5]) for index in range(24)]
        tokens = encoder.tokens(texts, tmp_path / "tokens")
        data = TrainingInputs(
            tokens,
            (Phase(np.arange(16), np.eye(2)[np.arange(16) % 2], np.ones(16)),),
            np.arange(16, 24),
            np.arange(8) % 2,
        )
        return Job(
            arm="gold",
            seed=0,
            digest="digest",
            encoder=encoder,
            config=config,
            inputs=data,
            test_indices=np.arange(16, 24),
            test_ids=tuple("abcdefgh"),
            label_set=("x", "y"),
        )

    return make


def outcome(folder):
    facts = json.loads((folder / "digest" / RESULT).read_text())
    history = [
        {name: value for name, value in epoch.items() if name != "texts_per_second"}
        for epoch in facts["history"]
    ]
    return read_table(folder / "digest" / PREDICTIONS).to_dict("list"), history


class Killed(BaseException):
    """An exception that no stage catches."""


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("after", [1, 3, 4])
def test_a_stopped_seed_continues_and_gives_the_same_bits_as_one_that_never_stopped(
    make_job, tmp_path, precision, after
):
    job = make_job(precision=precision)
    run_job(job, tmp_path / "whole", lambda evaluation: None)
    trained: list[int] = []

    def stop(evaluation):
        if evaluation.number == after:
            raise Killed

    with pytest.raises(Killed):
        run_job(job, tmp_path / "halves", stop)
    kept = [path.name for path in (tmp_path / "halves").iterdir()]
    run_job(job, tmp_path / "halves", lambda evaluation: trained.append(evaluation.number))

    assert kept == ["digest.safetensors"]
    assert trained == [1, 2, 3, 4, 5]  # those of before are reported too
    assert outcome(tmp_path / "halves") == outcome(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "halves").iterdir()] == ["digest"]


@pytest.mark.parametrize("after", [1, 3, 4])  # after 3, 9 and 12 of 20 steps, 4 an epoch
def test_a_seed_stopped_in_the_middle_of_an_epoch_gives_the_same_bits(make_job, tmp_path, after):
    job = make_job(evaluations=7)
    run_job(job, tmp_path / "whole", lambda evaluation: None)

    def stop(evaluation):
        if evaluation.number == after:
            raise Killed

    with pytest.raises(Killed):
        run_job(job, tmp_path / "halves", stop)
    run_job(job, tmp_path / "halves", lambda evaluation: None)

    predictions, history = outcome(tmp_path / "halves")
    assert [one["step"] for one in history] == [3, 6, 9, 12, 15, 18, 20]
    assert (predictions, history) == outcome(tmp_path / "whole")


def test_files_that_a_killed_process_left_are_deleted_when_the_training_ends(make_job, tmp_path):
    (tmp_path / "digest-1.tmp").write_bytes(b"half")

    run_job(make_job(), tmp_path, lambda evaluation: None)

    assert not (tmp_path / "digest-1.tmp").exists()


def test_a_continued_training_trains_only_the_missing_epochs(make_job, tmp_path, monkeypatch):
    import project.training.loop

    job, steps = make_job(), []
    whole = project.training.loop.TrainingRun._steps_and_evaluation

    def counted(self, number, begin, end):
        steps.append(number)
        if steps == [1, 2, 3]:
            raise Killed
        return whole(self, number, begin, end)

    monkeypatch.setattr(project.training.loop.TrainingRun, "_steps_and_evaluation", counted)
    with pytest.raises(Killed):
        run_job(job, tmp_path, lambda evaluation: None)
    run_job(job, tmp_path, lambda evaluation: None)

    assert steps == [1, 2, 3, 3, 4, 5]


SCRIPT = """
import pickle, sys, time
from pathlib import Path
from project.training.seed import run_job
from project.training.tokens import Tokens
from project.training.workers import Outcome
job = pickle.loads(Path(sys.argv[1]).read_bytes())
run_job(job, Path(sys.argv[2]), lambda one: time.sleep(60) if one.number == 3 else None)
"""


def test_another_process_continues_the_training_of_a_killed_one(make_job, tmp_path):
    job = make_job()
    (tmp_path / "job").write_bytes(pickle.dumps(job))
    arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / "job"), str(tmp_path / "killed")]
    process = forked.Popen(arguments)
    deadline = time.monotonic() + 100
    while (
        process.poll() is None
        and time.monotonic() < deadline
        and kept_epochs(tmp_path / "killed") < 3
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert kept_epochs(tmp_path / "killed") == 3

    run_job(job, tmp_path / "killed", lambda evaluation: None)
    run_job(job, tmp_path / "whole", lambda evaluation: None)

    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole")


def kept_epochs(folder):
    from safetensors import safe_open

    if not (folder / "digest.safetensors").is_file():
        return 0
    with safe_open(folder / "digest.safetensors", framework="np") as file:
        return len(json.loads(file.metadata()["facts"])["history"])


def test_a_checkpoint_of_another_configuration_is_refused(make_job, tmp_path):
    job = make_job()

    def stop(evaluation):
        if evaluation.number == 2:
            raise Killed

    with pytest.raises(Killed):
        run_job(job, tmp_path, stop)
    (tmp_path / "digest.safetensors").rename(tmp_path / "other.safetensors")

    with pytest.raises(
        AssayError,
        match=r"the checkpoint .*other.safetensors is of another configuration \(digest; this "
        r"one is other\)",
    ):
        run_job(dataclasses.replace(job, digest="other"), tmp_path, lambda evaluation: None)


def test_a_damaged_checkpoint_is_ignored(make_job, tmp_path):
    job = make_job()
    run_job(job, tmp_path / "whole", lambda evaluation: None)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "digest.safetensors").write_bytes(b"half")

    run_job(job, tmp_path / "broken", lambda evaluation: None)

    assert outcome(tmp_path / "broken") == outcome(tmp_path / "whole")


def flip_a_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_checkpoint_with_a_flipped_bit_is_named_and_the_training_begins_anew(
    make_job, tmp_path, capfd
):
    job = make_job()
    run_job(job, tmp_path / "whole", lambda evaluation: None)

    def stop(evaluation):
        if evaluation.number == 3:
            raise Killed

    with pytest.raises(Killed):
        run_job(job, tmp_path / "cut", stop)
    flip_a_bit(tmp_path / "cut" / "digest.safetensors")
    run_job(job, tmp_path / "cut", lambda evaluation: None)

    assert "digest.safetensors (the checksum differs). This training" in capfd.readouterr().err
    assert outcome(tmp_path / "cut") == outcome(tmp_path / "whole")


@pytest.mark.parametrize("name", [PREDICTIONS, RESULT])
def test_a_result_with_a_flipped_bit_is_named_once_and_trained_again(
    make_job, tmp_path, capfd, name
):
    job = make_job()

    def run():
        settings = {"folder": tmp_path, "workers": 1, "progress": lambda job, epoch: None}
        ((_, result),) = run_jobs([job], **settings)
        return result

    whole = run()
    flip_a_bit(tmp_path / "digest" / name)
    again, third = run(), run()

    assert not again.reused
    assert third.reused
    pd.testing.assert_frame_equal(again.predictions, whole.predictions)
    assert capfd.readouterr().err.count(f"{name} (the checksum differs). Arm gold, seed 0") == 1


def test_a_seed_that_another_process_trains_is_waited_for_and_not_trained_twice(
    make_job, tmp_path, capfd
):
    job = make_job()
    other = Claim(tmp_path / "claims" / "digest.lock")
    assert other.take()

    def finish_there():
        time.sleep(0.3)
        run_job(job, tmp_path, lambda evaluation: None)
        other.close()

    thread = threading.Thread(target=finish_there)
    thread.start()
    trained: list[int] = []
    ((_, result),) = run_jobs(
        [job],
        folder=tmp_path,
        workers=1,
        progress=lambda job, report: trained.append(number_of(report)),
    )
    thread.join()

    assert len(result.history) == 5
    assert trained == []
    assert "trains arm gold, seed 0" in capfd.readouterr().err


def test_a_seed_that_was_finished_since_it_was_looked_for_is_not_trained_again(
    make_job, tmp_path, monkeypatch
):
    job = make_job()
    take = Claim.take

    def finish_elsewhere_and_take(claim):
        run_job(job, tmp_path, lambda evaluation: None)
        return take(claim)

    monkeypatch.setattr(Claim, "take", finish_elsewhere_and_take)
    trained: list[int] = []
    ((_, result),) = run_jobs(
        [job],
        folder=tmp_path,
        workers=1,
        progress=lambda job, report: trained.append(number_of(report)),
    )

    assert len(result.history) == 5
    assert trained == []


def test_a_bounded_number_of_seeds_is_claimed_at_a_time(make_job, tmp_path, monkeypatch):
    claimed = []

    def fail(some, *_):
        claimed.append(len(some))
        return [Outcome(job, AssayError("no")) for job in some]

    monkeypatch.setattr(jobs, "_MOST_CLAIMS", 2)
    monkeypatch.setattr(jobs, "_run", fail)
    many = [dataclasses.replace(make_job(), digest=f"digest{number}") for number in range(5)]

    with pytest.raises(Incomplete, match="5 of 5 seeds failed"):
        list(run_jobs(many, folder=tmp_path, workers=1, progress=lambda job, one: None))

    assert claimed == [2, 2, 1]


def test_a_seed_whose_other_process_died_is_trained_here(make_job, tmp_path):
    job = make_job()
    other = Claim(tmp_path / "claims" / "digest.lock")
    assert other.take()
    threading.Timer(0.3, other.close).start()

    ((_, result),) = run_jobs(
        [job], folder=tmp_path, workers=1, progress=lambda job, evaluation: None
    )

    assert len(result.history) == 5


@pytest.mark.parametrize("name", ["ids.npy", "ends.npy", "whole.npy", "checksums.json"])
def test_tokens_with_a_flipped_bit_are_made_again(tmp_path, capsys, name):
    def tokens():
        return Tokens.of(["a b", "c"], "tiny", tmp_path, lambda texts: [([1, 2], 2), ([3], 5)])

    folder = tokens().folder
    flip_a_bit(folder / name)

    assert [list(row) for row in tokens().rows([0, 1])] == [[1, 2], [3]]
    assert tokens().n_cut(np.arange(2)) == 1
    assert capsys.readouterr().err.count("(the checksum differs). The texts are tokenised") == 1


def test_epochs_shorter_than_the_interval_are_not_written_to_disk(make_job, tmp_path, monkeypatch):
    import project.training.checkpoint

    written: list[int] = []
    monkeypatch.setattr(project.training.checkpoint, "save_file", lambda *_: written.append(1))

    run_job(
        dataclasses.replace(
            job := make_job(), config=dataclasses.replace(job.config, checkpoint_seconds=60.0)
        ),
        tmp_path,
        lambda evaluation: None,
    )

    assert written == []


def test_a_full_disk_ends_in_a_one_line_error(make_job, tmp_path, monkeypatch):
    import project.training.checkpoint

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(project.training.checkpoint, "save_file", full)
    with pytest.raises(
        AssayError,
        match=r"the checkpoint could not be written \(.*No space left on device\). Free space",
    ):
        run_job(make_job(), tmp_path, lambda evaluation: None)
