"""Tasks of a suite as processes: side by side, each on its share, and all ended by a stop."""

import subprocess
import sys
import time

import pytest

from entrypoints.wiring.suite_processes import Work, gpus_of, last_line, run_processes, share_of
from tests.helpers.forked import ROOT
from tests.helpers.processes import is_running


def work(folder, name, code):
    """A task that runs a line of Python."""
    return Work(name, [sys.executable, "-S", "-c", code], folder / f"{name}.log")


def test_each_task_ends_with_its_code_and_its_output_in_its_log(tmp_path):
    works = [
        work(tmp_path, "good", "print('one'); print('two')"),
        work(tmp_path, "bad", "import sys; print('error: no'); sys.exit(2)"),
    ]

    ended = {each.number: each.code for each in run_processes(works, 1, divided=True)}

    assert ended == {0: 0, 1: 2}
    assert last_line(works[0].log) == "two"
    assert last_line(works[1].log) == "error: no"


def test_tasks_run_side_by_side_up_to_the_number_and_in_their_order(tmp_path):
    wait = "import time, pathlib; pathlib.Path('{}').touch(); "
    both = (
        "a, b = pathlib.Path('{}'), pathlib.Path('{}')\n"
        "while not (a.exists() and b.exists()): time.sleep(0.01)"
    )
    names = [str(tmp_path / name) for name in ("a", "b")]
    works = [work(tmp_path, name[-1], wait.format(name) + both.format(*names)) for name in names]

    # Each waits for the other, so that one after the other they would never end.
    assert sorted(each.number for each in run_processes(works, 2, divided=False)) == [0, 1]


def test_a_stop_ends_every_task_that_runs(tmp_path):
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(600)"
    works = [work(tmp_path, name, code) for name in ("first", "second")]
    running = run_processes([*works, work(tmp_path, "quick", "")], 3, divided=False)
    assert next(running).number == 2
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not all(one.log.read_text() for one in works):
        time.sleep(0.05)
    numbers = [int(one.log.read_text()) for one in works]

    with pytest.raises(KeyboardInterrupt):
        running.throw(KeyboardInterrupt)

    assert not any(map(is_running, numbers))


def test_shares_are_nearly_equal_and_miss_nothing():
    cores = [str(core) for core in range(7)]

    shares = [share_of(cores, place, 3) for place in range(3)]

    assert [core for share in shares for core in share] == cores
    assert {len(share) for share in shares} == {2, 3}
    assert share_of([], 0, 3) == []


def test_every_place_sees_gpus_of_its_own_or_shares_one():
    assert [gpus_of(["0", "1", "2"], place, 2) for place in range(2)] == [["0"], ["1", "2"]]
    assert [gpus_of(["0", "1"], place, 3) for place in range(3)] == [["0"], ["1"], ["0"]]
    assert gpus_of([], 1, 3) == []


def test_a_redrawn_line_of_a_log_is_its_last_state(tmp_path):
    log = tmp_path / "log"
    log.write_text("begin\nbar: 1 %\rbar: 50 %\r\n\n")

    assert last_line(log) == "bar: 50 %"
    log.write_text("")
    assert last_line(log) == "begins"


def test_a_task_ends_once_the_process_that_started_it_is_gone():
    child = "import sys; from entrypoints.wiring.suite_task import _stop_with_parent as stop; "
    child += "print(flush=True); stop(int(sys.argv[1]))"
    suite = "import os, subprocess, sys; "
    suite += "task = subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())]); "
    suite += "print(task.pid, flush=True); task.wait()"
    command = [sys.executable, "-c", suite, child]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        number = int("".join(process.stdout.readline().split()) or process.stdout.readline())
        process.stdout.readline()  # the task has begun to look
        assert is_running(number)
        process.kill()

    deadline = time.monotonic() + 30
    while is_running(number) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not is_running(number)
