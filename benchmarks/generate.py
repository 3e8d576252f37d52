"""The transformers engine beside what users of transformers write, each in the same dtype.

The strongest is a prefix read once with padded batches behind it (:mod:`benchmarks.prefix_cache`);
the usual one is ``model.generate`` of one token, prompt by prompt. Seconds are those of all cores.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.machine import (
    Peak,
    Report,
    Row,
    alternate,
    cpu_seconds,
    matmul_peak,
    peak_share_row,
    speedup_row,
)
from benchmarks.operations import Decoder, decoder, useful_operations
from benchmarks.prefix_cache import BATCH_SIZES, PrefixCache
from benchmarks.readers import Reader, Settings, engine, gpu_rows, plain_model
from benchmarks.workload import evenly, workload
from project.annotation.engines.transformers.engine import TransformersAnnotator

# Log probabilities: kernels add in different orders, which float32 shows in the fifth digit.
CLOSE = 1e-4
DTYPES = ("float32", "bfloat16")

_TARGETS = {"float32": 1.6, "bfloat16": 1.4}  # against the cached prefix
_PEAK_SHARES = {"float32": 0.85, "bfloat16": 0.75}


def against_generate(settings: Settings, folder: str, report: Report) -> None:
    """Our engine in float32 and bfloat16 beside both peers in the same dtype."""
    comparison = _Comparison(settings, folder)
    comparison.warm_up()
    sides: dict[str, Callable[[int], Any]] = {}
    for dtype in DTYPES:
        sides[f"peak {dtype}"] = functools.partial(_peak, dtype)
        sides[f"cached {dtype}"] = functools.partial(comparison.cached, dtype)
        sides[f"generate {dtype}"] = functools.partial(comparison.generate, dtype)
        sides[dtype] = comparison.readers[dtype].seconds
    seconds = alternate(sides, settings.repeats)

    report.rows += comparison.speed_rows(seconds)
    report.rows += comparison.peak_rows(seconds)
    report.rows += comparison.answer_rows()
    for dtype in DTYPES:
        measure = f"{comparison.name}: {dtype}"
        report.rows += gpu_rows(measure, statistics.median(seconds[dtype]), settings.price_hour)
    report.notes += comparison.notes()
    for annotator in comparison.engines.values():
        annotator.close()


def _peak(dtype: str, repeat: int) -> Peak:
    del repeat
    return matmul_peak(dtype, clock=cpu_seconds)


class _Comparison:
    """All sides, their workload and their results."""

    def __init__(self, settings: Settings, folder: str) -> None:
        self.settings = settings
        self.engines: dict[str, TransformersAnnotator] = {
            dtype: engine(folder, dtype) for dtype in DTYPES
        }
        self.name = self.engines["float32"].name
        tokens = self.engines["float32"].tokens
        self._plain = {dtype: plain_model(folder, dtype).model for dtype in DTYPES}
        self._work, self._warm = workload(tokens, n_texts=settings.texts, repeats=settings.repeats)
        self._tokenized = [tokens.fit(prompt, self._work.texts) for prompt in self._work.prompts]
        self._tries = [tokens.trie(prompt) for prompt in self._work.prompts]
        self._sizes: Decoder = decoder(self._plain["float32"])
        self.readers = {
            dtype: Reader(annotator, self._work, cpu_seconds)
            for dtype, annotator in self.engines.items()
        }
        self._batch_sizes: dict[str, int] = {}
        # Log probabilities over the vocabulary by repeat and text, in float32.
        self._scores: dict[tuple[int, int], np.ndarray] = {}

    def warm_up(self) -> None:
        """Load the models, let the engines check packing, and try the peer's batch sizes."""
        prefix, suffixes = self._tokenized[0].prefix, self._tokenized[0].suffixes
        for dtype, annotator in self.engines.items():
            annotator.read(self._warm, self._work.texts[:2])
            _generate(self._plain[dtype], self._ids(0, 0))
            peer = PrefixCache(self._plain[dtype])
            tried = {
                size: cpu_seconds(functools.partial(peer.read, prefix, suffixes, size))
                for size in BATCH_SIZES
            }
            self._batch_sizes[dtype] = min(tried, key=lambda size: tried[size])

    def _ids(self, repeat: int, index: int) -> list[int]:
        """Token ids of one whole prompt."""
        tokenized = self._tokenized[repeat]
        return [*tokenized.prefix, *tokenized.suffixes[index]]

    def cached(self, dtype: str, repeat: int) -> float:
        """Seconds for one text with a cached prefix; token ids are given to it."""
        tokenized = self._tokenized[repeat]
        peer = PrefixCache(self._plain[dtype])
        size = self._batch_sizes[dtype]
        seconds = cpu_seconds(lambda: peer.read(tokenized.prefix, tokenized.suffixes, size))
        return seconds / self.settings.texts

    def generate(self, dtype: str, repeat: int) -> float:
        """Seconds for one text with ``generate``."""
        chosen = evenly(self.settings.texts, self.settings.few, repeat)
        prompts = [self._ids(repeat, index) for index in chosen]
        rows: list[np.ndarray] = []
        seconds = cpu_seconds(
            lambda: rows.extend(_generate(self._plain[dtype], prompt) for prompt in prompts)
        )
        if dtype == "float32":
            pairs = zip(chosen, rows, strict=True)
            self._scores |= {(repeat, index): row for index, row in pairs}
        return seconds / len(chosen)

    def speed_rows(self, seconds: dict[str, list[float]]) -> list[Row]:
        """How many times faster our engine reads a text, beside the strongest peer first."""
        # Without hardware support, bfloat16 is computed in float32 and converted.
        has_bfloat16 = torch.cuda.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()
        rows = []
        for peer, words in (
            ("cached", "a cached prefix with sorted texts in its best batch size"),
            ("generate", "generate(max_new_tokens=1)"),
        ):
            for dtype in DTYPES:
                reachable = peer == "cached" and (dtype == "float32" or has_bfloat16)
                rows.append(
                    speedup_row(
                        f"{self.name}: a text, {dtype}, against {words}",
                        seconds[dtype],
                        seconds[f"{peer} {dtype}"],
                        target=_TARGETS[dtype] if reachable else None,
                    )
                )
        return rows

    def peak_rows(self, results: dict[str, list[Any]]) -> list[Row]:
        """Useful operations per second of our engine as a share of the machine's peak."""
        pairs = zip(self._tokenized, self._tries, strict=True)
        operations = [useful_operations(self._sizes, *pair) for pair in pairs]
        rows = []
        for dtype, target in _PEAK_SHARES.items():
            rate = statistics.median(
                total / (seconds * self.settings.texts)
                for total, seconds in zip(operations, results[dtype], strict=True)
            )
            measure = f"{self.name}: useful operations, {dtype}"
            rows.append(peak_share_row(measure, rate, results[f"peak {dtype}"], target))
        return rows

    def answer_rows(self) -> list[Row]:
        """How far the answers are from one another."""
        rows = [self._bfloat16_row()]
        nodes = self._tries[0].nodes
        if len(nodes) == 1:  # otherwise one token of the reply does not tell the labels apart
            rows.append(self._agreement_row(nodes[0].tokens))
        return rows

    def _bfloat16_row(self) -> Row:
        """How far bfloat16 is from float32 over all repeats, texts and classes."""
        exact = self.readers["float32"].answers
        rough = self.readers["bfloat16"].answers
        difference = np.concatenate(
            [np.abs(exact[repeat] - rough[repeat]).ravel() for repeat in exact]
        )
        changed = np.concatenate(
            [exact[repeat].argmax(axis=1) != rough[repeat].argmax(axis=1) for repeat in exact]
        )
        return Row(
            f"{self.name}: bfloat16 away from float32, log probability of a class",
            f"median {np.median(difference):.2g}, most {difference.max():.2g}",
            f"{len(changed)} answers",
            f"{changed.mean():.1%} other labels",
        )

    def _agreement_row(self, label_tokens: Sequence[int]) -> Row:
        """How far our float32 answers are from ``generate``, both normalised over the labels."""
        theirs = np.array(
            [row[list(label_tokens)] for row in self._scores.values()], dtype=np.float64
        )
        theirs -= np.logaddexp.reduce(theirs, axis=1)[:, None]
        answers = self.readers["float32"].answers
        ours = np.array([answers[repeat][index] for repeat, index in self._scores])
        difference = float(np.abs(ours - theirs).max())
        same = (ours.argmax(axis=1) == theirs.argmax(axis=1)).mean()
        return Row(
            f"{self.name}: float32 away from generate, log probability of a class",
            f"most {difference:.1e}",
            f"{len(ours)} answers",
            f"{same:.0%} same labels",
            target=f"<= {CLOSE:g}",
            met=difference <= CLOSE,
        )

    def notes(self) -> list[str]:
        """What was measured, and how operations are counted."""
        settings = self.settings
        sizes = self._sizes
        prefix = np.mean([len(tokenized.prefix) for tokenized in self._tokenized])
        suffix = np.mean([len(suffix) for suffix in self._tokenized[0].suffixes])
        packed = ", ".join(
            f"{dtype} {'yes' if annotator.packed else 'no'}"
            for dtype, annotator in self.engines.items()
        )
        return [
            f"transformers: {self.name}, prefix of {prefix:.0f} tokens and {suffix:.0f} behind it "
            "on average. A repeat has its own prompt, with which ours reads "
            f"{settings.texts} texts, prefix included, and generate {settings.few}; "
            f"{settings.repeats} repeats. Texts packed: {packed}. Batch sizes of the cached "
            f"prefix: {', '.join(f'{dtype} {n}' for dtype, n in self._batch_sizes.items())}.",
            f"useful operations of {self.name}: 2 × {sizes.weights:,} weights of the linear layers "
            "× tokens (prefix once, texts, inner nodes of the label trie); "
            f"attention 4 × {sizes.layers} layers × {sizes.attention} × pairs of a token and one "
            f"that it sees; head 2 × {sizes.hidden} × {sizes.vocabulary} × "
            f"{len(self._tries[0].nodes)} position(s) in a text. Not counted: norms, rotations, "
            "softmax, masked pairs, padding, tokenising. Peak: the fastest product of two large "
            "square matrices in this run, by whichever of torch's libraries is faster.",
        ]


def _generate(model: Any, ids: Sequence[int]) -> np.ndarray:
    """Log probabilities over the vocabulary, as in the documentation of ``generate``."""
    row = torch.tensor([list(ids)], device=model.device)
    output = model.generate(
        row,
        attention_mask=torch.ones_like(row),
        max_new_tokens=1,
        do_sample=False,
        output_scores=True,
        return_dict_in_generate=True,
        pad_token_id=model.config.eos_token_id,
    )
    scores: np.ndarray = output.scores[0][0].float().log_softmax(-1).cpu().numpy()
    return scores
