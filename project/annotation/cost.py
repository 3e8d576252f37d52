"""What labels cost: prices, what a set of labels took, and a meter that stops at a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import pandas as pd

from project.annotation.answers import ANSWER_KEY
from project.config.annotation import SpendConfig
from project.support.errors import Stopped


def price(
    config: SpendConfig, *, prompt_tokens: float, generated_tokens: float, seconds: float
) -> float:
    """Price of tokens and of seconds of this machine, in the unit of the configured prices.

    Parameters
    ----------
    config
        Prices of a million tokens and of an hour of this machine.
    prompt_tokens, generated_tokens
        Tokens of all requests.
    seconds
        Seconds of this machine.
    """
    tokens = prompt_tokens * config.price_input + generated_tokens * config.price_output
    return tokens / 1e6 + seconds / 3600 * config.price_hour


class Spent(NamedTuple):
    """What a set of labels took in all, no matter which run paid for it.

    ``prompt_tokens`` and ``generated_tokens`` are summed over all requests.
    """

    human_labels: int
    llm_calls: int
    prompt_tokens: int
    generated_tokens: int
    annotation_seconds: float

    def cost(self, config: SpendConfig, seconds: float = 0.0) -> float:
        """Price of it, with ``seconds`` more of this machine."""
        labels = self.human_labels * config.price_label
        return labels + price(
            config,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            seconds=self.annotation_seconds + seconds,
        )


def spent(draws: Sequence[pd.DataFrame], human_labels: int) -> Spent:
    """What labels took that were made from ``draws`` (annotations tables) and human labels.

    Identical texts of a draw were asked about once and count once.
    """
    paid = [table.drop_duplicates(ANSWER_KEY) if ANSWER_KEY in table else table for table in draws]
    prompt_tokens = sum(int((table["prompt_tokens"] * table["requests"]).sum()) for table in paid)
    return Spent(
        human_labels=human_labels,
        llm_calls=sum(int(table["requests"].sum()) for table in paid),
        prompt_tokens=prompt_tokens,
        generated_tokens=sum(int(table["generated_tokens"].sum()) for table in paid),
        annotation_seconds=float(sum(table["seconds"].sum() for table in paid)),
    )


@dataclass
class Meter:
    """Counts what a run has newly paid for, and stops it before a shard that would pass a limit.

    Price and time of the next shard are estimated from the texts so far, so the first shard is
    always let through. Several threads may call it at the same time.
    """

    config: SpendConfig
    texts: int = 0
    prompt_tokens: int = 0
    generated_tokens: int = 0
    pending: int = 0
    """Texts that were admitted and are not answered yet."""
    began: float = field(default_factory=time.monotonic)
    seconds_before_pause: float = 0.0
    running: bool = True
    n_machines: int = 1
    """Machines that work now; the price of an hour is that of one. See :meth:`use_machines`."""
    machine_seconds_before: float = 0.0
    machines_since: float = 0.0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def seconds(self) -> float:
        """Seconds since the meter was made, without pauses."""
        since = time.monotonic() - self.began if self.running else 0.0
        return self.seconds_before_pause + since

    def pause(self) -> None:
        """Stop the clock: what the machine does now is not annotation."""
        self.seconds_before_pause = self.seconds
        self.running = False

    def resume(self) -> None:
        """Start the clock again."""
        if not self.running:
            self.began = time.monotonic()
            self.running = True

    def use_machines(self, n: int) -> None:
        """Count the time of ``n`` machines from now on."""
        with self._changed:
            if n != self.n_machines:
                self.machine_seconds_before = self.machine_seconds
                self.machines_since = self.seconds
                self.n_machines = n

    @property
    def machine_seconds(self) -> float:
        """Seconds of all machines since the meter was made, without pauses."""
        since = self.seconds - self.machines_since
        return self.machine_seconds_before + since * self.n_machines

    @property
    def cost(self) -> float:
        """Price of what was paid for so far."""
        return price(
            self.config,
            prompt_tokens=self.prompt_tokens,
            generated_tokens=self.generated_tokens,
            seconds=self.machine_seconds,
        )

    def admit(self, texts: int) -> None:
        """Count ``texts`` as pending. Raises Stopped if reading them would pass a limit.

        With a limit, all but the first texts wait until these are answered, since the price of a
        text is not known before.
        """
        config = self.config
        with self._changed:
            # Without an answer there is no price of a text to estimate the next ones from.
            if config.max_cost is not None or config.max_minutes is not None:
                self._changed.wait_for(lambda: self.texts or not self.pending)
            more = self.pending + texts
            self._check("max_cost", self.cost, config.max_cost, more=more)
            minutes = self.seconds / 60
            self._check("max_minutes", minutes, config.max_minutes, more=more, unit=" minutes")
            self.pending = more

    def add(self, texts: int, prompt_tokens: int, generated_tokens: int) -> None:
        """Count texts as answered that were admitted before.

        Parameters
        ----------
        texts
            Number of texts.
        prompt_tokens, generated_tokens
            Tokens of all their requests.
        """
        with self._changed:
            self.pending -= texts
            self.texts += texts
            self.prompt_tokens += prompt_tokens
            self.generated_tokens += generated_tokens
            self._changed.notify_all()

    def cancel(self, texts: int) -> None:
        """Stop waiting for ``texts`` that were admitted and could not be read."""
        with self._changed:
            self.pending -= texts
            self._changed.notify_all()

    def _check(
        self, name: str, amount: float, limit: float | None, *, more: int, unit: str = ""
    ) -> None:
        """Raise Stopped if ``more`` texts like the ones so far would pass ``limit``."""
        if limit is not None and self.texts and amount * (1 + more / self.texts) > limit:
            raise Stopped(
                f"stopped at {name}={limit:g}: {self.texts} texts have taken {amount:.4g}{unit} "
                f"and the next {more} would pass the limit. All answers are kept; run the same "
                "command again to go on, with another limit if you like."
            )
