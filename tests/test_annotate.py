"""Annotation: shards on disk, nothing paid for twice, calibration."""

import dataclasses

import numpy as np
import pytest

from project.annotate import SHARD, annotate, calibrate
from project.config import TaskConfig
from project.errors import AssayError
from project.prompt import build_prompt, demonstration_sets
from project.tables import RAW_LOG_PROBABILITY, class_columns, content_hash
from project.task import load_task


@pytest.fixture(scope="module")
def task():
    return load_task(TaskConfig(max_train=3 * SHARD - 10, max_test=20, max_validation=20))


def run(annotator, task, folder, *, draw=0, calibration="batch"):
    prompt = build_prompt(
        task.label_set, task.description, demonstration_sets(task.split("demonstration"), 3, draw + 1, seed=0)[draw], style="name", draw=draw
    )
    done: list[int] = []
    made = annotate(annotator, prompt, task.split("train"), task.label_set, calibration=calibration, folder=folder, progress=done.append)
    assert sum(done) == len(task.split("train"))
    return made


def test_a_second_run_asks_for_nothing_and_gives_the_same_table(task, tmp_path, scripted):
    first, second = scripted(4), scripted(4, limit=0)

    one, two = run(first, task, tmp_path), run(second, task, tmp_path)

    assert first.asked == list(task.split("train")["text"])
    assert content_hash(one.table) == content_hash(two.table)
    assert (one.reused, two.reused) == (0, len(task.split("train")))


def test_a_run_that_dies_half_way_goes_on_where_it_stopped(task, tmp_path, scripted):
    whole = run(scripted(4), task, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="the script ends"):
        run(scripted(4, limit=2 * SHARD), task, tmp_path / "cut")

    rest = scripted(4)
    resumed = run(rest, task, tmp_path / "cut")

    assert len(rest.asked) == len(task.split("train")) - 2 * SHARD
    assert content_hash(resumed.table) == content_hash(whole.table)


def test_another_draw_model_or_text_is_another_answer(task, tmp_path, scripted):
    other_text = dataclasses.replace(task, examples=task.examples.assign(text=task.examples["text"] + "!"))
    made = [
        run(scripted(4), task, tmp_path), run(scripted(4), task, tmp_path, draw=1), run(scripted(4, seed=1), task, tmp_path),
        run(scripted(4), other_text, tmp_path),
    ]  # fmt: skip

    assert len({one.digest for one in made}) == 4
    assert [one.reused for one in made] == [0] * 4
    assert set(made[1].table["draw"]) == {1}


def test_calibration_keeps_the_raw_answers_beside_the_calibrated_ones(task, tmp_path, scripted):
    raw, batch = run(scripted(4), task, tmp_path, calibration="none"), run(scripted(4), task, tmp_path, calibration="batch")
    plain = class_columns(raw.table, task.label_set)

    assert plain == pytest.approx(class_columns(batch.table, task.label_set, RAW_LOG_PROBABILITY))
    calibrated = np.exp(plain) / np.exp(plain).mean(axis=0)
    calibrated /= calibrated.sum(axis=1, keepdims=True)
    assert np.exp(class_columns(batch.table, task.label_set)) == pytest.approx(calibrated)
    assert list(batch.table["label"]) == [task.label_set[k] for k in calibrated.argmax(axis=1)]


def test_contextual_calibration_asks_once_for_the_content_free_inputs(task, tmp_path, scripted):
    first, second = scripted(4), scripted(4, limit=0)
    run(first, task, tmp_path, calibration="contextual")
    run(second, task, tmp_path, calibration="contextual")

    assert first.asked[-3:] == ["N/A", "", "[MASK]"]


def test_log_probabilities_that_are_not_numbers_are_refused_and_not_kept(task, tmp_path, scripted):
    with pytest.raises(AssayError, match="not numbers .*annotator_dtype=float32"):
        run(scripted(4, broken=True), task, tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_an_unknown_calibration_is_refused(task, tmp_path, scripted):
    raw = run(scripted(4), task, tmp_path, calibration="none").table.drop(columns=[f"log_probability.{label}" for label in task.label_set])

    with pytest.raises(AssayError, match="calibration must be one of none, contextual, batch; got 'temperature'"):
        calibrate(raw.assign(seconds=0, prompt_tokens=0), task.label_set, "temperature")
