"""What annotation will take, before it is paid for: tokens counted, time from a short probe, price."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotation.cache import (
    AnswerFolder,
    Fetch,
    answers_table,
    question_digest,
    question_items,
    sampling,
)
from project.annotation.cost import price
from project.annotation.engines.base import Annotator
from project.annotation.prompt import Prompt
from project.config.experiment import AnnotateConfig, SpendConfig

COUNTED = 20_000  # texts whose tokens are counted; more are taken to be like them
PROBE_SECONDS = 5.0


@dataclass(frozen=True)
class DrawPlan:
    """What one draw will take.

    ``texts`` are the different ones that must be asked about, ``known`` those whose answers are at hand or in the tracking store.
    ``tokens`` of all ``requests``, a text's several ones too, if every prompt is read whole; ``tokens_reused`` where the shared prefix
    is read once. ``exact``: tokens counted by the model's own tokenizer. ``probed`` of the texts were read to find the time, and are
    known by now.
    """

    draw: int
    texts: int
    known: int
    requests: int
    tokens: int
    tokens_reused: int
    exact: bool
    seconds: float
    cost: float
    probed: int


def plan(
    annotators: Sequence[Annotator],
    prompts: Sequence[Prompt],
    examples: pd.DataFrame,
    label_set: Sequence[str],
    *,
    config: AnnotateConfig,
    spend: SpendConfig,
    folder: Path,
    fetch: Fetch | None = None,
) -> list[DrawPlan]:
    """A plan of every draw; arguments as those of :func:`project.annotation.annotate.annotate`.

    A few texts of the first draw with anything to ask are read, for about five seconds; their answers are kept.
    """
    annotator, per_token, plans = annotators[0], None, []
    items = question_items(examples, annotator, config)
    for prompt in prompts:
        place = AnswerFolder(folder / question_digest(annotator, prompt), sampling(config))
        known, _, _ = place.known(items, fetch)
        left = np.flatnonzero(~known)
        asked = dict(zip(items.names(left), items.at(left), strict=True))
        probed = 0
        if asked and per_token is None:
            per_token, probed = _probe(annotator, prompt, asked, label_set, place)
        counted = list(asked.values())[:COUNTED]
        size = annotator.size(prompt, counted) if counted else None
        share = len(asked) / len(counted) if counted else 0.0
        requests, generated = (
            len(asked) * n for n in ((size.requests, size.generated) if size else (0, 0))
        )
        tokens = int(size.total.sum() * share) * size.requests if size else 0
        reused = tokens - size.prefix * (requests - 1) if size else 0
        copies = len(
            set(map(id, annotators))
        )  # one that stands there several times is asked several things at once, as in the probe
        seconds = reused * (per_token or 0.0) / copies
        cost = price(spend, prompt_tokens=tokens, generated_tokens=generated, seconds=seconds)
        plans.append(
            DrawPlan(
                prompt.draw,
                len(asked),
                len(items) - len(asked),
                requests,
                tokens,
                reused,
                size.exact if size else True,
                seconds,
                cost,
                probed,
            )
        )
    return plans


def _probe(
    annotator: Annotator,
    prompt: Prompt,
    asked: dict[str, str],
    label_set: Sequence[str],
    place: AnswerFolder,
) -> tuple[float, int]:
    """Seconds for a token that is not part of the shared prefix, and how many texts were read to find out.

    Twice as many texts are read each time until five seconds are over; the first one warms the engine up. Answers are kept.
    """
    left = list(asked.items())

    def ask(n: int) -> float:
        part = dict(left[:n])
        del left[:n]
        annotator.size(
            prompt, list(part.values())
        )  # a model is loaded now rather than while the time runs
        began = time.perf_counter()
        answers = annotator.read(prompt, list(part.values()))
        took = time.perf_counter() - began
        size = annotator.size(
            prompt, list(part.values())
        )  # a server has said now what a text takes
        place.write(answers_table(list(part), answers, label_set, took))
        return took / max(1, (int(size.total.sum()) - size.prefix * len(part)) * size.requests)

    rate, n, began = ask(1), 2, time.perf_counter()
    while left and n <= annotator.shard_size and time.perf_counter() - began < PROBE_SECONDS:
        rate, n = ask(n), 2 * n
    return rate, len(asked) - len(left)
