"""The verdict of an experiment in the model cards of its logged classifiers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mlflow
from mlflow.tracking import MlflowClient

from project.support.escape import escape_markdown
from project.tracking.delivery import ready_models
from project.tracking.failures import store_errors
from project.tracking.model_flavour import CARD
from project.tracking.read import children, read_run

VERDICT_BEGIN = "<!-- verdict: begin -->"
VERDICT_END = "<!-- verdict: end -->"


def write_verdicts(root_id: str) -> int:
    """Write the verdict of a root run into the cards of its models; returns how many changed.

    Raises
    ------
    StoreUnavailable
        If the store fails.
    """
    root = read_run(root_id)
    word = root.tags.get("assay.verdict", "")
    if not word:
        return 0
    reason = root.tags.get("assay.verdict_reason", "")
    about = f"**{escape_markdown(word.upper())}.** {escape_markdown(reason)} (run {root_id})"
    n_changed = 0
    with store_errors():
        for seed in children(root, "seed"):
            for model_id in ready_models(seed.run_id):
                n_changed += _write(model_id, about)
    return n_changed


def _write(model_id: str, about: str) -> bool:
    """Write a verdict into one card; False for a model without a place for it, or if it is there.

    Models of earlier versions have no card.
    """
    client = MlflowClient()
    if CARD not in {file.path for file in client.list_logged_model_artifacts(model_id)}:
        return False
    with tempfile.TemporaryDirectory() as folder:
        # MLflow knows no models:/ address of a single file.
        address = f"{client.get_logged_model(model_id).artifact_location}/{CARD}"
        file = Path(mlflow.artifacts.download_artifacts(artifact_uri=address, dst_path=folder))
        card = file.read_text(encoding="utf-8")
        before, begin, rest = card.partition(VERDICT_BEGIN)
        _, end, after = rest.partition(VERDICT_END)
        new = f"{before}{begin}\n{about}\n{end}{after}"
        if not end or new == card:
            return False
        file.write_text(new, encoding="utf-8")
        client.log_model_artifact(model_id, str(file))
    return True
