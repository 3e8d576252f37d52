"""The command line of every question: its help is light, and bad input ends in one line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers import forked

ROOT = Path(__file__).parents[2]
QUESTIONS = sorted(
    path.stem
    for path in (ROOT / "analysis" / "questions").glob("*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)
HEAVY = {"pandas", "mlflow", "matplotlib", "sklearn", "torch", "transformers", "optuna"}
HELP_OF_ALL = """
import contextlib, io, json, runpy, sys
from tests.helpers import forked
helps = {}
for name in sys.argv[1:]:
    module = f"analysis.{name}"
    sys.argv = [module, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    helps[name] = printed.getvalue()
print(json.dumps({"helps": helps, "modules": sorted(sys.modules)}))
"""


@pytest.fixture(scope="module")
def helps():
    """The help of every question and of the report, and the modules that were imported for it."""
    modules = [*(f"questions.{name}" for name in QUESTIONS), "report"]
    done = subprocess.run(
        [sys.executable, "-c", HELP_OF_ALL, *modules],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_the_questions_are_named_like_the_entry_points():
    assert {"arms", "audit", "budget", "curve", "grid", "suite", "sweep"} <= set(QUESTIONS)
    assert len(QUESTIONS) == 18


def test_every_question_has_help_with_its_options(helps):
    for name, text in helps["helps"].items():
        assert "--run_id" in text, name
        assert "--workspace" in text, name
        assert "default:" in text, name


def test_the_help_of_a_comparison_says_that_two_runs_must_be_named(helps):
    text = " ".join(helps["helps"]["questions.compare"].split())

    assert "root run, two experiments: ONE,OTHER [text; required]" in text


def test_the_help_of_a_question_imports_nothing_heavy(helps):
    assert not HEAVY & {module.partition(".")[0] for module in helps["modules"]}


def test_what_a_person_must_change_ends_in_one_line_and_exit_code_2(store):
    done = forked.run([sys.executable, "-m", "analysis.questions.compare", "--run_id", "one"])

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "error: run_id must name two experiments, separated by a comma; got 'one'. "
        "Set run_id to ONE,OTHER.\n"
    )
