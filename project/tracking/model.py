"""Weights in the store: a fine-tuned classifier as a model that MLflow loads back and serves."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError

_SHARED = ("mlflow.user", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.commit")


def check_classifier(folder: Path) -> None:
    """Refuse a folder that holds no fine-tuned classifier."""
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise AssayError(
            f"{folder} must hold config.json and weights in safetensors; it does not. Train the seed again."
        )


def log_classifier(run_id: str, folder: Path, *, source: str, max_length: int, about: str) -> str:
    """Log the weights in ``folder`` as the run's model; returns its address. See :meth:`project.tracking.Tracker.log_model`."""
    check_classifier(folder)
    client = MlflowClient()
    run = client.get_run(run_id)
    tags = {name: text for name, text in run.data.tags.items() if name in _SHARED}
    # made here, since MLflow makes it in the experiment of the process, which is not always the run's
    made = client.create_logged_model(
        str(run.info.experiment_id), "model", run_id, tags, run.data.params
    )
    info = mlflow.models.Model.log(
        None,
        _Classifier(source),
        name="model",
        run_id=run_id,
        model_id=made.model_id,
        transformers_model=str(folder),
        task="text-classification",
        model_config={"truncation": True, "max_length": max_length},
        model_card=_card(about),
        pip_requirements=[
            f"{name}=={importlib.metadata.version(name).partition('+')[0]}"
            for name in ("mlflow", "torch", "transformers", "safetensors")
        ],
    )
    return str(info.model_uri)


class _Classifier:
    """MLflow's flavour ``transformers``, but for this machine's paths, which it would write for the model's name and licence."""

    def __init__(self, source: str) -> None:
        self._source = source

    def save_model(self, path: str, mlflow_model: mlflow.models.Model, **more: Any) -> None:
        """Write the model's folder."""
        mlflow.transformers.save_model(path=path, mlflow_model=mlflow_model, **more)
        mlflow_model.flavors["transformers"]["source_model_name"] = self._source
        mlflow_model.save(str(Path(path, "MLmodel")))
        Path(path, "LICENSE.txt").write_text(
            f"Fine-tuned from {self._source}, whose licence holds.\n", encoding="utf-8"
        )


def _card(about: str) -> Any:
    from huggingface_hub import ModelCard

    return ModelCard(f"---\nlicense: unknown\n---\n{about}\n")
