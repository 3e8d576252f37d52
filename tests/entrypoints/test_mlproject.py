"""MLproject and conda.yaml: every parameter reaches the code, one environment whatever makes it."""

import re
import runpy
import shlex
import sys
from pathlib import Path

import pytest
import yaml
from entrypoints.mlproject import ENTRY_POINTS, mlproject

from entrypoints import (
    annotate,
    ask,
    budget,
    check,
    curve,
    finetune,
    grid,
    main,
    report,
    rerun,
    sweep,
)
from entrypoints.wiring.command import parser

ROOT = Path(__file__).parents[2]
PROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))


def test_mlproject_is_what_the_dataclasses_say():
    assert (ROOT / "MLproject").read_text(encoding="utf-8").rstrip() == mlproject(), (
        "run: make MLproject"
    )


@pytest.mark.parametrize(
    "name",
    [
        "main",
        "annotate",
        "finetune",
        "curve",
        "grid",
        "budget",
        "ask",
        "sweep",
        "report",
        "rerun",
        "check",
    ],
)
def test_every_declared_parameter_reaches_the_command_line_of_its_entry_point(name):
    entry = PROJECT["entry_points"][name]
    defaults = {key: str(value["default"]) for key, value in entry["parameters"].items()}
    command = entry["command"].format(
        **{key: shlex.quote(value) for key, value in defaults.items()}
    )
    words = shlex.split(command)

    assert words[:3] == ["python", "-m", f"entrypoints.{name}"]
    # what is typed is what the entry point sees, and nothing is left at a default of its own
    changed = {key: f"value of {key}" for key in defaults}
    typed = shlex.split(
        entry["command"].format(**{key: shlex.quote(value) for key, value in changed.items()})
    )[3:]
    assert vars(parser(name, "", ENTRY_POINTS[name]).parse_args(typed)) == changed
    assert vars(parser(name, "", ENTRY_POINTS[name]).parse_args([])) == defaults


@pytest.mark.parametrize(
    "module", [main, annotate, finetune, curve, grid, budget, ask, sweep, report, rerun, check]
)
def test_every_option_has_help_with_type_and_default(module):
    name = module.__name__.rpartition(".")[2]
    options = parser(name, "", module.SECTIONS)._actions[1:]

    assert options
    assert all(
        re.search(r"\[(text|int|float|true or false).*default: .+\]", str(option.help))
        for option in options
    )


@pytest.mark.parametrize(
    "module",
    [
        *(f"entrypoints.{name}" for name in ENTRY_POINTS),
        "analysis.questions.arms",
        "analysis.questions.curve",
        "analysis.questions.grid",
        "analysis.questions.budget",
        "analysis.questions.sweep",
    ],
)
@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_every_entry_point_answers_help(module, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [module, "--help"])

    with pytest.raises(
        SystemExit
    ) as ended:  # as python -m does, less the seconds until torch is there
        runpy.run_module(module, run_name="__main__", alter_sys=True)

    assert ended.value.code == 0
    assert "default:" in capsys.readouterr().out


def test_conda_yaml_holds_only_what_every_environment_manager_reads():
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]

    assert re.fullmatch(r"python=3\.11(\.\d+)?", python)
    assert pip == "pip"
    assert list(packages) == ["pip"]
    assert all(re.fullmatch(r"[A-Za-z0-9_-]+==[0-9.]+", line) for line in packages["pip"])


def test_the_laptop_and_the_gpu_host_have_the_same_versions_and_no_address():
    environment = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
    text = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("requirements.txt", "requirements-models.txt")
    )
    lock = dict(line.split("==") for line in text.splitlines() if "==" in line)
    wanted = dict(line.split("==") for line in environment["dependencies"][2]["pip"])
    wanted.pop("vllm")

    assert wanted.items() <= lock.items()
    assert "://" not in text + "".join(
        (ROOT / f"requirements-{name}.txt").read_text(encoding="utf-8") for name in ("dev", "vllm")
    )
