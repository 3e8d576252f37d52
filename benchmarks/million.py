"""Annotate many texts without a model and print what it took as one line of JSON.

python -m benchmarks.million 100000
python -m benchmarks.million 100000 --at_once 64    # as the transformers engine on a CPU
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotation.annotate import annotate
from project.annotation.cost import Meter
from project.annotation.engines.base import Answers, Arrived, Size
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig, SpendConfig

LABELS = ("books", "clothing & accessories", "electronics", "household")
_WORDS = (
    *("cotton", "paperback", "kettle", "charger", "lamp", "used", "new", "boxed", "red"),
    *("large", "signed", "wireless", "mug", "scarf", "novel", "of", "with"),
)
_WORDS_PER_TEXT = 10
_PORTION = 20_000
_TOKENS = 24  # the reported length of each prompt


class HashAnnotator:
    """An annotator whose class distribution is a hash of the text.

    It costs almost nothing, so what annotating with it takes is what annotation itself takes.
    """

    name = "hash"
    identity: Mapping[str, str] = {"engine": "hash"}
    keyed_by = "text"

    def __init__(self, shard_size: int = 2048) -> None:
        """``shard_size``: as in the vllm engine, which annotates a million texts, by default."""
        self.shard_size = shard_size

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        n = len(items)
        size = 8 * len(prompt.answers)
        digests = (hashlib.blake2b(item.encode(), digest_size=size).digest() for item in items)
        numbers = np.frombuffer(b"".join(digests), dtype="<u8").reshape(n, -1)
        classes = np.log((numbers + 1.0) * 2.0**-64 / len(prompt.answers))
        return Answers.exact(classes, np.zeros(n, dtype=bool), np.full(n, _TOKENS))

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        return Size(0, np.full(len(items), _TOKENS), 1, exact=False)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""


def short_texts(first: int, n: int) -> list[str]:
    """``n`` different texts of 11 words; each begins with its number, from ``first`` on."""
    chosen = np.random.default_rng(first).integers(len(_WORDS), size=(n, _WORDS_PER_TEXT))
    words = np.array(_WORDS, dtype=object)[chosen]
    return [f"{number} {' '.join(row)}" for number, row in enumerate(words, first)]


def _examples(n: int) -> pd.DataFrame:
    """A table of ``n`` examples, made in portions so that making it needs little memory."""
    parts = []
    for first in range(0, n, _PORTION):
        size = min(_PORTION, n - first)
        ids = [f"example-{number}" for number in range(first, first + size)]
        columns = {"example_id": ids, "text": short_texts(first, size)}
        parts.append(pd.DataFrame(columns, dtype="str"))
    return pd.concat(parts, ignore_index=True)


def measure(n: int, shard_size: int) -> dict[str, float]:
    """What annotating ``n`` texts under one prompt takes, ``shard_size`` at once.

    Texts, seconds on the clock and on the cores, memory in bytes, and files of answers.
    """
    examples = _examples(n)
    answers = tuple(f" {label}" for label in LABELS)
    prompt = Prompt(draw=0, before="Text to classify: ", after="\nLabel:", answers=answers)
    before = _peak_memory()
    with tempfile.TemporaryDirectory() as folder:
        began, cpu_began = time.perf_counter(), time.process_time()
        draws = annotate(
            [HashAnnotator(shard_size)],
            [prompt],
            examples,
            LABELS,
            config=AnnotateConfig(calibration="none"),
            folder=Path(folder),
            progress=lambda _: None,
            meter=Meter(SpendConfig()),
        )
        n_rows = sum(len(draw.table) for draw in draws)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu_began
        n_files = sum(path.is_file() for path in Path(folder).rglob("*"))
    return {
        "texts": n_rows,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak": _peak_memory(),
        "before": before,
        "files": n_files,
    }


def _peak_memory() -> int:
    """The most memory that this process has used so far, in bytes."""
    status = Path("/proc/self/status")
    # On Linux ru_maxrss starts with the memory of the parent process, so it is not used.
    if status.is_file():
        lines = status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("n", type=int, help="how many texts are annotated")
    parser.add_argument(
        "--at_once", type=int, default=2048, help="texts whose answers come together [%(default)s]"
    )
    options = parser.parse_args()
    sys.stdout.write(json.dumps(measure(options.n, options.at_once)) + "\n")


if __name__ == "__main__":
    main()
