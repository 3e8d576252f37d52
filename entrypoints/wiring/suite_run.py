"""A suite from its parameters to its page: the experiment of every task, each in its process."""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from entrypoints.wiring import suite_task
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.reports import publish_after
from entrypoints.wiring.setup import CONFIG, check_store, inputs_of
from entrypoints.wiring.suite_processes import Work, last_line, run_processes
from entrypoints.wiring.terminal import print_line
from project.config.cluster import NO_CLUSTER
from project.config.fields import parse
from project.config.loading import defaults
from project.config.results import HostConfig, StoreConfig
from project.config.suite import SuiteConfig
from project.data.suite import SuiteTask, read_suite
from project.support.errors import AssayError, Incomplete, Refusals
from project.support.files import digest
from project.support.machine import cpu_cores, visible_gpus
from project.tracking import SUITE, SUITE_TASK, VERDICT, Record, Tracker, root_run

_CORES_OF_A_TASK = 8
_AT_ONCE_ON_A_CLUSTER = 4
_NOT_PASSED = ("task", "data", "config", "show_config", "workspace")
_WITHOUT_EFFECT = (
    *("workspace", "reuse", "log_diff", "register_prompt", "cluster"),
    *("max_cost", "max_minutes"),  # a finished experiment has not reached them
)
"""Parameters that change nothing of a finished experiment."""
_MAX_NAME = 80


class Planned(NamedTuple):
    """A task, and the digest of all that can change its experiment."""

    task: SuiteTask
    key: str


def run_suite(params: Mapping[str, str], *, publish: Callable[[str, str], None]) -> None:
    """Run the experiments that are missing, log which there are, and publish the page.

    Parameters
    ----------
    params
        Every parameter of the entry point, as text.
    publish
        Publishes the page, given the id of the root run and the workspace.

    Raises
    ------
    Incomplete
        If the experiment of a task failed. The others are finished, and on the page.
    """
    config = parse(SuiteConfig, params)
    host, store = parse(HostConfig, params), parse(StoreConfig, params)
    for name in ("task", "data", "label"):
        if params[name]:
            raise AssayError(
                f"{name} must be empty in a suite; got {params[name]!r}. Name the tasks in tasks, "
                "and what is their own in a file (docs/suite.md)."
            )
    if params["dry_run"] != "false":
        raise AssayError(
            "dry_run must be false in a suite, since it tells what one experiment takes; got "
            f"{params['dry_run']}. Use the entry point main with one of the tasks."
        )
    planned = _planned(read_suite(config.tasks, _for_all(params)))
    check_store(host.workspace)
    name = config.suite or _name_of(planned)
    on_cluster = params["cluster"] != NO_CLUSTER
    logs = Path(host.workspace) / "suites" / digest(name)
    with (
        _alone(logs, name),
        root_run("suite", f"suite · {name}", params, host.workspace) as tracker,
    ):
        tracker.tag({SUITE: name})
        _log(tracker, name, planned, {})
        runner = Runner(
            tracker,
            name,
            logs,
            at_once=config.tasks_at_once or _at_once(on_cluster=on_cluster),
            divided=not on_cluster,
        )
        found = runner.finished(planned, store.reuse)
        failed = runner.run(planned, found)
        _log(tracker, name, planned, found)
        with publish_after(tracker, lambda: publish(tracker.run_id, host.workspace)):
            if failed:
                raise _failure(failed, len(planned))


def _failure(failed: Sequence[str], n: int) -> Incomplete:
    """The error of a suite some of whose tasks failed."""
    others = "None is finished." if len(failed) == n else "The others are finished."
    return Incomplete(
        f"{len(failed)} of {n} tasks failed. {others} {' '.join(failed)} Correct the cause and run "
        "again: what is finished is not repeated."
    )


@contextlib.contextmanager
def _alone(folder: Path, name: str) -> Iterator[None]:
    """A context that only one process at a time is in; AssayError for another one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AssayError(
                f"suite {name!r} runs in this workspace already. Wait for its end, or set another "
                "suite=NAME."
            ) from None
        yield


def _for_all(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of the command that hold for every task: those that differ from a default."""
    usual = defaults("main")
    return {
        name: text
        for name, text in params.items()
        if name in usual and name not in _NOT_PASSED and text != usual[name]
    } | {"workspace": params["workspace"]}


def _planned(tasks: Sequence[SuiteTask]) -> list[Planned]:
    """The tasks with the digests of their parameters and of the files that these name.

    Raises AssayError for a file that is missing, and for two tasks that are the same experiment.
    """
    refusals = Refusals()
    found: dict[str, Planned] = {}
    for task in tasks:
        with refusals.part():
            inputs = inputs_of(Invocation("main", task.params), None)
            absent = [
                f"{name} ({each['place']})"
                for name, each in inputs.items()
                if each["sha256"] is None and not str(each["place"]).startswith("hub ")
            ]
            if absent:
                raise AssayError(
                    f"task {task.name}: files that cannot be read: {', '.join(absent)}. Correct "
                    "the paths."
                )
            hashes = {name: each["sha256"] for name, each in inputs.items()}
            facts = {
                name: text for name, text in task.params.items() if name not in _WITHOUT_EFFECT
            }
            key = digest([facts, hashes])
            if key in found:
                raise AssayError(
                    f"tasks must differ; {found[key].task.name} and {task.name} are the same "
                    "experiment. Leave one of the two out."
                )
            found[key] = Planned(task, key)
    refusals.finish()
    return [*found.values()]


def _name_of(planned: Sequence[Planned]) -> str:
    """A name for a suite that has none: its first tasks, and a digest that tells it from others."""
    names = [one.task.name for one in planned]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    shown = f"{', '.join(names[:2])}{more}"
    return f"{shown[:_MAX_NAME]} · {digest([one.key for one in planned])[:6]}"


@dataclass
class Runner:
    """Runs the experiments of a suite.

    Attributes
    ----------
    tracker, suite
        The tracker of the suite's root run, and the suite's name.
    logs
        Folder of the tasks' output.
    at_once, divided
        See :func:`entrypoints.wiring.suite_processes.run_processes`.
    """

    tracker: Tracker
    suite: str
    logs: Path
    at_once: int
    divided: bool

    def finished(self, planned: Sequence[Planned], reuse: str | None) -> dict[str, Record]:
        """The newest finished experiment of each task, by its digest."""
        found = {one.key: run for one in planned if (run := self._newest(one, reuse))}
        if found:
            print_line(
                f"suite: finished already, and not run again: {len(found)} of {len(planned)} "
                "tasks. reuse=none runs them again."
            )
        return found

    def _newest(self, one: Planned, reuse: str | None) -> Record | None:
        runs = self.tracker.reusable_runs("experiment", SUITE_TASK, one.key, reuse)
        return next(iter(runs), None)

    def run(self, planned: Sequence[Planned], found: dict[str, Record]) -> list[str]:
        """Run the tasks that ``found`` lacks, and add their runs; a sentence on each that failed.

        An experiment that has ended is found by the same command, whatever happens to this process.
        """
        missing = [one for one in planned if one.key not in found]
        works = [self._work(one) for one in missing]
        if works:
            print_line(
                f"suite: tasks to run: {len(works)}, {min(self.at_once, len(works))} at a time. "
                f"Their output is in {self.logs}."
            )
        failed = []
        seconds: list[float] = []
        for ended in run_processes(works, self.at_once, divided=self.divided):
            one, work = missing[ended.number], works[ended.number]
            seconds.append(ended.seconds)
            run = self._newest(one, "mine") if ended.code == 0 else None
            if run:
                found[one.key] = run
                outcome = run.tags.get(VERDICT, "finished")
            else:
                outcome = f"failed: {_reason(ended.code, work.log)}"
                failed.append(f"{one.task.name}: {_reason(ended.code, work.log)} See {work.log}.")
            print_line(
                f"suite: {one.task.name}: {outcome} ({clock(ended.seconds)})"
                f"{_eta(seconds, len(works) - len(seconds), self.at_once)}"
            )
        return failed

    def _work(self, one: Planned) -> Work:
        command = suite_task.command(self.suite, one.key, _given(one.task.params))
        log = self.logs / f"{_file_name(one.task.name)}-{one.key[:8]}.log"
        return Work(one.task.name, command, log)


def _given(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of an experiment that differ from their defaults."""
    usual = defaults("main")
    return {name: text for name, text in params.items() if text != usual.get(name)}


def _at_once(*, on_cluster: bool) -> int:
    """How many tasks run at the same time where nothing is said."""
    if on_cluster:
        return _AT_ONCE_ON_A_CLUSTER
    return len(visible_gpus()) or max(1, cpu_cores() // _CORES_OF_A_TASK)


def _reason(code: int, log: Path) -> str:
    """Why a task failed: the last line of its output, without what is said of its command line."""
    if code == 0:
        return "its run is not found in the tracking store, which may be away."
    return last_line(log).removeprefix("error: ").partition(" (With mlflow run:")[0]


def _eta(seconds: Sequence[float], left: int, at_once: int) -> str:
    """How many tasks are left, and for how long."""
    if not left:
        return ""
    remaining = sum(seconds) / len(seconds) * -(-left // at_once)
    return f"; {left} to go, about {clock(remaining)}"


def clock(seconds: float) -> str:
    """A time as minutes and seconds."""
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d} min"


def _file_name(name: str) -> str:
    """A file name that begins like the name of a task, in ASCII."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", name)[:40].strip("-.") or "task"


def _log(
    tracker: Tracker, name: str, planned: Sequence[Planned], found: Mapping[str, Record]
) -> None:
    """Log which tasks there are, and the run of each that is finished."""
    tasks = [
        {
            "name": one.task.name,
            "group": one.task.group,
            "key": one.key,
            "run_id": found[one.key].run_id if one.key in found else "",
        }
        for one in planned
    ]
    tracker.log_json(CONFIG, {"suite": name, "tasks": tasks})
