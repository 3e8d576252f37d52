"""Annotation: shards on disk, nothing asked twice, calibration, repeats, limits."""

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from project.annotation.annotate import annotate
from project.annotation.answers import answers_table, raw_answers
from project.annotation.cache import AnswerCache
from project.annotation.calibration import calibrate
from project.annotation.cost import Meter
from project.annotation.demonstrations import demonstration_sets
from project.annotation.items import question_items
from project.annotation.prompt import Prompt, build_prompt
from project.annotation.repeats import with_repeats
from project.config.annotation import AnnotateConfig, SpendConfig
from project.config.task import TaskConfig
from project.data.tables import LOG_PROBABILITY, RAW_LOG_PROBABILITY, SourceRun, class_columns
from project.data.task import load_task
from project.stats.information import conditional_entropy_bits
from project.support.errors import AssayError, Incomplete, Stopped
from tests.helpers import forked
from tests.helpers.annotators import answers_hash

SHARD = 64

ANN = SourceRun("0" * 32, "ann")


@pytest.fixture(scope="module")
def task():
    return load_task(TaskConfig(max_train=3 * SHARD - 10, max_test=20, max_validation=20))


def prompts_for(task, n=1):
    shown = demonstration_sets(task.split("demonstration"), 3, n, seed=0)
    return [
        build_prompt(task.label_set, task.description, rows, style="name", draw=draw)
        for draw, rows in enumerate(shown)
    ]


def run_all(annotators, task, folder, *, n=1, spend=None, fetch=None, examples=None, **settings):
    done: list[int] = []
    examples = task.split("train") if examples is None else examples
    config = AnnotateConfig(**{"calibration": "batch", **settings})
    made = list(
        annotate(
            annotators,
            prompts_for(task, n),
            examples,
            task.label_set,
            config=config,
            folder=folder,
            progress=done.append,
            meter=Meter(spend or SpendConfig()),
            fetch=fetch,
        )
    )
    assert sum(done) == n * len(examples)
    return made


def run(annotator, task, folder, **settings):
    return run_all([annotator], task, folder, **settings)[0]


def test_a_second_run_asks_for_nothing_and_gives_the_same_table(task, tmp_path, scripted):
    first, second = scripted(4), scripted(4, limit=0)

    one, two = run(first, task, tmp_path), run(second, task, tmp_path)

    assert first.texts_read == list(task.split("train")["text"])
    assert answers_hash(one.table) == answers_hash(two.table)
    assert (one.n_asked, one.n_reused, two.n_asked, two.n_reused) == (
        len(one.table),
        0,
        0,
        len(one.table),
    )


def test_a_failed_run_continues_where_it_stopped(task, tmp_path, scripted):
    whole = run(scripted(4), task, tmp_path / "whole")
    with pytest.raises(RuntimeError, match="the script ends"):
        run(scripted(4, limit=2 * SHARD), task, tmp_path / "cut")

    rest = scripted(4)
    resumed = run(rest, task, tmp_path / "cut")

    assert len(rest.texts_read) == len(task.split("train")) - 2 * SHARD
    assert answers_hash(resumed.table) == answers_hash(whole.table)


KILLED = """
import sys, time
from pathlib import Path
sys.path[:0] = [{tests!r}, {root!r}]
from tests.helpers.annotators import ScriptedAnnotator, answers_hash
from tests.annotation.test_annotate import prompts_for
from project.annotation.annotate import annotate
from project.config.experiment import AnnotateConfig, SpendConfig, TaskConfig
from project.annotation.cost import Meter
from project.data.task import load_task

class Slow(ScriptedAnnotator):
    shard_size = 8
    def read(self, prompt, texts, arrived=None):
        time.sleep(0.02)
        with open({log!r}, "a") as log:
            log.write("".join(f"{{prompt.draw}} {{text[:30]!r}}\\n" for text in texts))
        return super().read(prompt, texts)

task = load_task(TaskConfig(max_train=160, max_test=20, max_validation=20))
print("ready", flush=True)
made = annotate([Slow(4)], prompts_for(task, 3), task.split("train"), task.label_set,
                config=AnnotateConfig(calibration="batch"),
                folder=Path({folder!r}), progress=lambda n: None, meter=Meter(SpendConfig()))
print([answers_hash(draw.table) for draw in made], flush=True)
"""


@pytest.mark.timeout(300)
def test_a_run_killed_five_times_asks_for_nothing_twice_and_gives_the_same_tables(
    task, tmp_path, scripted
):
    rng, log, tests = np.random.default_rng(0), tmp_path / "asked.txt", Path(__file__).parent
    log.touch()
    script = KILLED.format(
        tests=str(tests), root=str(tests.parents[1]), log=str(log), folder=str(tmp_path / "killed")
    )
    answered: list[int] = []
    for _ in range(5):
        process = forked.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, cwd=tmp_path)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(float(rng.uniform(0.03, 0.25)))
        process.kill()  # SIGKILL
        process.communicate()
        answered.append(n_stored(tmp_path / "killed"))
    ended = forked.run([sys.executable, "-c", script], cwd=tmp_path).stdout

    small = load_task(TaskConfig(max_train=160, max_test=20, max_validation=20))
    whole = run_all([scripted(4)], small, tmp_path / "whole", n=3)
    assert ended.splitlines()[-1] == str([answers_hash(draw.table) for draw in whole])
    assert answered == sorted(answered)
    assert 0 < answered[-1] < 480  # it was killed on the way, not before or behind
    asked = log.read_text().splitlines()
    # At most the batch that was read but not written when the process died is asked again.
    assert len(asked) - len(set(asked)) <= 5 * 8


def test_with_more_examples_only_the_new_ones_are_paid_for(task, tmp_path, scripted):
    train = task.split("train")
    few, more = scripted(4), scripted(4)
    run(few, task, tmp_path, examples=train.head(100))

    grown = run(more, task, tmp_path)

    assert more.texts_read == list(train["text"][100:])
    assert (grown.n_asked, grown.n_reused) == (len(train) - 100, 100)


def test_identical_texts_are_asked_once_and_remain_separate_examples(task, tmp_path, scripted):
    train = task.split("train").head(50)
    twice = train.assign(text=list(train["text"][:25]) * 2)
    annotator = scripted(4)

    made = run(annotator, task, tmp_path, examples=twice, calibration="none")

    assert annotator.texts_read == list(twice["text"][:25])
    assert list(made.table["example_id"]) == list(twice["example_id"])
    assert list(made.table["label"][:25]) == list(made.table["label"][25:])


def test_another_draw_model_text_or_label_set_is_another_question(task, tmp_path, scripted):
    train = task.split("train")
    made = [
        *run_all([scripted(4)], task, tmp_path, n=2),
        run(scripted(4, seed=1), task, tmp_path),
        run(scripted(4), task, tmp_path, examples=train.assign(text=train["text"] + "!")),
        run(
            scripted(4),
            dataclasses.replace(task, label_set=tuple(reversed(task.label_set))),
            tmp_path,
        ),
    ]

    assert len({one.digest for one in made}) == 5
    assert [one.n_reused for one in made] == [0] * 5
    assert set(made[1].table["draw"]) == {1}


def test_copies_of_an_engine_share_the_draws_and_give_the_same_tables(task, tmp_path, scripted):
    alone = run_all([scripted(4)], task, tmp_path / "alone", n=3)
    copies = [scripted(4), scripted(4)]

    together = run_all(copies, task, tmp_path / "together", n=3)

    assert [answers_hash(one.table) for one in together] == [
        answers_hash(one.table) for one in alone
    ]
    assert sorted(copies[0].texts_read + copies[1].texts_read) == sorted(
        list(task.split("train")["text"]) * 3
    )
    assert min(len(copy.texts_read) for copy in copies) > 0


def test_when_one_copy_fails_the_answers_of_the_others_are_kept(task, tmp_path, scripted):
    with pytest.raises(RuntimeError, match="the script ends"):
        run_all([scripted(4), scripted(4, limit=0)], task, tmp_path, n=2)
    kept = n_stored(tmp_path)

    rest = scripted(4)
    run_all([rest], task, tmp_path, n=2)

    assert kept > 0
    assert len(rest.texts_read) == 2 * len(task.split("train")) - kept


def test_answers_of_a_finished_run_elsewhere_are_reused(task, tmp_path, scripted):
    done = run(scripted(4), task, tmp_path / "theirs")

    made = run(
        scripted(4, limit=0),
        task,
        tmp_path / "mine",
        fetch=lambda question: [(ANN, raw_answers(done.table, task.label_set))],
    )

    assert answers_hash(made.table) == answers_hash(done.table)
    assert (made.n_asked, made.n_reused, made.n_fetched, made.sources) == (
        0,
        0,
        len(done.table),
        [ANN],
    )
    again = run(
        scripted(4, limit=0),
        task,
        tmp_path / "mine",
        fetch=lambda question: pytest.fail("asked the store for what is on disk"),
    )
    assert again.n_reused == len(done.table)


def n_stored(folder):
    """How many answers are on disk below ``folder``."""
    tables = [AnswerCache(path).load() for path in folder.iterdir()]
    return sum(len(table) for table in tables if table is not None)


def stored_answers(folder):
    """The answers on disk below ``folder``, by key, without the time they took."""
    (question,) = folder.iterdir()
    shards = AnswerCache(question).load()
    assert shards is not None
    table = shards.to_pandas()
    return table.drop(columns="seconds").set_index("answer_key").sort_index()


@pytest.mark.parametrize("calibration", ["none", "batch"])
def test_reading_answers_back_from_annotations_is_a_copy(task, tmp_path, scripted, calibration):
    table = run(scripted(4), task, tmp_path, calibration=calibration).table
    # A raw label that neither the raw nor the calibrated probabilities would give.
    least = class_columns(table, task.label_set, RAW_LOG_PROBABILITY)[0].argmin()
    changed = table.assign(raw_label=[task.label_set[least], *table["raw_label"][1:]])

    copied = raw_answers(table, task.label_set).set_index("answer_key").sort_index()
    copied_change = raw_answers(changed, task.label_set)

    stored = stored_answers(tmp_path)
    pd.testing.assert_frame_equal(copied[stored.columns], stored)
    assert copied_change["answer"][0] == least


def test_answers_of_runs_that_logged_no_raw_label_can_be_read_back(task, tmp_path, scripted):
    table = run(scripted(4), task, tmp_path, calibration="batch").table
    assert (table["label"] != table["raw_label"]).any()

    copied = raw_answers(table.drop(columns="raw_label"), task.label_set)

    stored = stored_answers(tmp_path)
    pd.testing.assert_frame_equal(
        copied.set_index("answer_key").sort_index()[stored.columns], stored
    )


def test_a_raw_label_outside_the_label_set_is_refused(task, tmp_path, scripted):
    table = run(scripted(4), task, tmp_path, calibration="none").table
    table.loc[2, "raw_label"] = "surprise"

    with pytest.raises(AssayError, match="raw_label that is none of the task's labels: 'surprise'"):
        raw_answers(table, task.label_set)


def test_a_distribution_is_preferred_to_samples_of_the_same_text(task, tmp_path, scripted):
    items = question_items(task.split("train"), scripted(4), AnnotateConfig(calibration="none"))
    keys = items.keys_at(np.arange(4))
    read = scripted(4).read(Prompt(0, "", "", ("a", "b", "c", "d")), keys)
    distributions = answers_table(keys, read, task.label_set, 1.0)
    unknown = {RAW_LOG_PROBABILITY + label: np.nan for label in task.label_set}
    samples = distributions.assign(repeats=[[0, 1, 1]] * 4, **unknown)
    mixed = pd.concat(
        [samples.head(2).assign(sampling="3 at temperature 1"), distributions.tail(2)]
    )

    cache = AnswerCache(tmp_path / "q", "3 at temperature 1")
    known = cache.known(items, lambda question: [(ANN, mixed)])
    assert known.answered.sum() == 4
    for sampled_as, n in (("3 at temperature 1", 4), ("5 at temperature 1", 2)):
        assert AnswerCache(tmp_path / "q", sampled_as).known(items).answered.sum() == n
    cache.write(distributions.head(2))
    answers = cache.answers(pa.array(keys))
    assert class_columns(answers, task.label_set, RAW_LOG_PROBABILITY) == pytest.approx(
        class_columns(distributions, task.label_set, RAW_LOG_PROBABILITY)
    )


def test_calibration_keeps_the_raw_log_probabilities(task, tmp_path, scripted):
    raw, batch = (
        run(scripted(4), task, tmp_path, calibration="none"),
        run(scripted(4), task, tmp_path, calibration="batch"),
    )
    plain = class_columns(raw.table, task.label_set)

    assert plain == pytest.approx(class_columns(batch.table, task.label_set, RAW_LOG_PROBABILITY))
    calibrated = np.exp(plain) / np.exp(plain).mean(axis=0)
    calibrated /= calibrated.sum(axis=1, keepdims=True)
    assert np.exp(class_columns(batch.table, task.label_set)) == pytest.approx(calibrated)
    assert list(batch.table["label"]) == [task.label_set[k] for k in calibrated.argmax(axis=1)]
    assert batch.n_reused == len(batch.table)  # calibration is no new question


def test_contextual_calibration_asks_once_for_the_content_free_inputs(task, tmp_path, scripted):
    first, second = scripted(4), scripted(4, limit=0)
    made = run(first, task, tmp_path, calibration="contextual")
    run(second, task, tmp_path, calibration="contextual")

    assert first.texts_read[:3] == ["N/A", "", "[MASK]"]
    assert made.content_free is not None
    prior = np.exp(class_columns(made.content_free, task.label_set, RAW_LOG_PROBABILITY)).mean(
        axis=0
    )
    expected = np.exp(class_columns(made.table, task.label_set, RAW_LOG_PROBABILITY)) / prior
    assert np.exp(class_columns(made.table, task.label_set)) == pytest.approx(
        expected / expected.sum(axis=1, keepdims=True)
    )


def test_answers_that_are_not_numbers_are_set_aside_and_asked_again(task, tmp_path, scripted):
    text = task.split("train")["text"][SHARD + 3]
    with pytest.raises(
        Incomplete,
        match="not numbers for 1 texts of draw 0. 1 batches .* set aside .*annotator_dtype=float32",
    ):
        run(scripted(4, broken=text), task, tmp_path)
    assert len(list(tmp_path.rglob("aside-*"))) == 1
    assert n_stored(tmp_path) == len(task.split("train")) - SHARD

    rest = scripted(4)
    run(rest, task, tmp_path)

    assert rest.texts_read == list(task.split("train")["text"][SHARD : 2 * SHARD])


def test_repeats_follow_the_distribution_at_the_temperature(task, tmp_path, scripted):
    made = run(scripted(4), task, tmp_path, repeats=400, temperature=0.5, calibration="none")
    again = run(scripted(4), task, tmp_path, repeats=400, temperature=0.5, calibration="none")

    drawn = np.array(made.table["repeats"].tolist())
    sharpened = np.exp(class_columns(made.table, task.label_set)) ** 2
    expected = sharpened / sharpened.sum(axis=1, keepdims=True)
    shares = np.stack([(drawn == k).mean(axis=1) for k in range(4)], axis=1)
    assert np.abs(shares - expected).max() < 5 * 0.5 / np.sqrt(400)
    assert np.abs((shares - expected).mean(axis=0)).max() < 5 * 0.5 / np.sqrt(400 * len(drawn))
    assert made.table["consistency"].to_numpy() == pytest.approx(shares.max(axis=1))
    assert answers_hash(again.table) == answers_hash(made.table)


def test_a_price_limit_stops_before_it_is_passed_and_the_next_run_goes_on(task, tmp_path, scripted):
    # 100 tokens a text at 10,000 a million: one a text
    spend, first = SpendConfig(price_input=10_000, max_cost=100), scripted(4)
    with pytest.raises(
        Stopped,
        match=r"stopped at max_cost=100: 64 texts have taken 64 and the next 64 would pass .*"
        "run the same command again",
    ):
        run(first, task, tmp_path, spend=spend)

    second = scripted(4)
    with pytest.raises(Stopped):
        run(second, task, tmp_path, spend=dataclasses.replace(spend, max_cost=70))
    last = scripted(4)
    run(last, task, tmp_path, spend=spend)

    assert [len(one.texts_read) for one in (first, second, last)] == [64, 64, 54]


def test_a_time_limit_stops_before_it_is_passed(task, tmp_path, scripted):
    meter = Meter(SpendConfig(max_minutes=1), texts=100, began=time.monotonic() - 50)

    meter.admit(10)
    with pytest.raises(Stopped, match="stopped at max_minutes=1"):
        meter.admit(30)


@pytest.mark.timeout(15)
def test_a_run_of_several_copies_ends_when_answers_cannot_be_written(task, tmp_path, scripted):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Not a directory"):
        run_all(
            [scripted(4) for _ in range(4)],
            task,
            tmp_path / "file",
            spend=SpendConfig(price_input=10_000, max_cost=100),
        )


def test_a_price_limit_without_a_price_is_refused():
    with pytest.raises(AssayError, match="max_cost needs a price"):
        SpendConfig(max_cost=1)


def test_calibration_is_refused_where_a_class_is_unknown(task, tmp_path, scripted):
    raw = run(scripted(4), task, tmp_path, calibration="none").table.assign(answer=0, seconds=0.0)
    raw = raw.drop(columns=[*(LOG_PROBABILITY + label for label in task.label_set), "label"])
    raw.loc[3, RAW_LOG_PROBABILITY + task.label_set[1]] = np.nan

    with pytest.raises(
        AssayError,
        match=r"calibration=batch needs the probability of every class; 1 of \d+ answers lack some",
    ):
        calibrate(raw, task.label_set, "batch")
    assert len(calibrate(raw, task.label_set, "none")) == len(raw)


@pytest.mark.parametrize("calibration", ["batch", "none"])
def test_answers_without_any_label_have_no_prior_and_no_label(
    task, tmp_path, scripted, calibration
):
    raw = run(scripted(4), task, tmp_path, calibration="none").table.assign(answer=-1, seconds=0.0)
    names = [RAW_LOG_PROBABILITY + label for label in task.label_set]
    raw = raw.drop(columns=[*(LOG_PROBABILITY + label for label in task.label_set), "label"])
    raw[names] = np.nan

    table = calibrate(raw, task.label_set, calibration)

    assert table["label"].isna().all()
    assert len(table) == len(raw)


def test_a_text_without_an_answer_has_repeats_without_a_label(task, tmp_path, scripted):
    table = run(scripted(4), task, tmp_path).table
    names = [RAW_LOG_PROBABILITY + label for label in task.label_set]
    table.loc[3, [*names, "label"]] = None

    repeated = with_repeats(table, task.label_set, 5, 1.0, seed=0)

    assert repeated["repeats"][3] == [-1] * 5
    assert min(min(row) for row in repeated["repeats"].drop(3)) >= 0


def test_entropy_of_exact_answers_needs_no_bound(task, tmp_path, scripted):
    from project.labels.uncertainty import entropy

    table = run(scripted(4), task, tmp_path).table

    assert entropy(table, task.label_set) == pytest.approx(
        conditional_entropy_bits(class_columns(table, task.label_set))
    )
