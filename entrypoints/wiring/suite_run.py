"""A suite from its parameters to its page: the experiment of every task, each in its process."""

from __future__ import annotations

import contextlib
import fcntl
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from entrypoints.wiring import suite_task
from entrypoints.wiring.reports import publish_after
from entrypoints.wiring.setup import CONFIG, check_store
from entrypoints.wiring.suite_plan import Planned, for_all, name_of, planned_tasks
from entrypoints.wiring.suite_processes import Work, last_line, run_processes
from entrypoints.wiring.terminal import print_line
from project.config.cluster import NO_CLUSTER
from project.config.fields import parse
from project.config.loading import defaults
from project.config.results import HostConfig, StoreConfig
from project.config.suite import SuiteConfig
from project.data.suite import read_suite
from project.support.errors import AssayError, Incomplete
from project.support.files import digest
from project.support.machine import cpu_cores, visible_gpus
from project.tracking import SUITE, SUITE_TASK, VERDICT, Record, Tracker, root_run

_CORES_OF_A_TASK = 8
_AT_ONCE_ON_A_CLUSTER = 4


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
    planned = planned_tasks(
        read_suite(config.tasks, for_all(params)), one_encoder=config.one_encoder
    )
    check_store(host.workspace)
    name = config.suite or name_of(planned)
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
            one_encoder=config.one_encoder,
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
    one_encoder
        Whether the labels of a card are one process, which trains one encoder for all of them.
    """

    tracker: Tracker
    suite: str
    logs: Path
    at_once: int
    divided: bool
    one_encoder: bool = False

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
        # Labels of one encoder are run together, also those that are finished.
        groups = [
            group for group in self._groups(planned) if not all(one.key in found for one in group)
        ]
        works = [self._work(group) for group in groups]
        if works:
            shared = ", one encoder for the labels of a card" if self.one_encoder else ""
            print_line(
                f"suite: tasks to run: {sum(map(len, groups))}{shared}, "
                f"{min(self.at_once, len(works))} at a time. Their output is in {self.logs}."
            )
        failed = []
        seconds: list[float] = []
        for ended in run_processes(works, self.at_once, divided=self.divided):
            work = works[ended.number]
            seconds.append(ended.seconds)
            left = _eta(seconds, len(works) - len(seconds), self.at_once)
            for one in groups[ended.number]:
                run = self._newest(one, "mine") if ended.code == 0 else None
                if run:
                    found[one.key] = run
                    outcome = run.tags.get(VERDICT, "finished")
                else:
                    reason = _reason(ended.code, work.log)
                    outcome = f"failed: {reason}"
                    failed.append(f"{one.task.name}: {reason} See {work.log}.")
                print_line(f"suite: {one.task.name}: {outcome} ({clock(ended.seconds)}){left}")
        return failed

    def _groups(self, planned: Sequence[Planned]) -> list[list[Planned]]:
        """The tasks that are one process each: one task, or all labels of one encoder."""
        groups: dict[object, list[Planned]] = {}
        for one in planned:
            key: object = one.key
            if self.one_encoder and one.task.params["label"]:
                key = tuple(sorted({**one.task.params, "label": ""}.items()))
            groups.setdefault(key, []).append(one)
        return [*groups.values()]

    def _work(self, group: Sequence[Planned]) -> Work:
        first = group[0]
        if len(group) == 1:
            labels, params, name = {first.key: ""}, first.task.params, first.task.name
        else:
            labels = {one.key: one.task.params["label"] for one in group}
            params = {**first.task.params, "label": ""}
            name = first.task.name.removesuffix(first.task.params["label"]).rstrip()
        command = suite_task.command(self.suite, labels, _given(params))
        log = self.logs / f"{_file_name(name)}-{digest([*labels])[:8]}.log"
        return Work(name, command, log)


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
