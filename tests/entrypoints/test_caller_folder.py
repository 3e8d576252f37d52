"""Under ``mlflow run`` of a git URI relative paths are those of the folder it was called from."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from entrypoints.wiring.caller_folder import (
    about_relative_paths,
    enter_caller_folder,
    is_temporary_clone,
)

ROOT = Path(__file__).parents[2]
IN_CLONE = """
import os, sys
from pathlib import Path
from entrypoints.wiring.caller_folder import enter_caller_folder

in_clone = enter_caller_folder(Path(sys.argv[1]))
print(in_clone, os.getcwd(), os.environ["PYTHONPATH"].split(os.pathsep)[0])
"""
AS_MLFLOW = """
import os, subprocess, sys

clone, code = sys.argv[1:]
subprocess.run(
    ["bash", "-c", f"true; exec {sys.executable} -c '{code}' {clone}"],
    cwd=clone,
    env={**os.environ, "MLFLOW_RUN_ID": "x"},
)
"""
"""Starts a process in the clone by way of a shell, as MLflow does."""


@pytest.fixture
def clone():
    folder = Path(tempfile.mkdtemp())
    (folder / "sub").mkdir()
    yield folder / "sub"
    shutil.rmtree(folder)


def call_mlflow_run(clone: Path, folder: Path) -> subprocess.CompletedProcess:
    """Call a program that starts a process in ``clone`` as ``mlflow run`` does, from ``folder``."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"}
    return subprocess.run(
        [sys.executable, "-c", AS_MLFLOW, str(clone), IN_CLONE],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_process_in_a_clone_works_in_the_folder_of_the_caller(clone, tmp_path):
    done = call_mlflow_run(clone, tmp_path)

    assert done.stdout == f"True {tmp_path} {clone}\n", done.stderr
    assert f"Relative paths are read from {tmp_path}." in done.stderr


def test_mlflow_run_called_inside_of_a_checkout_in_a_temporary_folder_works_there(clone):
    """What called ``mlflow run`` (a test, ``make``) works elsewhere, and that does not matter."""
    done = call_mlflow_run(clone, clone)

    assert done.stdout == f"False {clone} {ROOT}\n", done.stderr


def test_outside_of_mlflow_run_and_of_clones_the_folder_stays(clone, monkeypatch):
    before = Path.cwd()
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    assert not enter_caller_folder(clone)
    monkeypatch.setenv("MLFLOW_RUN_ID", "x")
    assert not enter_caller_folder(ROOT)
    assert Path.cwd() == before


def test_a_clone_is_told_from_a_checkout(clone, tmp_path):
    temporary = Path(tempfile.gettempdir())
    assert is_temporary_clone(clone)
    assert is_temporary_clone(clone.parent)
    assert not is_temporary_clone(tmp_path)
    assert not is_temporary_clone(temporary)
    # As mktemp names a folder for a shell: somebody's checkout.
    assert not is_temporary_clone(temporary / "tmp.aZ1TqfD1Bx" / "assay")


@pytest.mark.parametrize(
    ("message", "arguments", "named"),
    [
        ("task card sub/x.yaml does not exist.", ["--task", "sub/x.yaml"], True),
        ("task card x.yaml does not exist.", ["--task=x.yaml"], True),
        ("task card /sub/x.yaml does not exist.", ["--task", "/sub/x.yaml"], False),
        ("seeds must be at least 1; got 0.", ["--seeds", "0", "--task", "x.yaml"], False),
        ("arms must be one of a; got 'b'.", ["--arms", "b"], False),
        ("min_label_mass must be at most 1; got 1.5.", ["--min_label_mass", "1.5"], False),
        ("no hub id https://x.org/y.", ["--data", "https://x.org/y"], False),
    ],
)
def test_an_error_about_a_relative_path_names_the_folder(message, arguments, named):
    expected = f" Relative paths are read from {Path.cwd()}." if named else ""

    assert about_relative_paths(message, arguments) == expected
