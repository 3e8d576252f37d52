"""Rough times and prices before anything is measured: people, an LLM here, and trainings.

The times are those of the bundled models on this machine's cores, from the size of the texts. A
dry run and the entry point ``check`` say more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import pandas as pd

from entrypoints.wiring.experiment_size import CountedExperiment
from project.annotation.engines.openai.questions import CHARACTERS_PER_TOKEN
from project.config.init import InitConfig
from project.config.recipe import schedule, with_recipe

_FLOPS_OF_A_CORE = 50e9  # that the bundled models reach, a second
_FLOPS_OF_LLM = 2 * 135e6  # a token of the bundled LLM
_FLOPS_OF_ENCODER = 2 * 10.7e6  # a token of the bundled encoder; training takes three times as much
_START_SECONDS = 20.0  # imports, the tracking store, the report
_WORDS_A_MINUTE = 220  # that a person reads
_SECONDS_TO_DECIDE = 5.0
_N_DEMONSTRATIONS = 3
_PROMPT_TOKENS = 30  # beside the description, the demonstrations and the text
_AUDIT_SECONDS = 15.0  # trainings of an audit


class Texts:
    """The sizes of the texts of a file, by which everything is estimated."""

    def __init__(self, texts: pd.Series, max_length: int) -> None:
        """``texts``: those that are not empty; ``max_length``: tokens that an encoder reads."""
        characters = texts.str.len()
        self.n = len(texts)
        self.mean_tokens = float(characters.mean()) / CHARACTERS_PER_TOKEN if self.n else 0.0
        read = characters.clip(upper=max_length * CHARACTERS_PER_TOKEN)
        self.mean_read = float(read.mean()) / CHARACTERS_PER_TOKEN if self.n else 0.0
        self.mean_words = float(texts.str.split().str.len().mean()) if self.n else 0.0


def n_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def labelling(texts: Texts, n: int, config: InitConfig) -> str:
    """What labelling ``n`` texts takes a person."""
    seconds = n * (_SECONDS_TO_DECIDE + 60 * texts.mean_words / _WORDS_A_MINUTE)
    price = f", price {n * config.price_label:,.2f}" if config.price_label else ""
    return f"{n:,} human labels, {duration(seconds)} of one person{price}"


def audit_cost(texts: Texts, config: InitConfig, *, asks_llm: bool) -> str:
    """What an audit of the whole file takes."""
    seconds = _START_SECONDS + _AUDIT_SECONDS
    seconds += _machine_seconds(texts.n * texts.mean_read * _FLOPS_OF_ENCODER)
    if not asks_llm:
        return _here(seconds)
    seconds += _machine_seconds(texts.n * texts.mean_tokens * _FLOPS_OF_LLM)
    return f"{_here(seconds)}; {_tokens(texts, texts.n, 0, config)}"


def experiment_cost(
    texts: Texts, counted: CountedExperiment, config: InitConfig, *, asks_llm: bool
) -> str:
    """What an experiment takes."""
    finetune = with_recipe(
        counted.config.finetune, n_parameters=0, n_classes=counted.size.n_classes
    )
    n_seeds = sum(counted.seeds.values())
    n_steps = schedule(finetune, counted.size.texts["train"]).n_steps
    tokens = n_seeds * n_steps * finetune.train_batch_size * texts.mean_read
    seconds = _START_SECONDS + _machine_seconds(3 * tokens * _FLOPS_OF_ENCODER)
    trainings = f"{n_seeds} trainings of {n_steps} steps"
    if not asks_llm:
        return f"{trainings}, {_here(seconds)}"
    seconds += _machine_seconds(counted.n_answers * texts.mean_tokens * _FLOPS_OF_LLM)
    asked = _tokens(texts, counted.n_answers, _N_DEMONSTRATIONS, config)
    return f"{trainings}, {_here(seconds)}; {asked}"


def _machine_seconds(flops: float) -> float:
    return flops / (_FLOPS_OF_A_CORE * n_cores())


def _here(seconds: float) -> str:
    cores = n_cores()
    return f"{duration(seconds)} on {cores} {'core' if cores == 1 else 'cores'}"


def _tokens(texts: Texts, n_answers: int, n_demonstrations: int, config: InitConfig) -> str:
    """The prompts of an LLM: answers, tokens, and their price where one is given."""
    tokens = n_answers * (_PROMPT_TOKENS + texts.mean_tokens * (1 + n_demonstrations))
    price = ""
    if config.price_input:
        price = f", price about {tokens / 1e6 * config.price_input:,.2f}"
    return f"{n_answers:,} answers of the LLM, about {_rounded(tokens / 1e6)} million tokens{price}"


def _rounded(number: float) -> str:
    return f"{number:.0f}" if number >= 10 else f"{number:.1f}" if number >= 0.1 else "0.1"


_UNITS: Sequence[tuple[float, str]] = ((3600.0, "hours"), (60.0, "minutes"))


def duration(seconds: float) -> str:
    """A rough duration in words."""
    if seconds < 90:
        return "about a minute"
    for size, unit in _UNITS:
        if seconds >= 1.5 * size:
            n = seconds / size
            return (
                f"about {n:.1f} {unit}" if unit == "hours" and n < 10 else f"about {n:.0f} {unit}"
            )
    return "about a minute"
