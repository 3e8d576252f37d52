"""Training on gold labels or on the labels of a file, without an annotator."""

from __future__ import annotations

from pathlib import Path

from entrypoints.wiring.conditions import Condition
from project.config.arms import GOLD, Arm
from project.config.finetune import FinetuneConfig
from project.config.labels import LabelConfig
from project.data.label_question import with_own_answers
from project.data.raw_data import read_file
from project.data.task import Task
from project.data.where import rows_of_task
from project.labels.external import external_labels
from project.labels.inputs import LabelInputs
from project.labels.sources import label
from project.tracking import read_uri

EXTERNAL = "given"
"""Name of the arm whose labels come from a file. It stands in stores and cannot change."""


def labels_condition(source: str, task: Task, config: FinetuneConfig) -> Condition:
    """The condition that trains on the labels named by the parameter ``labels``.

    Parameters
    ----------
    source
        ``gold``, a file, or the address ``runs:/RUN/PATH`` of a table in the tracking store. For
        one label of several, its cells are read like those of gold: sets, or yes and no.
    task
        The task.
    config
        The recipe.

    Raises
    ------
    AssayError
        As :func:`project.labels.external.external_labels`; for a task of one label of several also
        for a cell that names a label which the card lacks.
    """
    train = task.split("train")
    if source == GOLD:
        arm = Arm(GOLD)
        inputs = LabelInputs(train, [], tuple(task.label_set), LabelConfig())
        labels = label(arm, inputs)
    else:
        arm = Arm(EXTERNAL)
        in_store = source.startswith("runs:/")
        table = read_uri(source) if in_store else read_file(Path(source).expanduser())
        table = rows_of_task(table, task.where, f"labels {source}", besides=("label",))
        if "example_id" in table.columns:
            # What stands beside other examples is neither used nor checked.
            table = table[table["example_id"].astype(str).isin(train["example_id"])]
        table = with_own_answers(table, task.card, "label")
        labels = external_labels(table, train, task.label_set)
    return Condition(
        arm=arm,
        name=arm.name,
        examples=train,
        labels=labels,
        validation=task.split("validation").rename(columns={"gold_label": "label"}),
        config=config,
        seeds=range(config.seeds),
    )
