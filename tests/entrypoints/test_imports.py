"""Entry points import heavy packages only when they need them.

Importing torch and transformers takes ten seconds. Help, errors, and what only reads the store
must not wait for them.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from project.config.entry_points import ENTRY_POINTS
from tests.helpers.old_store import OldStore

ROOT = Path(__file__).parents[2]
ENGINES = ("torch", "transformers", "sklearn", "optuna")
HEAVY = (*ENGINES, "pandas", "numpy", "mlflow", "scipy", "matplotlib", "pyarrow")

RUN_ALL = """
import contextlib, io, json, runpy, sys

commands, packages = json.loads(sys.argv[1])
for command in commands:
    output = io.StringIO()
    sys.argv = command
    exit_code = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            runpy.run_module(f"entrypoints.{command[0]}", run_name="__main__")
        except SystemExit as error:
            exit_code = error.code or 0
    imported = [name for name in packages if name in sys.modules]
    print(json.dumps([command, exit_code, imported, output.getvalue()]))
"""
"""Runs commands one after another as ``python -m`` does; what each has imported stays imported."""

LEAVE_DEAD_RUN = """
import os
from project.tracking import root_run
from project.tracking.entries import Entry

with root_run("experiment", "killed", {"task": "t"}, "work") as tracker:
    tracker._outbox.spool.put(Entry(tags={"colour": "red"}), {})
    os._exit(0)
"""
"""A process that dies with a run RUNNING in the store and an entry waiting on disk."""


def run_all(commands, packages, folder, environment=None):
    """Exit code, imported ``packages`` and output of every command; commands share a process."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALL, json.dumps([commands, packages])],
        cwd=folder,
        env=environment or {**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [command for command, *_ in results] == commands
    return [result[1:] for result in results]


def test_help_imports_nothing_heavy(tmp_path):
    commands = [[name, "--help", *more] for name in ENTRY_POINTS for more in ([], ["all"])]
    commands.append(["server", "--help"])

    for command, result in zip(commands, run_all(commands, HEAVY, tmp_path), strict=True):
        exit_code, imported, output = result
        assert f"usage: python -m entrypoints.{command[0]} [-" in output
        assert (command, exit_code, imported) == (command, 0, [])


def test_a_misspelt_parameter_is_reported_before_anything_heavy_is_imported(tmp_path):
    commands = [[name, "--workspaec", "here"] for name in ENTRY_POINTS]

    for command, result in zip(commands, run_all(commands, HEAVY, tmp_path), strict=True):
        exit_code, imported, output = result
        assert f"error: {command[0]} has no parameter 'workspaec'." in output
        assert (command, exit_code, imported) == (command, 2, [])


def test_a_value_that_breaks_a_rule_is_reported_before_anything_heavy_is_imported(tmp_path):
    commands = [["main", "--seeds", "0"], ["sweep", "--trials", "0"], ["reap", "--owner", "you"]]

    for result in run_all(commands, HEAVY, tmp_path):
        exit_code, imported, output = result
        assert " must be " in output
        assert (exit_code, imported) == (2, [])


def test_an_import_is_noticed(tmp_path):
    (tmp_path / "entrypoints").mkdir()
    (tmp_path / "entrypoints" / "careless.py").write_text("import numpy")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    results = run_all([["careless"]], HEAVY, tmp_path, environment)

    assert results == [[0, ["numpy"], ""]]


def test_reports_relog_and_reap_import_no_engine(tmp_path):
    old = OldStore(tmp_path)
    environment = old.environment()
    subprocess.run(
        [sys.executable, "-c", LEAVE_DEAD_RUN], cwd=tmp_path, env=environment, check=True
    )
    reports = [
        ["report", "--run_id", old.roots[name]["run_id"], "--workspace", "work"]
        for name in ("experiment", "curve", "grid", "budget")
    ]
    commands = [*reports, ["relog", "--workspace", "work"], ["reap", "--owner", "any"]]
    results = run_all(commands, ENGINES, tmp_path, environment)

    for command, (exit_code, imported, output) in zip(commands, results, strict=True):
        assert (command, exit_code, imported) == (command, 0, []), output
    outputs = [output for *_, output in results]
    assert all("report.md" in text or "report   " in text for text in outputs[:4])
    assert "1 entries of run" in outputs[4]
    assert "1 RUNNING runs have lost their process" in outputs[5]
