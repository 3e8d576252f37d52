"""What to do after an experiment, as commands to copy."""

from __future__ import annotations

from collections.abc import Mapping

from analysis.questions.verdict import Verdict
from analysis.render.answer import Step
from analysis.store.experiment import Experiment
from analysis.store.invocation import again
from project.config.next_command import command_line
from project.tracking import KIND, newest_models

_CORPUS = {"data": "corpus.parquet", "output": "labels.parquet"}
"""Stand for the user's own files."""


def next_steps(experiment: Experiment, decision: Verdict) -> list[Step]:
    """What to do, the most useful first; empty if nothing is known to help."""
    if decision.word.startswith(("safe", "no worse")):
        return _put_to_work(experiment)
    own = _own_entry(experiment)
    if decision.word == "cannot tell":
        entry = own if decision.entry == "main" else decision.entry
        command = again(experiment.root, entry, decision.change) if entry else ""
        return [Step(_WAYS[decision.entry], command)] if command else []
    steps = []
    if own != "budget":
        # The budget has arms and shares of its own.
        command = again(experiment.root, "budget", {"arms": "", "replace_share": ""})
        steps = [Step("See which human labels would help most, and how many it takes:", command)]
    steps = [step for step in steps if step.command]
    return [*steps, Step(_OTHER_LABELS)]


_OTHER_LABELS = (
    "Or try better labels from the start: another LLM (annotator, annotator_model), more "
    "demonstrations (n_demonstrations), or label names that say more (label_style, the task's "
    "description)."
)
_WAYS: Mapping[str, str] = {
    "main": "Run the experiment again so that it can decide:",
    "audit": "Have an audit estimate the loss from a few hundred texts that people label:",
}


def _own_entry(experiment: Experiment) -> str:
    """The entry point that made the run."""
    return "budget" if experiment.root.tags.get(KIND) == "budget" else "main"


def _put_to_work(experiment: Experiment) -> list[Step]:
    """Label a corpus, after the classifiers were kept if they were not."""
    run_id = experiment.root.run_id
    runs = [run for replicates in experiment.arms.values() for run in replicates.runs]
    if newest_models(runs):
        command = command_line("predict", {"run_id": run_id, **_CORPUS})
        return [Step("Label all your texts with the classifier:", command)]
    keep = again(experiment.root, _own_entry(experiment), {"log_model": "best"})
    return [
        Step("Run the experiment again to keep its classifiers:", keep),
        Step(
            "Then label all your texts with the best one:",
            command_line("predict", {"run_id": "RUN", **_CORPUS}),
        ),
    ]
