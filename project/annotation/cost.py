"""What labels cost: prices, what a set of labels has taken, and a meter that stops annotation at a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from project.config.experiment import SpendConfig
from project.support.errors import Stopped


def price(
    config: SpendConfig, *, prompt_tokens: float, generated_tokens: float, seconds: float
) -> float:
    """Price of so many tokens and seconds of this machine, in the unit the prices are given in."""
    return (
        prompt_tokens * config.price_input + generated_tokens * config.price_output
    ) / 1e6 + seconds / 3600 * config.price_hour


class Spent(NamedTuple):
    """What labels have taken, whenever it was paid: labels of a human, answers of the LLM, the tokens of all requests, seconds of annotation."""

    human_labels: int
    llm_calls: int
    prompt_tokens: int
    generated_tokens: int
    annotation_seconds: float

    def cost(self, config: SpendConfig, seconds: float = 0.0) -> float:
        """Price of it, with ``seconds`` more of this machine."""
        machine = self.annotation_seconds + seconds
        labels = self.human_labels * config.price_label
        return labels + price(
            config,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            seconds=machine,
        )


def spent(draws: Sequence[pd.DataFrame], human_labels: int) -> Spent:
    """What annotations tables, those of the draws that labels were made from, and so many labels of a human have taken.

    Texts that stand twice were asked about once, and count once.
    """
    asked = [
        table.drop_duplicates("answer_key") if "answer_key" in table else table for table in draws
    ]
    requests = sum(int(table["requests"].sum()) for table in asked)
    prompts = sum(int((table["prompt_tokens"] * table["requests"]).sum()) for table in asked)
    generated = sum(int(table["generated_tokens"].sum()) for table in asked)
    return Spent(
        human_labels,
        requests,
        prompts,
        generated,
        float(sum(table["seconds"].sum() for table in asked)),
    )


@dataclass
class Meter:
    """Counts what a run has newly paid for, and stops it before the next shard would pass a limit.

    The price and the time of the next shard are taken to be those of the texts so far; a first shard is always let through.
    """

    config: SpendConfig
    texts: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    pending: int = 0
    began: float = field(default_factory=time.monotonic)
    before: float = 0.0
    running: bool = True
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def seconds(self) -> float:
        """Since the meter was made, but for pauses."""
        return self.before + (time.monotonic() - self.began if self.running else 0.0)

    def pause(self) -> None:
        """Do not count what the machine does now, which is no annotation."""
        self.before, self.running = self.seconds, False

    def resume(self) -> None:
        """Count again."""
        if not self.running:
            self.began, self.running = time.monotonic(), True

    @property
    def cost(self) -> float:
        """Price of what was paid for so far."""
        return price(
            self.config,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            seconds=self.seconds,
        )

    def add(self, texts: int, prompt_tokens: int, generated_tokens: int) -> None:
        """So much has been read; ``texts`` of it had been admitted."""
        with self._changed:
            self.pending -= texts
            self.texts += texts
            self.prompt_tokens += prompt_tokens
            self.generated_tokens += generated_tokens
            self._changed.notify_all()

    def give_up(self, texts: int) -> None:
        """So many texts that were admitted could not be read."""
        with self._changed:
            self.pending -= texts
            self._changed.notify_all()

    def admit(self, texts: int) -> None:
        """Raise Stopped where reading so many more texts would pass a limit.

        Until the first texts are read nothing is known of the price of one, and all others wait for them.
        """
        with self._changed:
            if self.config.max_cost is not None or self.config.max_minutes is not None:
                self._changed.wait_for(lambda: self.texts or not self.pending)
            self._check("max_cost", self.cost, self.config.max_cost, "", self.pending + texts)
            self._check(
                "max_minutes",
                self.seconds / 60,
                self.config.max_minutes,
                " minutes",
                self.pending + texts,
            )
            self.pending += texts

    def _check(self, name: str, spent: float, limit: float | None, unit: str, more: int) -> None:
        if limit is not None and self.texts and spent * (1 + more / self.texts) > limit:
            raise Stopped(
                f"stopped at {name}={limit:g}: {self.texts} texts have taken {spent:.4g}{unit} and the next {more} would pass the limit. "
                "All answers are kept; run the same command again to go on, with another limit if you like."
            )
