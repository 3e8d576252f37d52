"""A fine-tuned classifier in the store, as a model that MLflow loads and serves."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import mlflow
from mlflow.tracking import MlflowClient

from project.support.errors import AssayError

# Tags of the run that its model gets too.
_SHARED_TAGS = (
    "mlflow.user",
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.source.git.commit",
)
_REQUIRED_PACKAGES = ("mlflow", "torch", "transformers", "safetensors")


def check_classifier(folder: Path) -> None:
    """Refuse a folder that holds no fine-tuned classifier."""
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise AssayError(
            f"{folder} must hold config.json and weights in safetensors; it does not. "
            "Train the seed again."
        )


def log_classifier(run_id: str, folder: Path, *, source: str, max_length: int, about: str) -> str:
    """Log a classifier as the run's model; returns the model's address, ``models:/...``.

    Parameters
    ----------
    run_id
        The run of the seed that was trained.
    folder
        What ``save_pretrained`` of model and tokenizer write, in safetensors.
    source
        Name of the encoder that was fine-tuned; it is not looked up on the hub.
    max_length
        Tokens at which texts are cut when the model is served.
    about
        Text of the model card.

    Raises
    ------
    AssayError
        If the folder holds no classifier.
    """
    check_classifier(folder)
    client = MlflowClient()
    run = client.get_run(run_id)
    tags = {name: text for name, text in run.data.tags.items() if name in _SHARED_TAGS}
    # Model.log would make it in this process's experiment, which need not be the run's.
    model = client.create_logged_model(
        str(run.info.experiment_id),
        name="model",
        source_run_id=run_id,
        tags=tags,
        params=run.data.params,
    )
    info = mlflow.models.Model.log(
        artifact_path=None,
        flavor=_Flavour(source),
        name="model",
        run_id=run_id,
        model_id=model.model_id,
        transformers_model=str(folder),
        task="text-classification",
        model_config={"truncation": True, "max_length": max_length},
        model_card=_card(about),
        pip_requirements=[_pinned(package) for package in _REQUIRED_PACKAGES],
    )
    return str(info.model_uri)


class _Flavour:
    """MLflow's flavour ``transformers``, without the paths of this machine.

    MLflow would write the folder as the name of the source model, and look its licence up on the
    hub.
    """

    def __init__(self, source: str) -> None:
        self._source = source

    def save_model(self, path: str, mlflow_model: mlflow.models.Model, **options: Any) -> None:
        """Write the model's folder."""
        mlflow.transformers.save_model(path=path, mlflow_model=mlflow_model, **options)
        mlflow_model.flavors["transformers"]["source_model_name"] = self._source
        mlflow_model.save(str(Path(path, "MLmodel")))
        Path(path, "LICENSE.txt").write_text(
            f"Fine-tuned from {self._source}, whose licence holds.\n", encoding="utf-8"
        )


def _pinned(package: str) -> str:
    """The requirement for the installed version, without a local part such as ``+cu130``."""
    return f"{package}=={importlib.metadata.version(package).partition('+')[0]}"


def _card(about: str) -> Any:
    """A model card of the hub's form."""
    from huggingface_hub import ModelCard

    return ModelCard(f"---\nlicense: unknown\n---\n{about}\n")
