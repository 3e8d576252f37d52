"""Odd command lines: values with dashes, help in odd places, closed pipes, runs without a file."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from entrypoints.wiring.command import chosen_parameters, given_parameters, main
from project.config.entry_points import ENTRY_POINTS
from project.support.errors import AssayError
from project.tracking import root_run
from tests.helpers import forked
from tests.helpers.old_store import OldStore

MAIN = ENTRY_POINTS["main"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def run_main(monkeypatch):
    """A function that runs the command line of ``main``; returns exit code and parameters."""

    def run(*words):
        received: list[Mapping[str, str]] = []
        monkeypatch.setattr(sys, "argv", ["main", *words])
        try:
            main("main", received.append)
        except SystemExit as error:
            return error.code, None
        return 0, (received[0] if received else None)

    return run


@pytest.mark.parametrize(
    ("words", "given"),
    [
        (["--where", "-x=1"], {"where": "-x=1"}),
        (["--where=-x=1"], {"where": "-x=1"}),
        (["--where=--x=1"], {"where": "--x=1"}),
        (["--min_alpha", "-5e-1"], {"min_alpha": "-5e-1"}),
        (["--min_alpha", "-0.5", "--data", "-"], {"min_alpha": "-0.5", "data": "-"}),
        (["--least_alpha", "-5e-1"], {"least_alpha": "-5e-1"}),
        (["--data", ""], {"data": ""}),
        (["--where", "a b=$HOME;`id`'\"\n"], {"where": "a b=$HOME;`id`'\"\n"}),
    ],
)
def test_a_value_may_begin_with_a_dash_and_hold_any_character(words, given):
    assert given_parameters(MAIN, words) == given


@pytest.mark.parametrize(
    "words", [["--where", "--x=1"], ["--where", "-h"], ["--where", "--help"], ["--where"]]
)
def test_a_missing_value_is_an_error_and_not_a_wish_for_help(run_main, capsys, words):
    exit_code, params = run_main(*words)
    printed = capsys.readouterr()

    assert (exit_code, params, printed.out) == (2, None, "")
    assert printed.err.startswith("error: argument --where: expected one argument. Every parameter")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["--seeds", "3", "--help", "all"]])
def test_help_is_printed_wherever_a_name_may_stand(run_main, capsys, words):
    assert run_main(*words) == (0, None)
    assert ("--warmup_ratio" in capsys.readouterr().out) == ("all" in words)


@pytest.mark.parametrize("value", ["true", "TRUE", " true "])
def test_show_config_stops_however_true_is_written(run_main, capsys, value):
    assert run_main("--show_config", value) == (0, None)
    assert "# effective configuration" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["--help", "all"], ["--show_config", "true"]])
def test_nobody_who_stops_reading_sees_a_traceback(words):
    command = [sys.executable, "-m", "entrypoints.main", *words]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=120)

    assert (process.returncode, errors) == (0, "")


def test_a_full_disk_behind_standard_output_is_named():
    command = [sys.executable, "-m", "entrypoints.main", "--help"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert done.returncode == 1
    assert done.stderr.startswith("error: No space left on device: standard output.")
    assert done.stderr.count("\n") == 1


def test_a_question_of_the_analysis_is_answered_where_nobody_reads_on(tmp_path):
    old = OldStore(tmp_path)
    command = [sys.executable, "-m", "analysis.questions.grid", "--workspace", str(tmp_path)]
    process = forked.Popen(
        command, env=old.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    _, errors = process.communicate(timeout=240)

    assert process.returncode == 0
    assert "Traceback" not in errors


def test_work_goes_on_where_nobody_reads_its_output():
    work = """
import sys
from entrypoints.wiring.command import main
from entrypoints.wiring.terminal import print_line

def work(params):
    for number in range(2000):
        print_line(f"step {number}")
        print("a row of the table", flush=True)
    open(sys.argv[2], "w").write("finished")

main("relog", work)
"""
    with tempfile.TemporaryDirectory() as folder:
        finished = Path(folder, "finished")
        command = [sys.executable, "-c", work, "--workspace", str(finished)]
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stderr.readline() == "step 0\n"
        process.stdout.close()
        process.stderr.close()

        assert process.wait(timeout=120) == 0
        assert finished.read_text() == "finished"


@pytest.mark.parametrize("address", ["runs:/", "runs://", "runs://profile/x"])
def test_an_address_without_a_run_is_refused(address):
    with pytest.raises(AssayError) as raised:
        chosen_parameters(MAIN, ["--config", address])

    assert str(raised.value) == (
        f"config must be a file, or runs:/RUN_ID/config.json of a root run; got {address!r}."
    )


def test_a_run_that_does_not_hold_the_file_is_named(store):
    with root_run("experiment", "without a file", {}, str(store / "work")) as tracker:
        tracker.log_files({"list.json": _file(store, "[1, 2]"), "text.json": _file(store, "{")})
    run_id = tracker.run_id
    rule = "config must be a file, or runs:/RUN_ID/config.json of a root run; "
    for path, message in {
        f"{run_id}/config.json": f"the artifact runs:/{run_id}/config.json cannot be read",
        run_id: f"the artifact runs:/{run_id}/config.json cannot be read",
        f"{run_id}/text.json": f"run {run_id}: its artifact text.json is not JSON.",
        "0" * 32: f"the artifact runs:/{'0' * 32}/config.json cannot be read",
    }.items():
        with pytest.raises(AssayError) as raised:
            chosen_parameters(MAIN, ["--config", f"runs:/{path}"])
        assert str(raised.value).startswith(rule + message)
        assert "\n" not in str(raised.value)
    with pytest.raises(AssayError, match="must hold parameters as 'name: value'"):
        chosen_parameters(MAIN, ["--config", f"runs:/{run_id}/list.json"])


def _file(folder, text):
    path = folder / f"file-{len(list(folder.iterdir()))}.json"
    path.write_text(text)
    return path
