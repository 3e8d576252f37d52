"""A fine-tuned classifier in the store, as a model that MLflow loads and serves."""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, Schema

from project.support.errors import AssayError
from project.tracking.model_flavour import Flavour
from project.tracking.names import NOTE

# Tags of the run that its model gets too.
_SHARED_TAGS = (
    "mlflow.user",
    "mlflow.source.name",
    "mlflow.source.type",
    "mlflow.source.git.commit",
)
_NOT_IN_A_NAME = re.compile(r"[/:.%\"']")
_REQUIRED_PACKAGES = ("mlflow", "torch", "transformers", "safetensors", "tokenizers", "pandas")


def check_classifier(folder: Path) -> None:
    """Refuse a folder that holds no fine-tuned classifier."""
    if not (folder / "config.json").is_file() or not list(folder.glob("*.safetensors")):
        raise AssayError(
            f"{folder} must hold config.json and weights in safetensors; it does not. "
            "Train the seed again."
        )


def log_classifier(
    run_id: str,
    folder: Path,
    *,
    source: str,
    max_length: int,
    about: str,
    text_column: str = "text",
    card: str = "",
    tags: Mapping[str, str] | None = None,
) -> str:
    """Log a classifier as the run's model; returns the model's address, ``models:/...``.

    However MLflow loads it, it cuts and reads texts as in training: see
    :mod:`project.support.served_classifier`.

    Parameters
    ----------
    run_id
        The run of the seed that was trained.
    folder
        What ``save_pretrained`` of model and tokenizer write, in safetensors.
    source
        Name of the encoder that was fine-tuned; it is not looked up on the hub.
    max_length
        Tokens at which texts are cut.
    about
        One sentence on the model.
    text_column
        Column of the model's input with the texts.
    card
        Text of the model's ``README.md``; ``about`` if empty.
    tags
        Further tags of the model.

    Raises
    ------
    AssayError
        If the folder holds no classifier.
    """
    check_classifier(folder)
    client = MlflowClient()
    run = client.get_run(run_id)
    shared = {name: text for name, text in run.data.tags.items() if name in _SHARED_TAGS}
    # Its root run lists the models of all seeds, so each has the name of its run.
    name = _NOT_IN_A_NAME.sub("-", run.info.run_name or "model")
    # Model.log would make it in this process's experiment, which need not be the run's.
    model = client.create_logged_model(
        str(run.info.experiment_id),
        name=name,
        source_run_id=run_id,
        tags={**shared, **(tags or {}), NOTE: about},
        params=run.data.params,
    )
    info = mlflow.models.Model.log(
        artifact_path=None,
        flavor=Flavour(source, max_length, text_column, card or f"{about}\n"),
        name=name,
        run_id=run_id,
        model_id=model.model_id,
        transformers_model=str(folder),
        task="text-classification",
        signature=_signature(folder, text_column),
        model_card=_hub_card(about),
        pip_requirements=[_pinned(package) for package in _REQUIRED_PACKAGES],
    )
    return str(info.model_uri)


def _signature(folder: Path, text_column: str) -> ModelSignature:
    """A column of texts in; the label, its probability and that of every class out."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    # transformers leaves out names that are its own for two classes.
    names = config.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    labels = [names[code] for code in sorted(names, key=int)]
    return ModelSignature(
        inputs=Schema([ColSpec("string", text_column)]),
        outputs=Schema(
            [
                ColSpec("string", "label"),
                ColSpec("double", "score"),
                *(ColSpec("double", f"probability.{label}") for label in labels),
            ]
        ),
    )


def _pinned(package: str) -> str:
    """The requirement for the installed version, without a local part such as ``+cu130``."""
    return f"{package}=={importlib.metadata.version(package).partition('+')[0]}"


def _hub_card(about: str) -> Any:
    """A model card of the hub's form."""
    from huggingface_hub import ModelCard

    return ModelCard(f"---\nlicense: unknown\n---\n{about}\n")
