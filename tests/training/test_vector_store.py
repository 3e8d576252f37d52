"""Vectors on disk: nothing is lost, nothing is read that is not complete."""

import multiprocessing
import os

import numpy as np
import pytest

from project.training.vector_store import KEY_BYTES, VectorStore, text_key

SIZE = 3


def keys_of(numbers):
    return [text_key(f"text {number}") for number in numbers]


def vectors_of(numbers):
    return np.array([[number, 10 * number, -number] for number in numbers], dtype=np.float32)


def append(folder, numbers):
    VectorStore(folder).append(keys_of(numbers), vectors_of(numbers))


def stored(folder):
    """The numbers of the texts that the store has, each with its own vector."""
    store = VectorStore(folder)
    rows = store.rows()
    numbers = [number for number in range(200) if text_key(f"text {number}") in rows]
    read = store.read([rows[key] for key in keys_of(numbers)])
    assert len(numbers) == len(rows)
    assert (read == vectors_of(numbers)).all() if numbers else read.shape[0] == 0
    return numbers


def test_vectors_are_found_by_the_key_of_their_text(tmp_path):
    append(tmp_path, [3, 1])
    append(tmp_path, [2])
    store = VectorStore(tmp_path)

    assert store.rows() == dict(zip(keys_of([3, 1, 2]), range(3), strict=True))
    assert store.read([2, 0, 0]).tolist() == vectors_of([2, 3, 3]).tolist()
    assert store.read([2]).dtype == np.float32


def test_an_empty_store_has_no_vector(tmp_path):
    store = VectorStore(tmp_path / "new" / "folder")

    assert store.rows() == {}
    assert store.read([]).shape == (0, 0)


def test_keys_tell_texts_apart_that_are_no_unicode():
    assert len({text_key("\ud800"), text_key("\ud801"), text_key("")}) == 3
    assert len(text_key("a")) == KEY_BYTES


def test_vectors_without_their_keys_are_overwritten(tmp_path):
    append(tmp_path, [1, 2])
    # Killed after the vectors of 3 and 4, and before their keys.
    with (tmp_path / "vectors.f32").open("ab") as file:
        file.write(vectors_of([3, 4]).tobytes())

    assert stored(tmp_path) == [1, 2]
    append(tmp_path, [5])
    assert stored(tmp_path) == [1, 2, 5]
    assert (tmp_path / "vectors.f32").stat().st_size == 3 * 4 * SIZE


@pytest.mark.parametrize(
    ("name", "row_bytes"), [("keys.bin", KEY_BYTES), ("vectors.f32", 4 * SIZE)]
)
@pytest.mark.parametrize("missing", [1, 5])
def test_a_file_that_was_cut_off_loses_what_is_not_complete_and_no_more(
    tmp_path, name, row_bytes, missing
):
    append(tmp_path, [1, 2, 3])
    os.truncate(tmp_path / name, 3 * row_bytes - missing)

    assert stored(tmp_path) == [1, 2]
    append(tmp_path, [4, 5])
    assert stored(tmp_path) == [1, 2, 4, 5]


@pytest.mark.parametrize("name", ["keys.bin", "vectors.f32"])
def test_an_empty_file_costs_the_vectors_and_not_the_store(tmp_path, name):
    append(tmp_path, [1, 2])
    os.truncate(tmp_path / name, 0)

    assert stored(tmp_path) == []
    append(tmp_path, [3])
    assert stored(tmp_path) == [3]


def test_a_lost_size_is_written_again(tmp_path):
    append(tmp_path, [1, 2])
    os.truncate(tmp_path / "size", 0)

    assert stored(tmp_path) == []
    append(tmp_path, [3])
    assert stored(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("name", ["keys.bin", "vectors.f32", "checksums.bin"])
def test_a_flipped_bit_costs_one_vector_which_is_named_once(tmp_path, capsys, name):
    append(tmp_path, [1, 2, 3])
    data = bytearray((tmp_path / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / name).write_bytes(data)

    assert stored(tmp_path) == [1, 3]
    assert "vectors.f32 (the checksum differs). 1 of 3 texts" in capsys.readouterr().err
    append(tmp_path, [2])
    assert stored(tmp_path) == [1, 2, 3]
    assert capsys.readouterr().err == ""


def test_vectors_of_an_older_version_without_checksums_are_kept(tmp_path):
    append(tmp_path, [1, 2])
    (tmp_path / "checksums.bin").unlink()

    append(tmp_path, [3])
    assert stored(tmp_path) == [1, 2, 3]


@pytest.mark.parametrize("text", ["2", "x", "30000000"])
def test_a_damaged_size_costs_time_and_no_wrong_vector(tmp_path, text):
    append(tmp_path, [1, 2])
    (tmp_path / "size").write_text(text)

    assert stored(tmp_path) == []
    append(tmp_path, [1, 2])
    assert stored(tmp_path) == [1, 2]


def append_some(folder, numbers):
    """What ``embed`` does: look, compute and write, while others wait."""
    store = VectorStore(folder)
    with store.lock:
        known = store.rows()
        missing = [number for number in numbers if text_key(f"text {number}") not in known]
        for start in range(0, len(missing), 5):
            part = missing[start : start + 5]
            store.append(keys_of(part), vectors_of(part))


def test_two_processes_wait_for_one_another(tmp_path):
    context = multiprocessing.get_context("fork")
    parts = ([*range(100)], [*range(50, 150)])
    processes = [context.Process(target=append_some, args=(tmp_path, part)) for part in parts]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)

    assert [process.exitcode for process in processes] == [0, 0]
    assert stored(tmp_path) == list(range(150))
    assert (tmp_path / "keys.bin").stat().st_size == 150 * KEY_BYTES
