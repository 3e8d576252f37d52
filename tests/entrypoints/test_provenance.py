"""Where a run comes from: the code, the inputs and the machine, and what is said of what has changed."""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from entrypoints import finetune
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.origin_changes import changed_inputs, differences
from entrypoints.wiring.provenance import inputs, packages, provenance, tags
from entrypoints.wiring.repository import code_version, repository
from project.support.machine import driver_and_gpus
from project.support.redact import MASK
from project.tracking import latest_root, read_artifact, read_json
from tests.helpers.pets import CARD

ROOT = Path(__file__).parents[2]


def git(folder, *words):
    who = (
        "-c",
        "user.name=x",
        "-c",
        "user.email=x",
        "-c",
        "commit.gpgsign=false",
        "-c",
        "init.defaultBranch=main",
    )
    return subprocess.run(
        ["git", *who, *words], cwd=folder, check=True, capture_output=True
    ).stdout.decode()


@pytest.fixture
def repo(tmp_path):
    """A repository with one commit; its code is in the folder ``sub``."""
    folder = tmp_path / "repo" / "sub"
    folder.mkdir(parents=True)
    (folder / "MLproject").write_text("name: x\n")
    (folder / "code.py").write_text("x = 1\n")
    (folder.parent / "other.txt").write_text("other\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", "-A")
    git(folder.parent, "commit", "--quiet", "-m", "one")
    return folder


def test_a_clean_repository_is_its_commit(repo):
    found = repository(repo)

    assert found.commit == git(repo, "rev-parse", "HEAD").strip()
    assert not found.dirty
    assert (found.diff, found.why) == ("", "")


def test_a_dirty_one_is_told_by_names_and_a_diff_that_brings_the_commit_to_what_ran(repo, tmp_path):
    (repo / "code.py").write_text("x = 2\nname = 'é'\n")
    (repo / "picture.png").write_bytes(bytes(range(256)))
    git(repo, "add", "picture.png")
    (repo / "new.py").write_text("not taken")
    (repo / "made").mkdir()
    (repo / "made" / "a.py").write_text("not taken")
    (repo.parent / "other.txt").write_text("is no part of the project\n")
    found = repository(repo)

    assert found.dirty
    assert set(found.changed) == {"sub/code.py", "sub/picture.png"}
    assert set(found.untracked) == {"sub/new.py", "sub/made/"}
    assert "not taken" not in found.diff
    assert "no part" not in found.diff

    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(repo.parent), str(fresh))
    (tmp_path / "git.diff").write_text(found.diff, encoding="utf-8")
    git(fresh, "apply", "--index", str(tmp_path / "git.diff"))
    assert {path.name: path.read_bytes() for path in (fresh / "sub").iterdir()} == {
        path.name: path.read_bytes()
        for path in repo.iterdir()
        if path.is_file() and path.name != "new.py"
    }


def test_it_is_the_projects_repository_wherever_the_caller_stands_and_whatever_git_is_told(
    repo, tmp_path, monkeypatch
):
    (tmp_path / "mine").mkdir()
    git(tmp_path / "mine", "init", "--quiet")
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "mine" / ".git"))

    assert (
        repository(repo).commit
        == subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=repo,
            env={"PATH": os.environ["PATH"]},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()
    )


def test_where_there_is_no_repository_to_tell_of_that_is_said(repo, tmp_path, monkeypatch):
    alone = tmp_path / "alone"
    shutil.copytree(repo, alone)
    assert repository(alone).why.startswith("git says: fatal: not a git repository")
    inside = repo.parent / "downloaded"
    shutil.copytree(repo, inside)
    assert repository(inside).why == "the project's folder belongs to no git repository"
    git(alone, "init", "--quiet")
    git(alone, "add", "-A")
    assert repository(alone).why == "the project's git repository has no commit yet"
    monkeypatch.setenv("PATH", "")
    found = repository(repo)

    assert (found.commit, found.why) == ("", "git is not installed here")
    facts = provenance(Invocation("main", {}), found, {}, {})
    assert facts["git"]["no_repository"] == "git is not installed here"
    assert tags(facts) == {"entry_point": "main", "code.version": code_version()}


def test_a_private_run_and_a_huge_diff_leave_it_out_and_say_so(repo):
    (repo / "code.py").write_text("a text that nobody may see\n")
    found = repository(repo, private=True)
    assert (found.changed, found.diff, found.left_out) == (("sub/code.py",), "", "private=true")
    (repo / "code.py").write_text("x\n" * 600_000)
    found = repository(repo)

    assert found.diff == ""
    assert found.left_out.startswith("it has 1")


def test_secrets_in_a_diff_are_masked_and_that_is_known(repo):
    (repo / "code.py").write_text("TOKEN = 'ghp_0123456789abcdefghij'\n")
    found = repository(repo)

    assert f"+TOKEN = '{MASK}'" in found.diff
    assert provenance(Invocation("main", {}), found, {}, {})["git"]["diff_masked"]


def test_the_version_of_the_code_is_its_content_whatever_git_says(tmp_path):
    (tmp_path / "project" / "__pycache__").mkdir(parents=True)
    (tmp_path / "project" / "a.py").write_text("x = 1")
    first = code_version(tmp_path)
    (tmp_path / "project" / "__pycache__" / "a.pyc").write_text("x")
    (tmp_path / "README.md").write_text("x")
    assert code_version(tmp_path) == first
    (tmp_path / "project" / "a.py").write_text("x = 2")

    assert code_version(tmp_path) != first
    assert len(first) == 16


def test_every_package_has_the_version_that_importlib_tells():
    assert packages() == {
        one.name: one.version for one in reversed(list(importlib.metadata.distributions()))
    }


def test_inputs_are_known_by_their_hashes_and_what_is_missing_is_none(pets, tmp_path):
    pets()
    (tmp_path / "words.txt").write_text("words")
    files = {"task": "pets.yaml", "template": "words.txt", "human": "none.csv"}
    params = {name: str(tmp_path / file) for name, file in files.items()} | {
        "labels": "runs:/1/l.parquet"
    }
    found = inputs(params, lambda address: f"hash of {address}")

    assert {name: facts["sha256"] for name, facts in found.items()} == {
        "template": hashlib.sha256(b"words").hexdigest(),
        "human": None,
        "labels": "hash of runs:/1/l.parquet",
        "task": hashlib.sha256((tmp_path / "pets.yaml").read_bytes()).hexdigest(),
        "the task's data": hashlib.sha256((tmp_path / "pets.csv").read_bytes()).hexdigest(),
    }
    (tmp_path / "pets.yaml").write_text(CARD + "\n")
    (tmp_path / "words.txt").unlink()
    now = inputs(params, lambda address: "another")
    assert changed_inputs(
        {"inputs": found, "models": {"encoder": "a"}}, {"inputs": now, "models": {"encoder": "b"}}
    ) == [
        f"template ({tmp_path}/words.txt) is not there",
        "labels (runs:/1/l.parquet) holds something else: sha256 hash of runs then, another now",
        f"task ({tmp_path}/pets.yaml) holds something else: sha256 {str(found['task']['sha256'])[:12]} then, {str(now['task']['sha256'])[:12]} now",
        "encoder is another model: a then, b now",
    ]


def test_gpus_and_their_driver_are_told_by_the_kernel(tmp_path):
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version:  gcc 12.2.0\n"
    )
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text(
        "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 57\n"
    )

    assert driver_and_gpus(tmp_path) == ("570.86.15", ["NVIDIA H100 80GB HBM3"])
    assert driver_and_gpus(tmp_path / "none") == driver_and_gpus()


def test_what_differs_is_said_with_both_values(repo):
    then = provenance(Invocation("main", {}), repository(repo), {}, {})
    assert differences(then, then) == []
    (repo / "code.py").write_text("x = 2\n")
    now = provenance(Invocation("main", {}), repository(repo), {}, {})
    assert differences(then, now) == [
        f"uncommitted changes: none then, sub/code.py ({now['git']['diff_sha256'][:12]}) now; the code is the same"
    ]
    now["code_version"], now["packages"]["torch"], now["machine"]["gpus"] = "other", "9.9", ["H100"]
    del now["packages"]["numpy"]

    assert differences(then, now)[1:] == [
        "gpus: none then, H100 now",
        f"torch: {then['packages']['torch']} then, 9.9 now",
        f"numpy: {then['packages']['numpy']} then, none now",
    ]
    assert differences(then, {**then, "code_version": "other"}) == [
        f"code: version {then['code_version']} then, other now"
    ]


def test_a_root_run_holds_where_it_comes_from(params, store):
    given = params("finetune", seeds="1")
    finetune.finetune(given)
    root = latest_root()
    facts = read_json(root.run_id, "provenance.json")

    assert facts["parameters"] == given
    assert facts["entry_point"] == root.tags["entry_point"] == "finetune"
    assert root.tags["code.version"] == facts["code_version"] == code_version()
    assert facts["inputs"].keys() == {"task", "the task's data"}
    assert facts["models"]["encoder"].startswith("folder ")
    assert facts["machine"]["cores"] >= 1
    assert facts["packages"]["mlflow"] == importlib.metadata.version("mlflow")
    assert read_json(root.run_id, "config.json")["config"]["finetune"]["learning_rate"] == 0.003
    now = repository()
    assert root.tags.get("git.commit", "") == now.commit
    paths = {one.path for one in MlflowClient().list_artifacts(root.run_id)}
    assert {"config.json", "provenance.json", "examples.parquet"} <= paths
    if "git.diff" in paths:
        assert read_artifact(root, "git.diff").startswith(b"diff --git")
    assert ("git.diff" in paths) == bool(facts["git"]["diff_sha256"])
