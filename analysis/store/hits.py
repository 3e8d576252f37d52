"""Audits of a store beside what came true."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from analysis.store.audits import read_audit
from project.config.finetune import LINEAR
from project.support.errors import UnusableRun
from project.tracking import Record, newest_runs

_PAGE = 200


class Simulated(NamedTuple):
    """An audit of a pool whose human labels are all known: its ``audit.json``."""

    run_id: str
    result: dict[str, Any]


class Foretold(NamedTuple):
    """An audit, and the newest experiment on the same task and annotator that followed it.

    Experiments with the audit's own classifier come first; with another one, the loss is another.
    ``loss`` is gold's mean macro-F1 less that of the LLM's labels, in [-1, 1].
    """

    audit: Record
    result: dict[str, Any]
    experiment: Record
    loss: float

    @property
    def classifier(self) -> str:
        """What the experiment trained, in words."""
        encoder = self.experiment.params.get("encoder", "bundled")
        return "the logistic regression" if encoder == LINEAR else f"{encoder}, fine-tuned,"


class StoredAudits(NamedTuple):
    """All audits whose truth is known, and how many runs could not be read."""

    simulated: list[Simulated]
    foretold: list[Foretold]
    n_unreadable: int


def read_record() -> StoredAudits:
    """The audits of the store, the newest first."""
    simulated = []
    foretold = []
    n_unreadable = 0
    experiments = list(_runs("experiment"))
    for audit in _runs("audit"):
        try:
            result = read_audit(audit)
        except UnusableRun:
            n_unreadable += 1
            continue
        if "truth" in result:
            simulated.append(Simulated(audit.run_id, result))
        following = [run for run in experiments if _follows(run, audit)]
        if following:
            encoder = audit.params.get("encoder", LINEAR)
            same = [run for run in following if run.params.get("encoder") == encoder]
            experiment = (same or following)[0]
            loss = experiment.metrics["gold.macro_f1"] - experiment.metrics["llm.macro_f1"]
            foretold.append(Foretold(audit, result, experiment, loss))
    return StoredAudits(simulated, foretold, n_unreadable)


def _runs(kind: str) -> Iterator[Record]:
    for page in newest_runs(kind, page_size=_PAGE):
        yield from page


def _follows(experiment: Record, audit: Record) -> bool:
    """Whether an experiment shows what came true: later, on the same task, data and annotator."""
    names = ("task", "data", "annotator", "annotator_model", "recorded", "recorded_columns")
    same = all(experiment.params.get(name) == audit.params.get(name) for name in names)
    has_both = {"gold.macro_f1", "llm.macro_f1"} <= experiment.metrics.keys()
    return same and has_both and experiment.started > audit.started
