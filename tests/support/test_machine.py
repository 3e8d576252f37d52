"""The machine at hand: the faster dtype of its CPU, and the names of its processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from project.support import machine
from project.support.files import cache_folder
from project.support.process import is_alive, process_name


@pytest.fixture
def speeds(tmp_path, monkeypatch):
    """Seconds of a product by dtype, in place of a measurement, and an empty cache folder."""
    seconds = {"float32": 1.0, "bfloat16": 1.0}
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path))
    monkeypatch.setattr(machine, "_seconds", seconds.__getitem__)
    machine._measured_cpu_dtype.cache_clear()
    yield seconds
    machine._measured_cpu_dtype.cache_clear()


@pytest.mark.parametrize(
    ("speedup", "dtype"), [(0.5, "float32"), (1.2, "float32"), (1.4, "bfloat16")]
)
def test_bfloat16_is_used_where_it_is_at_least_1_3_times_as_fast(speeds, speedup, dtype):
    speeds["bfloat16"] = 1 / speedup

    assert machine.faster_cpu_dtype() == dtype


def test_the_faster_dtype_is_remembered_in_the_cache_folder(speeds, tmp_path):
    speeds["bfloat16"] = 0.5
    assert machine.faster_cpu_dtype() == "bfloat16"
    machine._measured_cpu_dtype.cache_clear()
    speeds["bfloat16"] = 2.0  # a busy machine at a later measurement

    assert machine.faster_cpu_dtype() == "bfloat16"
    stored = json.loads((tmp_path / "fastest-dtype.json").read_text())
    assert list(stored.values()) == ["bfloat16"]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"ASSAY_CACHE": "/a", "XDG_CACHE_HOME": "/x"}, "/a"),
        ({"XDG_CACHE_HOME": "/x"}, "/x/assay"),
        ({"XDG_CACHE_HOME": ""}, "/home/me/.cache/assay"),
        ({}, "/home/me/.cache/assay"),
    ],
)
def test_the_cache_folder_is_assays_own_else_one_in_the_users(monkeypatch, variables, folder):
    for name in ("ASSAY_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    assert cache_folder() == Path(folder)
    assert cache_folder("runs", "x") == Path(folder) / "runs" / "x"


def test_a_process_is_alive_until_it_ends():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        name = process_name(child.pid)
        host, pid, birth = name.rsplit(":", 2)
        assert is_alive(name, heartbeat=0.0)
        # a process of the same number that began ten seconds earlier is another one
        assert not is_alive(f"{host}:{pid}:{int(birth) - 1000}", heartbeat=0.0)
        child.communicate(b"\n")

    assert not is_alive(name, heartbeat=0.0)


def test_the_birth_in_a_process_name_is_the_kernels_as_in_older_versions():
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        statistics = Path(f"/proc/{child.pid}/stat").read_text(encoding="utf-8")
        birth = process_name(child.pid).rpartition(":")[2]
        child.communicate(b"\n")

    assert birth == statistics.rpartition(")")[2].split()[19]


@pytest.mark.parametrize(
    "module", ["errors", "redact", "privacy", "escape", "files", "process", "signals", "machine"]
)
def test_basic_support_modules_import_no_heavy_library(module):
    code = (
        f"import sys, project.support.{module}; "
        "print(sorted({'numpy', 'pandas', 'scipy', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        check=True,
        capture_output=True,
        text=True,
    )

    assert done.stdout == "[]\n"


@pytest.mark.parametrize(("given", "used"), [(None, "128"), ("16", "16")])
def test_compiled_kernels_are_limited_unless_the_user_has_set_how_many(monkeypatch, given, used):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, given or "")  # so that it is removed again
    if given is None:
        monkeypatch.delenv(name)

    machine.set_memory_limits()

    assert os.environ[name] == used
