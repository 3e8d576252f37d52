"""MLflow's flavour ``transformers`` of a classifier, with Assay's own way to read texts."""

from __future__ import annotations

import hashlib
import inspect
import json
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd

from project.support import served_classifier
from project.support.served_classifier import SETTINGS, CuttingTokenizer

CARD = "README.md"
"""The model card in a logged model's folder."""
_EXAMPLE = "The text to classify."
_TOKENIZER = Path("components", "tokenizer")


class Flavour:
    """Saves a model that classifies alike however it is loaded.

    MLflow itself would write the folder as the name of the source model, look its licence up on the
    hub, cut no text in a pipeline, and read a text such as ``123`` as a number.
    """

    def __init__(self, source: str, max_length: int, text_column: str, card: str) -> None:
        """See :func:`project.tracking.model.log_classifier`."""
        self._source = source
        self._max_length = max_length
        self._text_column = text_column
        self._card = card

    def save_model(self, path: str, mlflow_model: mlflow.models.Model, **options: Any) -> None:
        """Write the model's folder."""
        # Made up, as an example from the data would put a text into the store.
        example = pd.DataFrame({self._text_column: [_EXAMPLE]})
        mlflow.transformers.save_model(
            path=path, mlflow_model=mlflow_model, input_example=example, **options
        )
        folder = Path(path)
        code = inspect.getsource(served_classifier)
        # By its content: of two models in one process each is loaded by its own code.
        module = f"assay_classifier_{hashlib.sha256(code.encode()).hexdigest()[:12]}"
        (folder / "code").mkdir()
        (folder / "code" / f"{module}.py").write_text(code, encoding="utf-8")
        settings = {"text_column": self._text_column, "max_length": self._max_length}
        (folder / SETTINGS).write_text(json.dumps(settings, indent=2), encoding="utf-8")
        cuts = _cut_in_tokenizer(folder / _TOKENIZER, code, module, self._max_length)
        flavours = mlflow_model.flavors
        flavours["transformers"]["source_model_name"] = self._source
        if cuts:
            # A name that transformers does not have makes MLflow load the class beside the files.
            flavours["transformers"]["tokenizer_type"] = CuttingTokenizer.__name__
        flavours["python_function"] |= {"loader_module": module, "code": "code"}
        flavours["python_function"].pop("model_config", None)
        mlflow_model.save(str(folder / "MLmodel"))
        (folder / CARD).write_text(self._card, encoding="utf-8")
        (folder / "LICENSE.txt").write_text(
            f"Fine-tuned from {self._source}, whose licence holds.\n", encoding="utf-8"
        )


def _cut_in_tokenizer(folder: Path, code: str, module: str, max_length: int) -> bool:
    """Give the tokenizer in ``folder`` its length, and the class that cuts at it by default.

    Without consent to run code, ``AutoTokenizer`` loads the tokenizer as transformers has it. False
    for a tokenizer that brings Python code of its own along, which stays as it is.
    """
    file = folder / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings |= {"model_max_length": max_length, "split_special_tokens": True}
    is_own = "auto_map" not in settings
    if is_own:
        (folder / f"{module}.py").write_text(code, encoding="utf-8")
        name = f"{module}.{CuttingTokenizer.__name__}"
        settings["auto_map"] = {"AutoTokenizer": [None, name]}
    file.write_text(json.dumps(settings, indent=2, ensure_ascii=False), encoding="utf-8")
    return is_own
