"""Where a run comes from: all that it takes to run it again exactly, and what has changed since.

The code that ran, its parameters as they were given, its inputs by their hashes, its models, its machine and its packages.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from project.config.fields import parse
from project.config.task import TaskConfig
from project.data.card import load_card
from project.data.task import Task
from project.support.machine import cpu_cores, cpu_model, driver_and_gpus, memory
from project.support.redact import MASK, relevant_variables, scrubbed, scrubbed_json, short_message

FILE, DIFF, FORM = "provenance.json", "git.diff", 1
RERUN_OF, DIFFERS = "assay.rerun_of", "assay.rerun_differs"
COMMIT, DIRTY, ENTRY_POINT, CODE = "git.commit", "git.dirty", "entry_point", "code.version"
ROOT = Path(__file__).parents[2]
_CODE = ("project", "entrypoints", "analysis")
_INPUTS = ("data", "template", "human", "recorded", "labels")
"""Parameters that name a file."""
_DATA = "the task's data"
_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "peft",
    "vllm",
    "numpy",
    "scipy",
    "pandas",
    "pyarrow",
    "scikit-learn",
    "cleanlab",
    "datasets",
    "krippendorff",
    "optuna",
    "mlflow",
)
"""What can change a result, or how it is logged."""
_MACHINE = ("python", "platform", "cpu", "gpus", "gpu_driver")
_LONGEST_DIFF, _MOST_NAMES = 1_000_000, 1000  # characters; untracked files


class Invocation(NamedTuple):
    """What was asked for: an entry point, and the texts of its parameters."""

    entry_point: str
    params: Mapping[str, str]


@dataclass(frozen=True)
class Repository:
    """The state of the project's own git repository. ``why``: there is none to tell of; ``commit`` is empty then.

    ``diff``: of all tracked files against the commit, without secrets; ``left_out``: why it is empty all the same.
    """

    commit: str = ""
    changed: tuple[str, ...] = ()
    untracked: tuple[str, ...] = ()
    diff: str = ""
    left_out: str = ""
    why: str = ""

    @property
    def dirty(self) -> bool:
        """Whether something is not in the commit."""
        return bool(self.changed or self.untracked)


def repository(root: Path = ROOT, *, private: bool = False) -> Repository:
    """The state of the repository that has the folder ``root`` in it, of that folder alone; ``private``: without the diff, which may quote a text."""
    try:
        if not _git(root, "ls-files", "--", "MLproject"):
            return Repository(why="the project's folder belongs to no git repository")
        lines = _git(
            root,
            "status",
            "--porcelain=v2",
            "--branch",
            "--untracked-files=normal",
            "--no-renames",
            "-z",
            "--",
            ".",
        ).split("\0")
        commit = next((line.split()[2] for line in lines if line.startswith("# branch.oid ")), "")
        if commit in ("", "(initial)"):
            return Repository(why="the project's git repository has no commit yet")
        changed = tuple(
            scrubbed(line.split(" ", 10 if line[0] == "u" else 8)[-1])
            for line in lines
            if line[:2] in ("1 ", "u ")
        )
        untracked = tuple(scrubbed(line[2:]) for line in lines if line.startswith("? "))[
            :_MOST_NAMES
        ]
        diff, left_out = "", ""
        if changed and private:
            left_out = "private=true"
        elif changed:
            diff = _git(
                root,
                "diff",
                "HEAD",
                "--binary",
                "--full-index",
                "--no-renames",
                "--no-ext-diff",
                "--no-textconv",
                "--no-color",
                "--",
                ".",
            )
            if len(diff) > _LONGEST_DIFF:
                diff, left_out = "", f"it has {len(diff)} characters, more than {_LONGEST_DIFF}"
        return Repository(commit, changed, untracked, scrubbed(diff), left_out)
    except FileNotFoundError:
        return Repository(why="git is not installed here")
    except subprocess.TimeoutExpired:
        return Repository(why="git does not answer")
    except subprocess.CalledProcessError as error:
        return Repository(
            why=f"git says: {short_message(error.stderr.decode('utf-8', 'replace').partition(chr(10))[0])}"
        )


def _git(root: Path, *words: str) -> str:
    """What git says of ``root``, whatever repository the caller's environment points to; nothing is written, and no hook or monitor starts."""
    here = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", "-c", "core.fsmonitor=false", "-c", "core.quotePath=false", *words],
        cwd=root,
        capture_output=True,
        check=True,
        timeout=20,
        env={**here, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
    )
    return done.stdout.decode("utf-8", "replace")


def code_version(root: Path = ROOT) -> str:
    """The first 16 hex digits of a hash of all code and task cards, with git or without it."""
    sha = hashlib.sha256()
    for path in sorted(
        path
        for folder in _CODE
        for path in (root / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ):
        sha.update(
            f"{path.relative_to(root).as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\0".encode()
        )
    return sha.hexdigest()[:16]


def inputs(
    params: Mapping[str, str], stored: Callable[[str], str], task: Task | None = None
) -> dict[str, dict[str, str | None]]:
    """Every input that ``params`` names: where it is and its SHA-256, None where it is not there.

    ``stored``: the hash of a table in the tracking store, by its address. ``task``: gives the hash of data that come from the hub.
    """
    named = {name: params[name] for name in _INPUTS if params.get(name, "") not in ("", "gold")}
    hashes = {
        name: stored(place) if place.startswith("runs:/") else file_hash(Path(place))
        for name, place in named.items()
    }
    task_name = parse(TaskConfig, params).task
    card = task.card if task else load_card(task_name)
    named["task"], hashes["task"] = task_name, file_hash(card.path)
    if not params.get("data"):
        hub, beside = card.source.hub, card.source.file
        named[_DATA] = f"hub {hub}" if hub else beside
        hashes[_DATA] = (
            (task.data_hash if task else None) if hub else file_hash(card.path.parent / beside)
        )
    return {name: {"place": place, "sha256": hashes[name]} for name, place in named.items()}


def from_hub(params: Mapping[str, str]) -> bool:
    """Whether the task's data come from the hub."""
    return not params.get("data") and bool(load_card(parse(TaskConfig, params).task).source.hub)


def file_hash(path: Path) -> str | None:
    """SHA-256 of a file, None where there is none."""
    try:
        with path.expanduser().open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def packages() -> dict[str, str]:
    """All installed packages and their versions. Parsing their whole metadata, as importlib does for a version, would take ten times as long."""
    found: dict[str, str] = {}
    for one in importlib.metadata.distributions():
        text = one.read_text("METADATA") or one.read_text("PKG-INFO") or ""
        name, version = (
            re.search(rf"^{field}: *(\S+)", text, re.MULTILINE) for field in ("Name", "Version")
        )
        if name and version:
            found.setdefault(name[1], version[1])  # the first one is the one that is imported
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def machine() -> dict[str, Any]:
    """What ran the code."""
    driver, names = driver_and_gpus()
    return {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "cpu": cpu_model(),
        "cores": cpu_cores(),
        "memory_bytes": memory()[0],
        "gpus": names,
        "gpu_driver": driver,
    }


def provenance(
    given: Invocation, repo: Repository, hashes: Mapping[str, Any], models: Mapping[str, str]
) -> dict[str, Any]:
    """All of it as JSON, without secrets; ``hashes``: see :func:`inputs`; ``models``: the identity of each, by its parameter."""
    facts = {
        "form": FORM,
        "entry_point": given.entry_point,
        "parameters": dict(given.params),
        "parameters_masked": [
            name for name, value in given.params.items() if scrubbed(value) != value
        ],
        "command": shlex.join(sys.orig_argv),
        "folder": str(Path.cwd()),
        "git": {
            "commit": repo.commit,
            "dirty": repo.dirty,
            "changed": repo.changed,
            "untracked": repo.untracked,
            "diff_sha256": hashlib.sha256(repo.diff.encode("utf-8", "surrogatepass")).hexdigest()
            if repo.diff
            else "",
            "diff_left_out": repo.left_out,
            "diff_masked": MASK in repo.diff,
            "no_repository": repo.why,
        },
        "code_version": code_version(),
        "inputs": dict(hashes),
        "models": dict(models),
        "machine": machine(),
        "packages": packages(),
        "variables_set": relevant_variables(),
    }
    clean: dict[str, Any] = scrubbed_json(facts)
    return clean


def tags(facts: Mapping[str, Any]) -> dict[str, str]:
    """The facts by which a filter of the store finds a root run."""
    git = (
        {COMMIT: facts["git"]["commit"], DIRTY: str(facts["git"]["dirty"]).lower()}
        if facts["git"]["commit"]
        else {}
    )
    return {**git, ENTRY_POINT: facts["entry_point"], CODE: facts["code_version"]}


def changed_inputs(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """The inputs that are not what they were, a sentence each."""
    found = []
    for name, was in then["inputs"].items():
        sha256 = now["inputs"].get(name, {}).get("sha256")
        if was["sha256"] and not sha256:
            found.append(f"{name} ({was['place']}) is not there")
        elif was["sha256"] and sha256 != was["sha256"]:
            found.append(
                f"{name} ({was['place']}) holds something else: sha256 {was['sha256'][:12]} then, {sha256[:12]} now"
            )
    for name, is_now in now["inputs"].items():
        if (
            is_now["sha256"]
            and not then["inputs"].get(name, {}).get("sha256")
            and not str(is_now["place"]).startswith("hub ")
        ):
            found.append(
                f"{name} ({is_now['place']}) has no hash from then, so that it may be any file"
            )
    for name, was in then["models"].items():
        if now["models"].get(name) != was:
            found.append(f"{name} is another model: {was} then, {now['models'].get(name)} now")
    return found


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What else is not as it was, a line each: code, machine, and the versions of packages that matter."""
    same_code = "; the code is the same" if then["code_version"] == now["code_version"] else ""
    pairs = [
        ("commit", *(one["git"]["commit"][:12] for one in (then, now)), same_code),
        ("uncommitted changes", *(_changes(one["git"]) for one in (then, now)), same_code),
        *(
            (name.replace("_", " "), then["machine"].get(name), now["machine"].get(name), "")
            for name in _MACHINE
        ),
        *(
            (name, then["packages"].get(name, ""), now["packages"].get(name, ""), "")
            for name in _PACKAGES
        ),
    ]
    found = [
        f"{name}: {_words(was)} then, {_words(is_now)} now{more}"
        for name, was, is_now, more in pairs
        if was != is_now
    ]
    if not same_code and not found:
        found.append(f"code: version {then['code_version']} then, {now['code_version']} now")
    return found


def _changes(git: Mapping[str, Any]) -> str:
    """Which tracked files were changed, and how: by the diff's hash."""
    return (
        f"{', '.join(git['changed'][:5])} ({git['diff_sha256'][:12] or 'no diff'})"
        if git["changed"]
        else ""
    )


def _words(value: object) -> str:
    return (", ".join(map(str, value)) if isinstance(value, list) else str(value)) or "none"
