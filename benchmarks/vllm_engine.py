"""The vLLM engine beside bare ``LLM.generate`` and beside the usual way to get labels from vLLM."""

from __future__ import annotations

import importlib
import importlib.util
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.machine import Report, Row, alternate, seconds_of, speedup_row
from benchmarks.readers import Reader, Settings, gpu_rows
from benchmarks.workload import workload
from project.config.annotation import AnnotateConfig

# Alternatives that vLLM lists by default, and the most that hosted servers list.
TOP = 20
MAX_SLOWDOWN = 0.05  # of our engine against bare LLM.generate
_MAX_CHOICE_TOKENS = 16


def against_vllm(settings: Settings, folder: str, report: Report) -> None:
    """Our engine beside two uses of vLLM on the same token ids.

    Bare ``LLM.generate`` with the log probabilities of the label tokens, and a choice-constrained
    reply with its most probable alternatives.
    """
    if importlib.util.find_spec("vllm") is None:
        report.rows.append(Row("vLLM", "not run: vllm is not installed here"))
        return
    annotator: Any = importlib.import_module(
        "project.annotation.engines.vllm.engine"
    ).VllmAnnotator(AnnotateConfig(annotator="vllm", annotator_model=folder, max_model_len=2048))
    try:
        _Comparison(settings, annotator).measure(report)
    finally:
        annotator.close()


class _Comparison:
    """The three sides, their workload and their results."""

    def __init__(self, settings: Settings, annotator: Any) -> None:
        vllm: Any = importlib.import_module("vllm")
        structured: Any = importlib.import_module("vllm.sampling_params").StructuredOutputsParams
        self._settings = settings
        self._name = annotator.name
        self._engine = annotator.engine
        work, _ = workload(annotator.tokens, n_texts=settings.texts, repeats=settings.repeats)
        self._reader = Reader(annotator, work)
        nodes = annotator.tokens.trie(work.prompts[0]).nodes
        self._n_nodes = len(nodes)
        self._label_tokens: tuple[int, ...] = nodes[0].tokens
        self._ids = [
            _token_prompts(annotator.tokens.fit(prompt, work.texts)) for prompt in work.prompts
        ]
        self._bare = vllm.SamplingParams(
            max_tokens=1,
            temperature=0.0,
            logprob_token_ids=list(self._label_tokens),
            flat_logprobs=True,
            detokenize=False,
        )
        self._choice = vllm.SamplingParams(
            max_tokens=_MAX_CHOICE_TOKENS,
            temperature=0.0,
            logprobs=TOP,
            structured_outputs=structured(choice=list(work.prompts[0].answers)),
        )
        # Outputs of the choices by repeat.
        self._outputs: dict[int, list[Any]] = {}
        # Seconds for one text outside LLM.generate, for each call of our side.
        self._outside: list[float] = []
        self._inside: list[float] = []
        self._generate: Callable[..., Any] = self._engine.generate
        self._engine.generate = self._timed_generate

    def _timed_generate(self, *arguments: Any, **options: Any) -> Any:
        """``LLM.generate``, whose seconds are added to ``_inside``."""
        outputs: list[Any] = []
        self._inside.append(
            seconds_of(lambda: outputs.extend(self._generate(*arguments, **options)))
        )
        return outputs

    def _seconds(self, work: Callable[[], Any]) -> float:
        """Seconds for one text of ``work``, with an empty prefix cache."""
        self._engine.reset_prefix_cache()
        return seconds_of(work) / self._settings.texts

    def _ask_bare(self, repeat: int) -> float:
        parameters = [self._bare] * self._settings.texts
        return self._seconds(
            lambda: self._engine.generate(self._ids[repeat], parameters, use_tqdm=False)
        )

    def _ask_choice(self, repeat: int) -> float:
        outputs: list[Any] = []
        seconds = self._seconds(
            lambda: outputs.extend(
                self._engine.generate(self._ids[repeat], self._choice, use_tqdm=False)
            )
        )
        self._outputs[repeat] = [output.outputs[0] for output in outputs]
        return seconds

    def _ask_ours(self, repeat: int) -> float:
        self._inside.clear()
        seconds = self._seconds(lambda: self._reader.seconds(repeat))
        self._outside.append(seconds - sum(self._inside) / self._settings.texts)
        return seconds

    def measure(self, report: Report) -> None:
        """Add the rows and the note to ``report``."""
        # The choice is a batch of its own: vLLM's first model runner returns wrong values for
        # logprobs=20 beside logprob_token_ids.
        sides: dict[str, Callable[[int], float]] = {
            "bare": self._ask_bare,
            "ours": self._ask_ours,
            "usual": self._ask_choice,
        }
        for side in sides.values():  # compiles kernels and the grammar
            side(0)
        seconds = alternate(sides, self._settings.repeats)
        report.rows += self._speed_rows(seconds)
        report.rows += self._missing_rows()
        report.rows += gpu_rows(
            f"{self._name}: vLLM", statistics.median(seconds["ours"]), self._settings.price_hour
        )
        report.notes.append(
            f"vllm: dtype {self._engine.llm_engine.model_config.dtype}, "
            f"{self._settings.texts} texts a repeat, {self._settings.repeats} repeats, each with "
            "its own prompt; the prefix cache is emptied before every timing. Ours includes "
            "tokenising and the table of answers, the other sides are given token ids."
        )

    def _speed_rows(self, seconds: dict[str, list[float]]) -> list[Row]:
        rows = []
        medians = {side: statistics.median(values) for side, values in seconds.items()}
        if self._n_nodes == 1:  # otherwise ours needs more requests than the bare call
            pairs = zip(seconds["ours"], seconds["bare"], strict=True)
            slower = statistics.median(ours / bare for ours, bare in pairs) - 1
            rows.append(
                Row(
                    f"{self._name}: a text with vLLM, against bare LLM.generate on the same ids",
                    f"{medians['ours'] * 1000:.3g} ms",
                    f"{medians['bare'] * 1000:.3g} ms",
                    f"{slower:+.1%}",
                    target=f"<= {MAX_SLOWDOWN:+.0%}",
                    met=slower <= MAX_SLOWDOWN,
                )
            )
        outside = statistics.median(self._outside[-self._settings.repeats :])
        rows.append(
            Row(
                f"{self._name}: of that outside LLM.generate",
                f"{outside * 1000:.2g} ms",
                ratio=f"{outside / medians['ours']:.1%}",
            )
        )
        measure = (
            f"{self._name}: a text with vLLM, against structured_outputs.choice with logprobs={TOP}"
        )
        rows.append(speedup_row(measure, seconds["ours"], seconds["usual"], target=1.0))
        return rows

    def _missing_rows(self) -> list[Row]:
        """What the choices lack: the label mass, and classes whose first token is not listed."""
        listed = [
            [output.logprobs[0].get(token) for token in self._label_tokens]
            for outputs in self._outputs.values()
            for output in outputs
        ]
        missing = np.array([[_is_missing(entry) for entry in row] for row in listed])
        mass = np.array(
            [
                sum(float(np.exp(entry.logprob)) for entry in row if entry is not None)
                for row in listed
            ]
        )
        our_mass = np.concatenate([self._reader.mass[repeat] for repeat in self._outputs])
        return [
            Row(
                f"{self._name}: label mass, median over texts",
                f"{np.median(our_mass):.3g}",
                f"{np.median(mass):.3g} on the labels' first tokens, "
                "made to sum to 1 by the grammar",
                "not given",
            ),
            Row(
                f"{self._name}: classes that the top {TOP} leave out",
                "0",
                f"{missing.sum()} of {missing.size}",
                f"{missing.any(axis=1).mean():.1%} of texts",
            ),
        ]


def _token_prompts(tokenized: Any) -> list[dict[str, Sequence[int]]]:
    """Prompts as vLLM takes them."""
    return [{"prompt_token_ids": [*tokenized.prefix, *suffix]} for suffix in tokenized.suffixes]


def _is_missing(entry: Any) -> bool:
    return entry is None or not np.isfinite(entry.logprob)
