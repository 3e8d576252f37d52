"""What annotation will take, before it is paid for: tokens counted, time from a probe, price."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotation.cache import AnswerCache, Fetch
from project.annotation.cost import price
from project.annotation.engines.base import Annotator
from project.annotation.items import question_items
from project.annotation.open_cache import open_cache
from project.annotation.prompt import Prompt
from project.config.annotation import AnnotateConfig, SpendConfig
from project.support.claims import Claim

MAX_COUNTED = 20_000  # texts whose tokens are counted; more are assumed to be like them
PROBE_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class DrawPlan:
    """What one draw will take.

    Attributes
    ----------
    draw
        Index of the draw.
    texts
        Distinct texts that must be asked about.
    known
        Distinct texts whose answers are on disk or in the tracking store.
    requests
        Requests for all texts.
    tokens
        Prompt tokens of all requests, if every prompt is read as a whole.
    tokens_reused
        The same where the shared prefix is read once.
    exact
        Tokens were counted by the model's own tokenizer.
    seconds
        Estimated time of the machine, None if it was not measured.
    cost
        Estimated price.
    probed
        How many of the texts were read to find the time. They are known by now.
    """

    draw: int
    texts: int
    known: int
    requests: int
    tokens: int
    tokens_reused: int
    exact: bool
    seconds: float | None
    cost: float
    probed: int


@dataclass(frozen=True)
class _Probe:
    """Seconds for each token outside the shared prefix, and how many texts were read for that."""

    seconds_per_token: float
    n_texts: int


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
    measures: bool = True,
) -> list[DrawPlan]:
    """A plan of every draw.

    Parameters
    ----------
    annotators, prompts, examples, label_set, config, folder, fetch
        See :func:`project.annotation.annotate.annotate`.
    spend
        The prices.
    measures
        Whether a few texts are read to find the time, for about five seconds; their answers are
        kept.
    """
    annotator = annotators[0]
    # The same annotator listed several times reads several shards at once, in the probe too.
    # Only copies in processes of their own divide the time.
    n_copies = getattr(annotators, "n_copies", None) or len({id(copy) for copy in annotators})
    n_machines = getattr(annotators, "n_machines", 1)
    items = question_items(examples, annotator, config)
    seconds_per_token: float | None = 0.0 if measures else None
    n_probed = 0
    plans = []
    for prompt in prompts:
        cache = open_cache(folder, annotator, prompt, config)
        unknown = np.flatnonzero(~cache.known(items, fetch).answered)
        texts = dict(zip(items.keys_at(unknown), items.values_at(unknown), strict=True))
        # All draws have prompts of about the same length, so the first one with a text is probed.
        is_probed = bool(texts) and not n_probed and measures
        if is_probed:
            claim = Claim(cache.path / "asking.lock")
            # Another process that asks the same at this time must not pay for these texts, too.
            if claim.take():
                with contextlib.closing(cache), contextlib.closing(claim):
                    probe = _read_probe(annotator, prompt, texts, label_set, cache=cache)
                seconds_per_token = probe.seconds_per_token / n_copies
                n_probed = probe.n_texts
            else:
                is_probed, seconds_per_token = False, None
        draw_plan = _draw_plan(
            annotator,
            prompt,
            list(texts.values()),
            spend,
            n_known=len(items) - len(texts),
            n_probed=n_probed if is_probed else 0,
            seconds_per_token=seconds_per_token,
            n_machines=n_machines,
        )
        plans.append(draw_plan)
    return plans


def _draw_plan(
    annotator: Annotator,
    prompt: Prompt,
    texts: Sequence[str],
    spend: SpendConfig,
    *,
    n_known: int,
    n_probed: int,
    seconds_per_token: float | None,
    n_machines: int,
) -> DrawPlan:
    """The plan of a draw that must ask about ``texts``; each machine has a price of an hour."""
    requests = 0
    generated = 0
    tokens = 0
    tokens_reused = 0
    is_exact = True
    counted = texts[:MAX_COUNTED]
    if counted:
        size = annotator.size(prompt, counted)
        requests = len(texts) * size.requests
        generated = len(texts) * size.generated
        tokens = int(size.total.sum() * (len(texts) / len(counted))) * size.requests
        # An engine reads the shared prefix once, not with each of the requests.
        tokens_reused = tokens - size.prefix * (requests - 1)
        is_exact = size.exact
    seconds = None if seconds_per_token is None else tokens_reused * seconds_per_token
    return DrawPlan(
        draw=prompt.draw,
        texts=len(texts),
        known=n_known,
        requests=requests,
        tokens=tokens,
        tokens_reused=tokens_reused,
        exact=is_exact,
        seconds=seconds,
        cost=price(
            spend,
            prompt_tokens=tokens,
            generated_tokens=generated,
            seconds=(seconds or 0.0) * n_machines,
        ),
        probed=n_probed,
    )


def _read_probe(
    annotator: Annotator,
    prompt: Prompt,
    texts: dict[str, str],
    label_set: Sequence[str],
    *,
    cache: AnswerCache,
) -> _Probe:
    """Read texts until five seconds are over, twice as many each time, and write their answers.

    ``texts`` holds them by key. The first text warms the engine up; the last portion, the largest,
    gives the rate.
    """
    unread = list(texts.items())

    def read(n: int) -> float:
        """Seconds per token of the next ``n`` texts."""
        portion = dict(unread[:n])
        del unread[:n]
        values = list(portion.values())
        annotator.size(prompt, values)  # loads the model before the clock starts
        began = time.perf_counter()
        answers = annotator.read(prompt, values)
        seconds = time.perf_counter() - began
        # A server's tokens are known only after it has answered, so size is called again.
        size = annotator.size(prompt, values)
        cache.add(list(portion), answers, label_set, seconds)
        n_tokens = (int(size.total.sum()) - size.prefix * len(portion)) * size.requests
        return seconds / max(1, n_tokens)

    began = time.perf_counter()
    seconds_per_token = read(1)
    n = 2
    # Annotation reads no more than a shard at once, so a larger portion would tell nothing more.
    while unread and n <= annotator.shard_size and time.perf_counter() - began < PROBE_SECONDS:
        seconds_per_token = read(n)
        n *= 2
    return _Probe(seconds_per_token, len(texts) - len(unread))
