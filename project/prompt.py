"""A task, demonstrations and a label style -> the prompt. Pure: text in, text out."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from project.errors import AssayError

TEMPLATE = """\
### Instruction ###
{task_description}
Respond with only the label name, nothing else.
### Available Labels ###
{label_description}
### Examples ###
{demonstrations}
### Input ###
Text to classify: {input_text}
### Output ###
Label:"""
"""Lu and Smith (2025), Appendix C, word for word."""

_DEMONSTRATION = "Text to classify: {text}\nLabel: {label}"  # the paper does not show one; this repeats the template's own words


@dataclass(frozen=True)
class Prompt:
    """The prompt of one draw: ``before + " " + text + after``, answered by one of ``answers`` (a space and the label)."""

    draw: int
    before: str
    after: str
    answers: tuple[str, ...]
    demonstration_ids: tuple[str, ...]

    def render(self, text: str) -> str:
        """The whole prompt for ``text``."""
        return f"{self.before} {text}{self.after}"


def written_labels(label_set: Sequence[str], style: str) -> tuple[str, ...]:
    """Labels as the annotator reads and writes them: their names, or their indices as integers."""
    return tuple(label_set) if style == "name" else tuple(str(index) for index in range(len(label_set)))


def demonstration_sets(pool: pd.DataFrame, n: int, n_draws: int, *, seed: int) -> list[pd.DataFrame]:
    """``n_draws`` different sets of ``n`` rows of the demonstration pool (an examples table), each drawn at random without replacement.

    A set depends on ``seed``, the pool and the sets before it, so that K + 1 draws begin with the same K.
    """
    if n > len(pool):
        raise AssayError(f"n_demonstrations must be at most the size of the demonstration pool, {len(pool)}; got {n}. Lower it, or enlarge the pool.")
    if n_draws > math.comb(len(pool), n):
        raise AssayError(
            f"ensemble_size must be at most {math.comb(len(pool), n)}, the number of different sets of {n} out of {len(pool)} demonstrations; "
            f"got {n_draws}. Lower it, or raise n_demonstrations."
        )
    ordered, sets = pool.sort_values("example_id"), []
    seen: set[frozenset[int]] = set()
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        rows = rng.choice(len(pool), size=n, replace=False)
        while frozenset(rows) in seen:
            rows = rng.choice(len(pool), size=n, replace=False)
        seen.add(frozenset(rows))
        sets.append(ordered.iloc[rows])
    return sets


def build_prompt(label_set: Sequence[str], description: str, shown: pd.DataFrame, *, style: str, draw: int) -> Prompt:
    """The prompt with the demonstrations ``shown`` (an examples table), labels written in ``style``."""
    words = dict(zip(label_set, written_labels(label_set, style), strict=True))
    if style == "name":
        label_description = "\n".join(label_set)
    else:
        label_description = json.dumps({code: label for label, code in words.items()}, ensure_ascii=False)
    texts = [_DEMONSTRATION.format(text=text, label=words[label]) for text, label in zip(shown["text"], shown["gold_label"], strict=True)]
    before, after = TEMPLATE.split(" {input_text}")
    filled = before.format(task_description=description, label_description=label_description, demonstrations="\n".join(texts))
    return Prompt(draw, filled, after, tuple(f" {word}" for word in words.values()), tuple(shown["example_id"]))
