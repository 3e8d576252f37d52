"""The origin of a run: code, inputs, machine, and how changes since then are described."""

import hashlib
import importlib.metadata
import os
import shutil
import subprocess

import pytest
from mlflow.tracking import MlflowClient

from entrypoints import finetune
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.origin_changes import changed_inputs, differences
from entrypoints.wiring.provenance import inputs, packages, provenance, tags
from entrypoints.wiring.repository import Repository, code_version, repository
from project.config.results import StoreConfig
from project.support.errors import AssayError
from project.support.machine import driver_and_gpus
from project.support.redact import MASK
from project.tracking import latest_root, read_artifact, read_json
from tests.helpers.pets import CARD

GIT_SETTINGS = {
    "user.name": "x",
    "user.email": "x",
    "commit.gpgsign": "false",
    "init.defaultBranch": "main",
}


def git(folder, *words):
    """The output of a git command that does not depend on the user's configuration."""
    options = [word for name, text in GIT_SETTINGS.items() for word in ("-c", f"{name}={text}")]
    done = subprocess.run(["git", *options, *words], cwd=folder, check=True, capture_output=True)
    return done.stdout.decode()


@pytest.fixture
def project_folder(tmp_path):
    """The folder ``sub`` of a repository with one commit."""
    folder = tmp_path / "repo" / "sub"
    folder.mkdir(parents=True)
    (folder / "MLproject").write_text("name: x\n")
    (folder / "code.py").write_text("x = 1\n")
    (folder.parent / "other.txt").write_text("other\n")
    git(folder.parent, "init", "--quiet")
    git(folder.parent, "add", "-A")
    git(folder.parent, "commit", "--quiet", "-m", "one")
    return folder


def origin_of(code):
    """The origin of a run of ``main`` with this state of the repository."""
    return provenance(Invocation("main", {}), code, {}, {})


def test_a_clean_repository_is_described_by_its_commit(project_folder):
    state = repository(project_folder)

    assert state.commit == git(project_folder, "rev-parse", "HEAD").strip()
    assert not state.dirty
    assert state.diff == state.why == ""


def test_the_diff_turns_the_commit_into_the_code_that_ran(project_folder, tmp_path):
    (project_folder / "code.py").write_text("x = 2\nname = 'é'\n")
    (project_folder / "picture.png").write_bytes(bytes(range(256)))
    git(project_folder, "add", "picture.png")
    (project_folder / "new.py").write_text("untracked")
    (project_folder / "made").mkdir()
    (project_folder / "made" / "a.py").write_text("untracked")
    (project_folder.parent / "other.txt").write_text("outside of the project\n")
    state = repository(project_folder)

    assert state.dirty
    assert set(state.changed) == {"sub/code.py", "sub/picture.png"}
    assert set(state.untracked) == {"sub/new.py", "sub/made/"}
    assert "untracked" not in state.diff
    assert "outside" not in state.diff

    fresh = tmp_path / "fresh"
    git(tmp_path, "clone", "--quiet", str(project_folder.parent), str(fresh))
    (tmp_path / "git.diff").write_text(state.diff, encoding="utf-8")
    git(fresh, "apply", "--index", str(tmp_path / "git.diff"))
    restored = {path.name: path.read_bytes() for path in (fresh / "sub").iterdir()}
    tracked = [path for path in project_folder.iterdir() if path.is_file()]
    assert restored == {path.name: path.read_bytes() for path in tracked if path.name != "new.py"}


def test_the_repository_is_the_projects_wherever_the_command_is_started(
    project_folder, tmp_path, monkeypatch
):
    (tmp_path / "mine").mkdir()
    git(tmp_path / "mine", "init", "--quiet")
    monkeypatch.chdir(tmp_path / "mine")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "mine" / ".git"))

    head = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=project_folder,
        env={"PATH": os.environ["PATH"]},
        check=True,
        capture_output=True,
        text=True,
    )
    assert repository(project_folder).commit == head.stdout.strip()


def test_without_a_repository_the_reason_is_kept(project_folder, tmp_path, monkeypatch):
    alone = tmp_path / "alone"
    shutil.copytree(project_folder, alone)
    assert repository(alone).why.startswith("git fails: fatal: not a git repository")
    inside = project_folder.parent / "downloaded"
    shutil.copytree(project_folder, inside)
    assert repository(inside).why == "the project's folder belongs to no git repository"
    git(alone, "init", "--quiet")
    git(alone, "add", "-A")
    assert repository(alone).why == "the project's git repository has no commit yet"
    monkeypatch.setenv("PATH", "")
    state = repository(project_folder)

    assert state.commit == ""
    assert state.why == "git is not installed here"
    facts = origin_of(state)
    assert facts["git"]["no_repository"] == "git is not installed here"
    assert tags(facts) == {"entry_point": "main", "code.version": code_version()}


def test_a_diff_of_a_private_run_and_a_huge_one_are_left_out(project_folder):
    (project_folder / "code.py").write_text("a text that must stay private\n")
    state = repository(project_folder, private=True)
    assert state.changed == ("sub/code.py",)
    assert state.diff == ""
    assert state.left_out == "private=true"
    (project_folder / "code.py").write_text("x\n" * 600_000)
    state = repository(project_folder)

    assert state.diff == ""
    assert state.left_out.startswith("it has 1")


def test_secrets_in_a_diff_are_masked_and_the_record_says_so(project_folder):
    (project_folder / "code.py").write_text("TOKEN = 'ghp_0123456789abcdefghij'\n")
    state = repository(project_folder)

    assert f"+TOKEN = '{MASK}'" in state.diff
    assert origin_of(state)["git"]["diff_masked"]


def test_the_version_of_the_code_depends_on_the_content_of_code_alone(tmp_path):
    (tmp_path / "project" / "__pycache__").mkdir(parents=True)
    (tmp_path / "project" / "a.py").write_text("x = 1")
    first = code_version(tmp_path)
    (tmp_path / "project" / "__pycache__" / "a.pyc").write_text("x")
    (tmp_path / "README.md").write_text("x")
    assert code_version(tmp_path) == first
    (tmp_path / "project" / "a.py").write_text("x = 2")

    assert code_version(tmp_path) != first
    assert len(first) == 16


def test_every_package_has_the_version_that_importlib_reads():
    distributions = reversed(list(importlib.metadata.distributions()))

    assert packages() == {package.name: package.version for package in distributions}


def test_inputs_are_identified_by_hashes_and_changes_are_named(pets, tmp_path):
    pets()
    (tmp_path / "words.txt").write_text("words")
    files = {"task": "pets.yaml", "template": "words.txt", "human": "none.csv"}
    params = {name: str(tmp_path / file) for name, file in files.items()}
    params["labels"] = "runs:/1/l.parquet"
    then = inputs(params, lambda address: f"hash of {address}")

    assert {name: facts["sha256"] for name, facts in then.items()} == {
        "template": hashlib.sha256(b"words").hexdigest(),
        "human": None,
        "labels": "hash of runs:/1/l.parquet",
        "task": hashlib.sha256((tmp_path / "pets.yaml").read_bytes()).hexdigest(),
        "the task's data": hashlib.sha256((tmp_path / "pets.csv").read_bytes()).hexdigest(),
    }
    (tmp_path / "pets.yaml").write_text(CARD + "\n")
    (tmp_path / "words.txt").unlink()
    now = inputs(params, lambda address: "another")
    hashes = [str(facts["task"]["sha256"])[:12] for facts in (then, now)]
    changes = changed_inputs(
        {"inputs": then, "models": {"encoder": "a"}}, {"inputs": now, "models": {"encoder": "b"}}
    )
    assert changes == [
        f"template ({tmp_path}/words.txt) is missing",
        "labels (runs:/1/l.parquet) has another content: sha256 hash of runs then, another now",
        f"task ({tmp_path}/pets.yaml) has another content: sha256 {hashes[0]} then, {hashes[1]} "
        "now",
        "encoder is another model: a then, b now",
    ]


def test_gpus_and_their_driver_are_read_from_the_files_of_the_kernel(tmp_path):
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"
        "GCC version:  gcc 12.2.0\n"
    )
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text(
        "Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 57\n"
    )

    assert driver_and_gpus(tmp_path) == ("570.86.15", ["NVIDIA H100 80GB HBM3"])
    assert driver_and_gpus(tmp_path / "none") == driver_and_gpus()


def test_differences_are_listed_with_both_values(project_folder):
    then = origin_of(repository(project_folder))
    assert differences(then, then) == []
    (project_folder / "code.py").write_text("x = 2\n")
    now = origin_of(repository(project_folder))
    assert differences(then, now) == [
        f"uncommitted changes: none then, sub/code.py ({now['git']['diff_sha256'][:12]}) now; the "
        "code is the same"
    ]
    now["code_version"] = "other"
    now["packages"]["torch"] = "9.9"
    now["machine"]["gpus"] = ["H100"]
    del now["packages"]["numpy"]

    assert differences(then, now)[1:] == [
        "gpus: none then, H100 now",
        f"torch: {then['packages']['torch']} then, 9.9 now",
        f"numpy: {then['packages']['numpy']} then, none now",
    ]
    assert differences(then, {**then, "code_version": "other"}) == [
        f"code: version {then['code_version']} then, other now"
    ]


def test_a_root_run_has_a_record_of_its_origin(params):
    values = params("finetune", seeds="1")
    finetune.finetune(values)
    root = latest_root()
    facts = read_json(root.run_id, "provenance.json")

    assert facts["parameters"] == values
    assert facts["entry_point"] == root.tags["entry_point"] == "finetune"
    assert root.tags["code.version"] == facts["code_version"] == code_version()
    assert facts["inputs"].keys() == {"task", "the task's data"}
    assert facts["models"]["encoder"].startswith("folder ")
    assert facts["machine"]["cores"] >= 1
    assert facts["packages"]["mlflow"] == importlib.metadata.version("mlflow")
    assert read_json(root.run_id, "config.json")["config"]["finetune"]["learning_rate"] == 0.003
    assert root.tags.get("git.commit", "") == repository().commit
    paths = {file.path for file in MlflowClient().list_artifacts(root.run_id)}
    assert {"config.json", "provenance.json", "examples.parquet"} <= paths
    assert "git.diff" not in paths


@pytest.mark.parametrize("asked", [True, False])
def test_a_diff_is_logged_only_when_asked_and_its_hash_always(params, monkeypatch, asked):
    state = Repository("c" * 40, changed=("a.py",), diff="diff --git a b\n", diff_sha256="d" * 64)
    monkeypatch.setattr("entrypoints.wiring.setup.repository", lambda **_: state)
    finetune.finetune(params("finetune", seeds="1", log_diff=str(asked).lower()))
    root = latest_root()

    git = read_json(root.run_id, "provenance.json")["git"]
    assert git["diff_sha256"] == "d" * 64
    assert git["changed"] == ["a.py"]
    assert git["diff_left_out"] == ("" if asked else "log_diff=false")
    paths = {file.path for file in MlflowClient().list_artifacts(root.run_id)}
    assert ("git.diff" in paths) == asked
    if asked:
        assert read_artifact(root, "git.diff") == b"diff --git a b\n"


def test_a_private_run_cannot_log_a_diff():
    with pytest.raises(AssayError, match="log_diff must be false with private=true"):
        StoreConfig(private=True, log_diff=True)


def test_the_hash_of_changes_stands_where_the_diff_is_left_out(project_folder):
    (project_folder / "code.py").write_text("PASS = 'no pattern knows this one'\n")

    public, private = repository(project_folder), repository(project_folder, private=True)
    assert public.diff_sha256 == private.diff_sha256
    assert len(public.diff_sha256) == 64
    assert private.diff == ""
