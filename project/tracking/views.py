"""What the MLflow UI shows of an experiment: its description, and saved views of its runs.

The UI keeps a saved view in a tag of the experiment, and opens it by the key of the tag.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from project.support.redact import scrubbed
from project.tracking.names import NOTE

VERDICTS = "assay"
"""Key of the view of all root runs: the best labels first."""
SEEDS = "assay-seeds"
"""Key of the view of the trainings below the root runs."""
_VIEW = "mlflow.sharedViewState."
_DESCRIPTION = (
    "How much gold is in these LLM labels? Every run at the top is one experiment: its "
    "description holds the verdict and the table, its artifact `report/report.html` the rest. "
    "Below it stands a run for every annotation draw and for every fine-tuning seed. The saved "
    "view *Verdicts* lists the experiments, the view *Seeds* compares the arms."
)
# Columns of the views in their order, as (group, name, width in pixels).
_VERDICT_COLUMNS = (
    ("tags", "assay.verdict", 150),
    ("metrics", "loss", 75),
    ("metrics", "loss_low", 85),
    ("metrics", "loss_high", 90),
    ("metrics", "alpha", 75),
    ("metrics", "llm.macro_f1", 115),
    ("metrics", "llm.accuracy", 115),
    ("metrics", "human_labels", 115),
    ("metrics", "cost", 75),
    ("params", "model", 170),
    ("params", "prompt_style", 110),
    ("params", "shots", 70),
    ("params", "template_hash", 125),
)
_SEED_COLUMNS = (
    ("params", "arm", 120),
    ("params", "seed", 60),
    ("metrics", "test.macro_f1", 150),
    ("metrics", "test.accuracy", 150),
    ("metrics", "human_labels", 120),
    ("metrics", "train_seconds", 130),
)
# What the UI calls the columns that every view has.
_FIRST_COLUMNS = {"attributes.`Run Name`": 420, "runDateAndNestInfo": 150, "duration": 90}


def describe_experiment(experiment_id: str) -> None:
    """Give an experiment its description and views, and let the UI open it on its runs.

    Tags that exist stay as they are.
    """
    client = MlflowClient()
    existing = client.get_experiment(experiment_id).tags
    # A user who may log to a shared experiment may still not be allowed to set its tags.
    with contextlib.suppress(mlflow.MlflowException):
        for name, text in _experiment_tags().items():
            if name not in existing:
                client.set_experiment_tag(experiment_id, name, text)


def runs_path(experiment_id: str) -> str:
    """The address of the runs of an experiment within the UI, in the view *Verdicts* if it has it.

    Raises what MLflow raises.
    """
    tags = MlflowClient().get_experiment(experiment_id).tags
    path = f"#/experiments/{experiment_id}/runs?workflowType=machine_learning"
    return f"{path}&viewStateShareKey={VERDICTS}" if f"{_VIEW}{VERDICTS}" in tags else path


def ui_address() -> str:
    """The address of the UI: that of the server, else the one that ``mlflow ui`` has."""
    uri = mlflow.get_tracking_uri()
    return scrubbed(uri.rstrip("/")) if uri.startswith("http") else "http://127.0.0.1:5000"


def _experiment_tags() -> Mapping[str, str]:
    verdicts = _state(
        _VERDICT_COLUMNS, "params.`model` != ''", order_by="metrics.`loss`", ascending=True
    )
    seeds = _state(
        _SEED_COLUMNS,
        "tags.`assay.kind` = 'seed'",
        order_by="metrics.`test.macro_f1`",
        ascending=False,
    )
    return {
        "mlflow.experimentKind": "custom_model_development",
        "mlflow.experiment.primaryMetric.name": "test.macro_f1",
        "mlflow.experiment.primaryMetric.greaterIsBetter": "True",
        NOTE: _DESCRIPTION,
        f"{_VIEW}{VERDICTS}": _saved_view("Verdicts", verdicts),
        f"{_VIEW}{SEEDS}": _saved_view("Seeds", seeds),
    }


def _state(
    columns: Sequence[tuple[str, str, int]], search: str, *, order_by: str, ascending: bool
) -> dict[str, Any]:
    """What the UI keeps of a view: filter, order and columns."""
    own = {f"{group}.`{name}`": width for group, name, width in columns}
    return {
        "searchFilter": search,
        "orderByKey": order_by,
        "orderByAsc": ascending,
        "selectedColumns": list(own),
        "columnOrder": [*_FIRST_COLUMNS, *own],
        "columnWidths": _FIRST_COLUMNS | own,
    }


def _saved_view(name: str, state: Mapping[str, Any]) -> str:
    """The value of the tag of a view."""
    now_ms = int(1000 * time.time())
    return json.dumps(
        {"name": name, "createdAt": now_ms, "updatedAt": now_ms, "state": json.dumps(state)}
    )
