"""What MLflow loads a logged classifier with, in a process that need not have Assay.

This file is copied into every logged model and imports nothing of the project. MLflow's own
wrapper reads a text such as ``123`` as a number, and its pipeline does not cut texts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SETTINGS = "classifier.json"
"""File with ``max_length`` and ``text_column``, beside the weights."""
BATCH_TOKENS = 8192
"""Tokens that go through the model together, padding included."""


class CuttingTokenizer:
    """Loads the tokenizer beside this file, so that it cuts texts as in training by default.

    ``mlflow.transformers.load_model`` and the pipelines of transformers pass no length. Special
    tokens that are written in a text are read as plain characters, as in training.
    """

    @classmethod
    def register_for_auto_class(cls, auto_class: str = "AutoTokenizer") -> None:
        """Do nothing; ``AutoTokenizer`` calls it."""

    @classmethod
    def from_pretrained(cls, folder: str, *_: Any, **options: Any) -> Any:
        """The tokenizer in ``folder``, whose ``model_max_length`` is its default length."""
        from transformers import AutoTokenizer

        for name in ("trust_remote_code", "code_revision", "_commit_hash"):
            options.pop(name, None)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, **options)
        own = type(tokenizer)

        class Cutting(own):  # type: ignore[misc,valid-type]
            def __call__(self, *texts: Any, **settings: Any) -> Any:
                if settings.get("truncation") is None and settings.get("max_length") is None:
                    settings["truncation"] = True
                    settings["max_length"] = self.model_max_length
                if settings.get("split_special_tokens") is None:
                    settings["split_special_tokens"] = True
                return super().__call__(*texts, **settings)

        Cutting.__name__ = own.__name__
        Cutting.__qualname__ = own.__qualname__
        tokenizer.__class__ = Cutting
        return tokenizer


class ServedClassifier:
    """The classifier as MLflow's ``pyfunc``."""

    def __init__(self, folder: Path) -> None:
        """Load what lies in ``folder``: weights, tokenizer and settings."""
        import torch
        from transformers import AutoModelForSequenceClassification

        settings = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
        self._text_column = str(settings["text_column"])
        self._tokenizer = CuttingTokenizer.from_pretrained(str(folder / "components/tokenizer"))
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(folder / "model")
        self._model.eval()
        if torch.cuda.is_available():
            self._model.to("cuda")
        names = self._model.config.id2label
        self._labels = [names[code] for code in range(len(names))]

    def get_raw_model(self) -> Any:
        """The model of transformers."""
        return self._model

    def predict(self, model_input: Any, params: Any = None) -> Any:
        """A frame with ``label``, ``score`` and ``probability.CLASS`` for each text.

        A null text has no label and no numbers.
        """
        import numpy as np
        import pandas as pd

        texts = self._texts(model_input)
        is_text = np.array([isinstance(text, str) for text in texts], dtype=bool)
        probabilities = np.full((len(texts), len(self._labels)), np.nan)
        if is_text.any():
            given = [text for text in texts if isinstance(text, str)]
            probabilities[is_text] = self._probabilities(given)
        best = np.where(is_text, np.nan_to_num(probabilities).argmax(axis=1), -1)
        labels = [self._labels[code] if code >= 0 else None for code in best]
        has_index = isinstance(model_input, pd.DataFrame) and len(model_input) == len(texts)
        index = model_input.index if has_index else None
        columns = {
            f"probability.{name}": probabilities[:, code] for code, name in enumerate(self._labels)
        }
        frame = {"label": labels, "score": probabilities.max(axis=1, initial=-np.inf), **columns}
        result = pd.DataFrame(frame, index=index)
        result.loc[~is_text, "score"] = np.nan
        return result

    def _texts(self, model_input: Any) -> list[Any]:
        """The texts of a frame's column, or the elements of any other sequence."""
        import pandas as pd

        if isinstance(model_input, pd.DataFrame):
            if self._text_column not in model_input:
                raise ValueError(
                    f"the input must have the column {self._text_column!r}; it has "
                    f"{', '.join(map(str, model_input.columns))}."
                )
            texts = list(model_input[self._text_column])
            if len(texts) == 1 and isinstance(texts[0], list):
                texts = texts[0]  # of {column: [text, ...]} MLflow makes one row
        else:
            texts = [model_input] if isinstance(model_input, str) else list(model_input)
        wrong = [text for text in texts if not isinstance(text, str) and not pd.isna(text)]
        if wrong:
            raise ValueError(
                f"{self._text_column} must hold texts; {len(wrong)} of {len(texts)} rows hold "
                f"something else, for instance a {type(wrong[0]).__name__}."
            )
        return texts

    def _probabilities(self, texts: Sequence[str]) -> Any:
        """Class probabilities ``(n, n_classes)``; texts of similar length are read together."""
        import numpy as np
        import torch

        ids = self._tokenizer(list(texts))["input_ids"]
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))
        result = np.empty((len(texts), len(self._labels)))
        start = 0
        with torch.inference_mode():
            while start < len(order):
                stop = start + 1
                while stop < len(order):
                    if len(ids[order[stop]]) * (stop + 1 - start) > BATCH_TOKENS:
                        break
                    stop += 1
                batch = order[start:stop]
                logits = self._logits([ids[index] for index in batch])
                result[batch] = logits.double().softmax(-1).cpu().numpy()
                start = stop
        return result

    def _logits(self, rows: Sequence[Sequence[int]]) -> Any:
        """Logits of token ids, padded to the longest on the side that the head does not read."""
        import torch

        width = max(len(row) for row in rows)
        padding = self._model.config.get_text_config().pad_token_id or 0
        on_left = self._model.config.model_type == "xlnet"  # its head reads the last position
        ids = torch.full((len(rows), width), padding, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for index, row in enumerate(rows):
            columns = slice(width - len(row), width) if on_left else slice(len(row))
            ids[index, columns] = torch.tensor(row, dtype=torch.long)
            mask[index, columns] = 1
        device = self._model.device
        return self._model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits


def _load_pyfunc(path: str, *_: Any, **__: Any) -> ServedClassifier:
    """What MLflow calls with the model's folder."""
    return ServedClassifier(Path(path))
