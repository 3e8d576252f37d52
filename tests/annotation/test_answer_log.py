"""Answers on disk: batches with checksums, files merged into one, and one process that asks."""

import errno
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from project.annotation.annotate import annotate
from project.annotation.answer_log import AnswerWriter, Batch, class_columns_of, read_answers
from project.annotation.answers import answers_table
from project.annotation.cache import AnswerCache
from project.annotation.cost import Meter
from project.annotation.engines.base import Answers
from project.annotation.items import item_keys
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig, SpendConfig
from project.support.claims import Claim
from tests.helpers.annotators import ScriptedAnnotator, answers_hash

LABELS = ("yes", "no")


def loaded(cache):
    table = cache.load()
    assert table is not None
    return table


def batch(first, n=3):
    """Answers to ``n`` items, numbered from ``first`` on; the last one has no label."""
    classes = np.log(np.linspace(0.1, 0.4, 2 * n).reshape(n, 2) + first / 1000)
    answers = Answers.exact(classes, np.zeros(n, bool), np.arange(n))
    answers.label[-1] = -1
    errors = [None] * (n - 1) + [f"unparsed: {first}"]
    answers = Answers(**{**vars(answers), "error": errors})
    return answers_table(item_keys(str(first + row) for row in range(n)), answers, LABELS, 1.0)


def append(writer, table):
    columns = class_columns_of(table)
    writer.append(Batch.of_table(table, columns), columns)


def write_batches(folder, n_batches=3):
    writer = AnswerWriter(folder, "answers")
    for number in range(n_batches):
        append(writer, batch(3 * number))
    path = writer.close()
    assert path is not None
    return path


def test_answers_come_back_as_they_were_written(tmp_path):
    stored, n_damaged = read_answers(write_batches(tmp_path))

    assert stored is not None
    expected = pd.concat([batch(0), batch(3), batch(6)], ignore_index=True)
    pd.testing.assert_frame_equal(stored.to_pandas()[list(expected.columns)], expected)
    assert n_damaged == 0


def test_a_kill_at_any_byte_loses_at_most_the_batch_that_was_being_written(tmp_path):
    path = write_batches(tmp_path)
    data = path.read_bytes()
    n_answers = []
    for end in range(len(data) + 1):
        path.write_bytes(data[:end])
        stored, n_damaged = read_answers(path)
        assert n_damaged == 0
        n_answers.append(0 if stored is None else len(stored))

    assert n_answers == sorted(n_answers)
    assert set(n_answers) == {0, 3, 6, 9}


def test_a_flipped_bit_anywhere_loses_at_most_one_batch_and_changes_no_other_answer(tmp_path):
    path = write_batches(tmp_path)
    whole, _ = read_answers(path)
    assert whole is not None
    known = set(map(str, whole.to_pylist()))
    data = path.read_bytes()
    silent = 0
    for position in range(len(data)):
        flipped = bytearray(data)
        flipped[position] ^= 1 << position % 8
        path.write_bytes(flipped)
        stored, n_damaged = read_answers(path)
        assert stored is not None
        rows = list(map(str, stored.to_pylist()))
        assert len(rows) >= 6
        assert known.issuperset(rows)
        silent += n_damaged == 0
    # Only a wrong length of the last batch looks like a process that was killed while writing it.
    assert silent <= 4


def test_damaged_batches_are_named_asked_again_and_gone_after_the_next_merge(tmp_path):
    path = write_batches(tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    cache = AnswerCache(tmp_path)

    assert len(loaded(cache)) == 6
    cache.merge()
    again = AnswerCache(tmp_path)

    assert [f"{path} is damaged: 1 batches" in note for note in cache.damage] == [True]
    assert len(loaded(again)) == 6
    assert again.damage == []


def test_many_files_become_one_with_the_same_answers(tmp_path):
    old = pd.concat([batch(100), batch(103)], ignore_index=True)
    old.to_parquet(tmp_path / "shard-0123456789abcdef.parquet", index=False)
    for number in range(10):
        writer = AnswerWriter(tmp_path, "answers")
        append(writer, batch(3 * number))
        writer.close()
    cache = AnswerCache(tmp_path)
    before = loaded(cache).to_pandas()

    cache.merge()

    assert len(list(tmp_path.iterdir())) == 1
    merged = loaded(AnswerCache(tmp_path)).to_pandas()
    pd.testing.assert_frame_equal(merged[before.columns], before)


def examples(n):
    ids = [f"e{number}" for number in range(n)]
    return pd.DataFrame({"example_id": ids, "text": [f"text {one}" for one in ids]}, dtype="str")


class Slow(ScriptedAnnotator):
    """Answers after a while, so that a second one can ask in the meantime."""

    shard_size = 8

    def read(self, prompt, texts, arrived=None):
        time.sleep(0.02)
        return super().read(prompt, texts)


def run(annotator, folder, said, draws=(0, 1), progress=lambda n: None):
    prompts = [Prompt(draw, f"draw {draw}: ", "\nLabel:", LABELS) for draw in draws]
    made = annotate(
        [annotator],
        prompts,
        examples(80),
        LABELS,
        config=AnnotateConfig(calibration="none"),
        folder=folder,
        progress=progress,
        meter=Meter(SpendConfig()),
        say=said.append,
    )
    return [answers_hash(draw.table) for draw in made]


@pytest.mark.parametrize("draws", [(0, 1), (1, 0)])
def test_two_that_ask_the_same_at_the_same_time_pay_once(tmp_path, draws):
    first, second = Slow(2), Slow(2)
    said: list[str] = []
    hashes: list[list[str]] = []
    other = threading.Thread(target=lambda: hashes.append(run(first, tmp_path, [])))
    other.start()
    while not first.texts_read:
        time.sleep(0.005)

    mine = run(second, tmp_path, said, draws)
    other.join()

    assert sorted(mine) == sorted(hashes[0])
    assert len(first.texts_read) + len(second.texts_read) == 2 * 80
    assert "is asking for the answers of draw" in said[0]


HOLDER = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from project.support.claims import Claim
claim = Claim(Path({folder!r}) / "asking.lock")
print(claim.take(), flush=True)
sys.stdin.read()
"""


def test_a_full_disk_is_named_with_the_file_and_spoils_no_answer(tmp_path, monkeypatch):
    writer = AnswerWriter(tmp_path, "answers")
    append(writer, batch(0))
    write = os.write

    def write_a_piece(file, data):
        if len(data) > 20:
            return write(file, data[:20])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", write_a_piece)
    with pytest.raises(OSError, match=r"No space left on device: .*answers-.*\.answers"):
        append(writer, batch(3))
    monkeypatch.undo()
    append(writer, batch(6))
    path = writer.close()

    assert path is not None
    stored, n_damaged = read_answers(path)
    assert stored is not None
    assert n_damaged == 0
    assert len(stored) == 6


def test_where_locks_do_not_work_no_file_of_another_process_is_merged_away(tmp_path, monkeypatch):
    def no_locks(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", no_locks)
    run(Slow(2), tmp_path, [], draws=(0,))
    (folder,) = tmp_path.iterdir()
    for number in range(9):
        append(AnswerWriter(folder, "answers"), batch(3 * number))
    files = set(folder.glob("answers-*"))

    run(Slow(2), tmp_path, [], draws=(0,))

    assert files <= set(folder.glob("answers-*"))


def test_the_claim_of_a_killed_process_is_free(tmp_path):
    root = str(Path(__file__).parents[2])
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER.format(root=root, folder=str(tmp_path))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    claim = Claim(tmp_path / "asking.lock")
    assert not claim.take()
    assert claim.owner.startswith(f"process {holder.pid} on ")

    holder.kill()
    holder.communicate()

    assert claim.wait(lambda: False)
    claim.close()


class Stoppable(Slow):
    """An annotator that waits for what it has sent."""

    n_stops = 0

    def stop(self):
        self.n_stops += 1


def test_an_annotator_is_stopped_only_while_it_reads(tmp_path):
    annotator = Stoppable(2)
    run(annotator, tmp_path, [])
    assert annotator.n_stops == 0

    def interrupt(n):
        if n:
            raise KeyboardInterrupt

    stopped = Stoppable(2, seed=1)
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        run(stopped, tmp_path, said, progress=interrupt)
    assert stopped.n_stops == 1
    assert said == [
        "stopping: waiting up to 20 s for the answers to requests under way. Interrupt again to "
        "end at once."
    ]
