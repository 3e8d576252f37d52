"""Annotate many texts without a model, in a process of its own: prints what that took as one line of JSON.

python -m benchmarks.million 100000
"""

from __future__ import annotations

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
from project.annotation.engines.base import Answers, Size
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig, SpendConfig

LABELS = ("books", "clothing & accessories", "electronics", "household")
_WORDS = (
    "cotton",
    "paperback",
    "kettle",
    "charger",
    "lamp",
    "used",
    "new",
    "boxed",
    "red",
    "large",
    "signed",
    "wireless",
    "mug",
    "scarf",
    "novel",
    "of",
    "with",
)
_PORTION = 20_000
_TOKENS = 24  # that a prompt is said to have


class HashAnnotator:
    """An annotator whose class distribution is the hash of the text: what annotating with it takes, annotating itself takes."""

    name = "hash"
    identity: Mapping[str, str] = {"engine": "hash"}
    keyed_by = "text"
    shard_size = 2048  # that of the engine which a million texts are for

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        size = 8 * len(prompt.answers)
        drawn = np.frombuffer(
            b"".join(hashlib.blake2b(item.encode(), digest_size=size).digest() for item in items),
            dtype="<u8",
        )
        classes = np.log((drawn.reshape(len(items), -1) + 1.0) * 2.0**-64 / len(prompt.answers))
        return Answers.exact(classes, np.zeros(len(items), dtype=bool), np.full(len(items), _TOKENS))

    def size(self, prompt: Prompt, items: Sequence[str]) -> Size:
        """See :class:`project.annotation.engines.base.Annotator`."""
        return Size(0, np.full(len(items), _TOKENS), 1, exact=False)

    def close(self) -> None:
        """See :class:`project.annotation.engines.base.Annotator`."""


def short_texts(first: int, n: int) -> list[str]:
    """``n`` texts of 11 words, all different: each begins with its number, the first with ``first``."""
    words = np.array(_WORDS, dtype=object)[
        np.random.default_rng(first).integers(len(_WORDS), size=(n, 10))
    ]
    return [f"{number} {' '.join(row)}" for number, row in enumerate(words, first)]


def _examples(n: int) -> pd.DataFrame:
    """A table of ``n`` examples, made in portions: what is measured is annotation, not the making of its input."""
    parts = [
        pd.DataFrame(
            {
                "example_id": [f"example-{number}" for number in range(first, first + size)],
                "text": short_texts(first, size),
            },
            dtype="str",
        )
        for first in range(0, n, _PORTION)
        if (size := min(_PORTION, n - first))
    ]
    return pd.concat(parts, ignore_index=True)


def main(n: int) -> None:
    """Annotate ``n`` texts under one prompt and print a line of JSON."""
    examples = _examples(n)
    prompt = Prompt(0, "Text to classify: ", "\nLabel:", tuple(f" {label}" for label in LABELS))
    before = _peak()
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        found = annotate(
            [HashAnnotator()],
            [prompt],
            examples,
            LABELS,
            config=AnnotateConfig(calibration="none"),
            folder=Path(folder),
            progress=lambda _: None,
            meter=Meter(SpendConfig()),
        )
        rows = sum(len(draw.table) for draw in found)
        seconds = time.perf_counter() - began
    sys.stdout.write(
        json.dumps({"texts": rows, "seconds": seconds, "peak": _peak(), "before": before}) + "\n"
    )


def _peak() -> int:
    """The most memory that this process has held so far, in bytes."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux's ru_maxrss begins with that of the process that started this one
        return next(
            int(line.split()[1]) * 1024
            for line in status.read_text().splitlines()
            if line.startswith("VmHWM")
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (
        1 if sys.platform == "darwin" else 1024
    )


if __name__ == "__main__":
    main(int(sys.argv[1]))
