"""What a suite is to run: its tasks, each with the digest of all that can change its experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.setup import inputs_of
from project.config.loading import defaults
from project.data.suite import SuiteTask
from project.support.errors import AssayError, Refusals
from project.support.files import digest

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


def for_all(params: Mapping[str, str]) -> dict[str, str]:
    """The parameters of the command that hold for every task: those that differ from a default."""
    usual = defaults("main")
    return {
        name: text
        for name, text in params.items()
        if name in usual and name not in _NOT_PASSED and text != usual[name]
    } | {"workspace": params["workspace"]}


def planned_tasks(tasks: Sequence[SuiteTask], *, one_encoder: bool) -> list[Planned]:
    """The tasks with the digests of their parameters and of the files that these name.

    Raises AssayError for a file that is missing, and for two tasks that are the same experiment.
    """
    if one_encoder and not any(task.params["label"] for task in tasks):
        raise AssayError(
            "one_encoder=true needs a card with label_type: multi, whose labels it trains "
            "together. Leave it out."
        )
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
            together = one_encoder and bool(task.params["label"])
            key = digest([facts, hashes, *(["one encoder"] if together else [])])
            if key in found:
                raise AssayError(
                    f"tasks must differ; {found[key].task.name} and {task.name} are the same "
                    "experiment. Leave one of the two out."
                )
            found[key] = Planned(task, key)
    refusals.finish()
    return [*found.values()]


def name_of(planned: Sequence[Planned]) -> str:
    """A name for a suite that has none: its first tasks, and a digest that tells it from others."""
    names = [one.task.name for one in planned]
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    shown = f"{', '.join(names[:2])}{more}"
    return f"{shown[:_MAX_NAME]} · {digest([one.key for one in planned])[:6]}"
