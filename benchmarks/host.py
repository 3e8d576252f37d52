"""What annotation takes besides the model: memory and time for many texts, and tokenising."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.machine import Report, Row, seconds_of
from benchmarks.million import short_texts
from benchmarks.readers import Settings
from benchmarks.workload import workload
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.annotation import AnnotateConfig

SIZES = (100_000, 300_000, 1_000_000)
MAX_BYTES = 10**9
MIN_RATE = 40_000  # texts per second
MIN_TOKENIZED = 20_000  # texts per second
_SHARD_SIZE = 2048
_SMALL_SHARD = 64  # that of the transformers engine on a CPU, and of servers
_N_TOKENIZED = 100_000


def memory(settings: Settings, folder: str, report: Report) -> None:
    """Peak memory and texts per second of annotation with an annotator that costs almost nothing.

    Each size runs in a process of its own.
    """
    del folder
    for n in SIZES:
        report.rows += _size_rows(n)
    report.rows += _size_rows(max(SIZES), _SMALL_SHARD)
    report.notes.append(
        "memory: distinct texts of 11 words, four classes, one draw, answers written to disk as "
        "many at once as it says and read into the annotations table; the annotator takes its "
        "answers from a hash of the text. Peak: resident memory of the process, imports and the "
        "examples table included."
    )
    report.rows.append(_tokenizing_row(settings.repeats))


def _size_rows(n: int, at_once: int = _SHARD_SIZE) -> list[Row]:
    """Peak memory and speed for ``n`` texts. The largest size has a target for the memory.

    ``at_once``: how many answers come together.
    """
    child = subprocess.run(
        [sys.executable, "-m", "benchmarks.million", str(n), "--at_once", str(at_once)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    result: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
    rate = result["texts"] / result["seconds"]
    is_largest = n == max(SIZES)
    return [
        Row(
            f"annotating {n:,} short texts, {at_once:,} at once: peak memory",
            f"{result['peak'] / 1e6:,.0f} MB",
            f"{result['before'] / 1e6:,.0f} MB before it began",
            target=f"< {MAX_BYTES / 1e6:,.0f} MB" if is_largest else "",
            met=result["peak"] < MAX_BYTES if is_largest else None,
        ),
        Row(
            f"annotating {n:,} short texts, {at_once:,} at once: texts/s without a model",
            f"{rate:,.0f}, in {result['files']} files",
            target=f">= {MIN_RATE:,}",
            met=rate >= MIN_RATE,
        ),
    ]


def _tokenizing_row(repeats: int) -> Row:
    """Texts per second that become token ids, with the tokenizer of the bundled model."""
    tokens = TransformersAnnotator(AnnotateConfig()).tokens
    _, prompt = workload(tokens, n_texts=1, repeats=1)
    texts = short_texts(0, _N_TOKENIZED)
    shards = [texts[start : start + _SHARD_SIZE] for start in range(0, len(texts), _SHARD_SIZE)]

    def tokenize() -> None:
        for shard in shards:
            tokens.fit(prompt, shard)

    tokens.fit(prompt, texts[:1])
    rate = len(texts) / statistics.median(seconds_of(tokenize) for _ in range(repeats))
    return Row(
        f"tokenising {len(texts):,} short texts: texts/s",
        f"{rate:,.0f}",
        target=f">= {MIN_TOKENIZED:,}",
        met=rate >= MIN_TOKENIZED,
    )
