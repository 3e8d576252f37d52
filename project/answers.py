"""Answers on disk: what an annotator said, keyed by the text it was asked about, so that no answer is paid for twice.

A folder holds the answers of one question: one annotator and one prompt. Its shards are Parquet files, written whole or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from project.annotators import NOT_NUMBERS, Annotator, Answers
from project.prompt import Prompt
from project.tables import RAW_LOG_PROBABILITY, digest, read_table, with_class_columns, write_table

READING = 2  # to be raised when the code comes to read other answers: answers on disk are then asked for anew
KEY = "answer_key"


def question_digest(annotator: Annotator, prompt: Prompt) -> str:
    """Identity of all that can change an answer but the text: model and engine, the prompt to the letter, the labels and their order."""
    asked = [prompt.before, prompt.after, *prompt.answers, prompt.system if prompt.chat else None]
    return digest({"reading": READING, "annotator": dict(annotator.identity), "prompt": asked})


def keys(items: Iterable[str]) -> list[str]:
    """The key of every text or example id: 128 bits of its BLAKE2b hash in hex."""
    return [hashlib.blake2b(item.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest() for item in items]


def uniform(names: Sequence[str], n: int) -> npt.NDArray[np.float64]:
    """``n`` numbers in [0, 1) for every name, ``(n_names, n)``, that depend on the name alone: 53 bits each of its SHAKE-256."""
    bits = b"".join(hashlib.shake_256(name.encode()).digest(8 * n) for name in names)
    return np.asarray((np.frombuffer(bits, dtype="<u8").reshape(len(names), n) >> np.uint64(11)) * 2.0**-53, dtype=np.float64)


def answers_table(item_keys: Sequence[str], answers: Answers, label_set: Sequence[str], seconds: float) -> pd.DataFrame:
    """Answers as a table with one row for each key; ``seconds``: what they took together."""
    n = len(item_keys)
    columns: dict[str, object] = {
        KEY: list(item_keys), "answer": answers.label.astype(np.int32), "label_mass": answers.label_mass, "log_bound": answers.log_bound,
        "truncated": answers.truncated, "prompt_tokens": answers.prompt_tokens, "seconds": seconds / n,
        "error": pd.Series(list(answers.error), dtype="str"),
    }  # fmt: skip
    if answers.repeats is not None:
        columns["repeats"] = [row.tolist() for row in answers.repeats]
    return with_class_columns(pd.DataFrame(columns), answers.log_probabilities, label_set, RAW_LOG_PROBABILITY)


class AnswerFolder:
    """The shards of one question."""

    def __init__(self, folder: Path) -> None:
        """``folder``: its place, made at the first write."""
        self.path = folder

    def load(self) -> pd.DataFrame | None:
        """All answers in it, one row for each key; None where there is none."""
        shards = [read_table(path) for path in sorted(self.path.glob("shard-*.parquet"))]
        return pd.concat(shards, ignore_index=True).drop_duplicates(KEY, ignore_index=True) if shards else None

    def write(self, table: pd.DataFrame) -> int:
        """Keep one shard. Where an answer is not a number the whole shard is set aside instead, and asked for again by the next run.

        Returns how many of its answers are not numbers.
        """
        broken = int((table["error"] == NOT_NUMBERS).sum())
        kind = "aside" if broken else "shard"
        write_table(self.path / f"{kind}-{digest(list(table[KEY]))}.parquet", table)
        return broken
