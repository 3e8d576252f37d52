"""What annotation takes besides the model: memory and time for a million texts, and tokenising."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.engines import Settings
from benchmarks.machine import Report, Row, wall
from benchmarks.million import short_texts
from benchmarks.workload import workload
from project.annotation.engines.transformers.engine import TransformersAnnotator
from project.config.experiment import AnnotateConfig

SIZES = (100_000, 300_000, 1_000_000)
MOST_BYTES, LEAST_RATE = 10**9, 20_000
_SHARD, _TOKENISED = 2048, 100_000


def memory(settings: Settings, folder: str, report: Report) -> None:
    """Peak memory and texts a second of annotation with an annotator that costs next to nothing, each size in a process of its own."""
    del folder
    for n in SIZES:
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.million", str(n)],
            check=True,
            capture_output=True,
            text=True,
            cwd=Path(__file__).parents[1],
        )
        found: dict[str, Any] = json.loads(child.stdout.splitlines()[-1])
        rate = found["texts"] / found["seconds"]
        peak, last = f"{found['peak'] / 1e6:,.0f} MB", n == SIZES[-1]
        report.rows += [
            Row(
                f"annotating {n:,} short texts: peak memory",
                peak,
                f"{found['before'] / 1e6:,.0f} MB before it began",
                "",
                f"< {MOST_BYTES / 1e6:,.0f} MB" if last else "",
                found["peak"] < MOST_BYTES if last else None,
            ),
            Row(
                f"annotating {n:,} short texts: texts/s without a model",
                f"{rate:,.0f}",
                target=f">= {LEAST_RATE:,}",
                met=rate >= LEAST_RATE,
            ),
        ]
    report.notes.append(
        "memory: distinct texts of 11 words, four classes, one draw, answers written to disk in shards of 2,048 and read into the annotations table; "
        "the annotator takes its answers from a hash of the text. Peak: resident memory of the process, imports and the examples table included."
    )
    report.rows.append(_tokenising(settings.repeats))


def _tokenising(repeats: int) -> Row:
    """Texts a second that become token ids, with the tokenizer of the bundled model; the ids are thrown away, as an engine does."""
    tokens = TransformersAnnotator(AnnotateConfig()).tokens
    _, prompt = workload(tokens, n_texts=1, repeats=1)
    texts = short_texts(0, _TOKENISED)
    shards = [texts[start : start + _SHARD] for start in range(0, len(texts), _SHARD)]

    def fit() -> None:
        for shard in shards:
            tokens.fit(prompt, shard)

    tokens.fit(prompt, texts[:1])
    rate = len(texts) / statistics.median(wall(fit) for _ in range(repeats))
    return Row(
        f"tokenising {len(texts):,} short texts: texts/s",
        f"{rate:,.0f}",
        target=f">= {LEAST_RATE:,}",
        met=rate >= LEAST_RATE,
    )
