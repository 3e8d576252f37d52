"""A suite from its parameters to its page: the experiment of every task, each in its process."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
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
from project.support.errors import AssayError, Incomplete
from project.support.files import digest
from project.support.machine import cpu_cores, visible_gpus
from project.tracking import SUITE, SUITE_TASK, VERDICT, Record, Tracker, root_run

_CORES_OF_A_TASK = 8
_AT_ONCE_ON_A_CLUSTER = 4
_NOT_PASSED = ("task", "data", "config", "show_config", "workspace")
_WITHOUT_EFFECT = ("workspace", "reuse", "log_diff", "register_prompt", "cluster", "tolerance")
"""Parameters that change no number of an experiment; a report can judge by other limits."""


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
    for name in ("task", "data"):
        if params[name]:
            raise AssayError(
                f"{name} must be empty in a suite, whose tasks stand in tasks; got "
                f"{params[name]!r}. Name the task there."
            )
    if params["dry_run"] != "false":
        raise AssayError(
            "dry_run must be false in a suite, since it tells what one experiment takes; got "
            f"{params['dry_run']}. Use the entry point main with one of the tasks."
        )
    planned = _planned(read_suite(config.tasks, _for_all(params)))
    check_store(host.workspace)
    name = config.suite or _name_of([one.task.name for one in planned])
    on_cluster = params["cluster"] != NO_CLUSTER
    with root_run("suite", f"suite · {name}", params, host.workspace) as tracker:
        tracker.tag({SUITE: name})
        _log(tracker, name, planned, {})
        runner = Runner(
            tracker,
            name,
            Path(host.workspace) / "suites" / digest(name),
            at_once=config.tasks_at_once or _at_once(on_cluster=on_cluster),
            divided=not on_cluster,
        )
        found = runner.finished(planned, store.reuse)
        failed = runner.run(planned, found)
        _log(tracker, name, planned, found)
        with publish_after(tracker, lambda: publish(tracker.run_id, host.workspace)):
            if failed:
                raise Incomplete(
                    f"{len(failed)} of {len(planned)} tasks failed; the others are finished. "
                    f"{' '.join(failed)} Correct the cause and run again: what is finished is not "
                    "repeated."
                )


def _for_all(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of the command that hold for every task: those that differ from a default."""
    usual = defaults("main")
    return {
        name: text
        for name, text in params.items()
        if name in usual and name not in _NOT_PASSED and text != usual[name]
    } | {"workspace": params["workspace"]}


def _planned(tasks: Sequence[SuiteTask]) -> list[Planned]:
    """The tasks with the digests of their parameters and of the files that these name."""
    found = []
    for task in tasks:
        inputs = inputs_of(Invocation("main", task.params), None)
        hashes = {name: each["sha256"] for name, each in inputs.items()}
        facts = {name: text for name, text in task.params.items() if name not in _WITHOUT_EFFECT}
        found.append(Planned(task, digest([facts, hashes])))
    return found


def _name_of(names: Sequence[str]) -> str:
    """A name for a suite that has none: its tasks, or the first two and how many more."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"


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
                f"suite: {len(found)} of {len(planned)} tasks are finished already, and are not "
                "run again. reuse=none runs them again."
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
                f"suite: {len(works)} tasks, {min(self.at_once, len(works))} at a time; their "
                f"output is in {self.logs}."
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
                outcome = f"failed: {last_line(work.log)}"
                failed.append(f"{one.task.name}: {last_line(work.log)} ({work.log}).")
            print_line(
                f"suite: {one.task.name}: {outcome} ({clock(ended.seconds)})"
                f"{_eta(seconds, len(works) - len(seconds), self.at_once)}"
            )
        return failed

    def _work(self, one: Planned) -> Work:
        command = suite_task.command(self.suite, one.key, _given(one.task.params))
        log = self.logs / f"{_file_name(one.task.name)}.log"
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
    """The name of a task as one of a file."""
    return re.sub(r"[^\w.-]+", "-", name)[:80] or "task"


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
