"""The transformers engine beside lm-evaluation-harness."""

from __future__ import annotations

import importlib
import importlib.util
from typing import Any

import numpy as np

from benchmarks.machine import Report, Row, alternate, seconds_of, speedup_row
from benchmarks.readers import PlainModel, Reader, Settings, engine, plain_model
from benchmarks.workload import evenly, workload

BATCH_SIZES = (1, 8)


def against_lm_eval(settings: Settings, folder: str, report: Report) -> None:
    """Our engine beside ``HFLM.loglikelihood``: same prompts, labels and dtype (float32)."""
    if importlib.util.find_spec("lm_eval") is None:
        report.rows.append(Row("lm-evaluation-harness", "not run: lm_eval is not installed here"))
        return
    annotator = engine(folder, "float32")
    plain = plain_model(folder)
    # A letter is one token, which lm-eval reads together with the other letters. Names are what
    # prompts show by default.
    for style in ("letter", "name"):
        work, warm = workload(
            annotator.tokens, n_texts=settings.texts, repeats=settings.repeats, style=style
        )
        annotator.read(warm, work.texts[:2])
        _Comparison(settings, Reader(annotator, work), plain, f"labels as {style}s").measure(report)


class _Comparison:
    """Both sides with one style of labels."""

    def __init__(self, settings: Settings, reader: Reader, plain: PlainModel, labels: str) -> None:
        self._settings = settings
        self._reader = reader
        self._tokenizer = plain.tokenizer
        self._labels = labels
        harness: Any = importlib.import_module("lm_eval.models.huggingface")
        self._instance: Any = importlib.import_module("lm_eval.api.instance").Instance
        self._models = {
            size: harness.HFLM(pretrained=plain.model, tokenizer=plain.tokenizer, batch_size=size)
            for size in BATCH_SIZES
        }
        # Their label indices by repeat.
        self._chosen: dict[int, np.ndarray] = {}

    def _ask(self, size: int, repeat: int) -> float:
        """Seconds for one text with lm-eval."""
        prompt = self._reader.work.prompts[repeat]
        indices = evenly(self._settings.texts, self._settings.few, repeat)
        requests = [
            self._instance(
                request_type="loglikelihood",
                doc={},
                arguments=(prompt.render(self._reader.work.texts[index]), answer),
                idx=0,
            )
            for index in indices
            for answer in prompt.answers
        ]
        results: list[tuple[float, bool]] = []
        model = self._models[size]
        seconds = seconds_of(
            lambda: results.extend(model.loglikelihood(requests, disable_tqdm=True))
        )
        values = np.array([value for value, _ in results]).reshape(len(indices), -1)
        self._chosen[repeat] = values.argmax(axis=1)
        return seconds / len(indices)

    def measure(self, report: Report) -> None:
        """Add the rows and the note to ``report``."""
        settings = self._settings
        first_try = {size: self._ask(size, 0) for size in BATCH_SIZES}
        best = min(first_try, key=lambda size: first_try[size])
        seconds = alternate(
            {"lm_eval": lambda repeat: self._ask(best, repeat), "ours": self._reader.seconds},
            settings.repeats,
        )
        measure = (
            f"{self._reader.annotator.name}: a text, float32, {self._labels}, "
            f"against lm-eval (HFLM.loglikelihood, batch_size={best})"
        )
        report.rows.append(speedup_row(measure, seconds["ours"], seconds["lm_eval"], target=5.0))
        report.rows.append(self._label_row())
        small, large = BATCH_SIZES
        report.notes.append(
            f"lm_eval, {self._labels}: batch_size {small} took {first_try[small]:.3g} s and "
            f"{large} {first_try[large]:.3g} s for a text at the first try; the faster one was "
            f"measured, on {settings.few} texts a repeat, ours on {settings.texts}. "
            "Its reuse of a context for labels of one token is on, as by default."
        )

    def _label_row(self) -> Row:
        """The share of texts with the same label; it must be 1 if each label is one token."""
        same = np.concatenate(
            [self._same(repeat, chosen) for repeat, chosen in self._chosen.items()]
        )
        single = self._single_tokens()
        explanation = "lm-eval reads whole labels, ours the tokens that tell them apart"
        return Row(
            f"{self._reader.annotator.name}: same label as lm-eval, {self._labels}",
            f"{same.mean():.0%}",
            f"{len(same)} texts",
            "each label one token" if single else explanation,
            target="100%" if single else "",
            met=bool(same.all()) if single else None,
        )

    def _same(self, repeat: int, chosen: np.ndarray) -> np.ndarray:
        indices = list(evenly(self._settings.texts, self._settings.few, repeat))
        ours: np.ndarray = self._reader.answers[repeat][indices].argmax(axis=1)
        return ours == chosen

    def _single_tokens(self) -> bool:
        """Whether each label adds one token to the prompt."""
        prompt = self._reader.work.prompts[0]
        text = prompt.render("text")
        n_prompt = len(self._tokenizer(text)["input_ids"])
        lengths = [len(self._tokenizer(text + answer)["input_ids"]) for answer in prompt.answers]
        return all(length == n_prompt + 1 for length in lengths)
