"""The verdict where the loss or alpha is exactly at its limit, and where it clearly is within.

Every text has a difficulty that all trainings share. In a share of the texts the LLM's labels are
wrong in a way that every training on them learns; this share makes the true loss what it should be.
"""

from __future__ import annotations

import functools
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from analysis.questions.verdict_judge import arms_that_seeds_may_decide, judge
from analysis.questions.verdict_looks import FACTORS, last_level, look_level
from benchmarks.sentences.world import World
from project.config.arms import GOLD, LLM
from project.config.results import VerdictConfig
from project.stats.agreement import krippendorff_alpha, label_counts
from project.stats.types import Codes, Floats

_NORMAL = NormalDist()
_TOLERANCE = 2.0
_REPLICATES = 1000
_N_WEIGHTS = 10
"""Different weights of the examples; repetitions share them, which saves most of the time."""
_ALPHA_POPULATION = (20_000, 300)  # texts and seeds that stand for all


class Setting(NamedTuple):
    """Texts and trainings.

    ``n`` test texts; ``seeds`` of each arm; ``shares`` of the classes; ``accuracy`` of a training
    on gold labels, with the standard deviation ``sd`` over trainings; ``common``: share of what
    makes an answer right that the text decides, not the training; ``wrong_class``: the class whose
    labels the LLM gets wrong, all if None.
    """

    n: int
    seeds: int
    shares: tuple[float, ...] = (0.5, 0.5)
    accuracy: float = 0.9
    sd: float = 0.01
    common: float = 0.9
    wrong_class: int | None = None

    @property
    def classes(self) -> Floats:
        """Shares of the classes as an array."""
        return np.array(self.shares) / sum(self.shares)


def _macro_f1(shares: Floats, given: Floats) -> float:
    """Macro-F1 of answers with the probabilities ``given`` ``(k, k)``, rows gold."""
    joint = shares[:, None] * given
    return float((2 * joint.diagonal() / (joint.sum(axis=0) + shares)).mean())


@functools.cache
def wrong_share(setting: Setting, loss: float) -> float:
    """The share of texts whose LLM label is wrong that makes the true loss so large."""
    k = len(setting.shares)
    quantiles = [_NORMAL.inv_cdf((index + 0.5) / 100) for index in range(100)]
    is_wrong = np.ones(k) if setting.wrong_class is None else np.eye(k)[setting.wrong_class]
    elsewhere = (1 - np.eye(k)) / (k - 1)

    def loss_at(share: float) -> float:
        losses = []
        for quantile in quantiles:
            right = float(np.clip(setting.accuracy + setting.sd * quantile, 0.01, 0.99))
            given = right * np.eye(k) + (1 - right) * elsewhere
            moved = (share * is_wrong)[:, None]
            changed = (1 - moved) * given + moved * elsewhere
            losses.append(_macro_f1(setting.classes, given) - _macro_f1(setting.classes, changed))
        return float(np.mean(losses))

    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if loss_at(middle) < loss else (low, middle)
    return high


class Texts:
    """Test texts, and trainings whose answers can be drawn one after the other."""

    def __init__(self, setting: Setting, loss: float, random: np.random.Generator) -> None:
        self.setting = setting
        self.random = random
        n, k = setting.n, len(setting.shares)
        self.gold = random.choice(k, n, p=setting.classes)
        self.difficulty = random.normal(size=n)
        self.own_error = (self.gold + random.integers(1, k, n)) % k
        may_be_wrong = np.ones(n, bool)
        if setting.wrong_class is not None:
            may_be_wrong = self.gold == setting.wrong_class
        share = wrong_share(setting, loss) if loss else 0.0
        self.is_wrong = may_be_wrong & (random.random(n) < share)

    def trainings(self, n_seeds: int, *, on_llm: bool) -> Codes:
        """Answers ``(n_seeds, n)``."""
        setting, random = self.setting, self.random
        n, k = setting.n, len(setting.shares)
        answers = []
        for accuracy in setting.accuracy + setting.sd * random.normal(size=n_seeds):
            effort = np.sqrt(setting.common) * self.difficulty
            effort = effort + np.sqrt(1 - setting.common) * random.normal(size=n)
            other = (self.gold + random.integers(1, k, n)) % k
            error = np.where(random.random(n) < 0.7, self.own_error, other)
            is_right = effort < _NORMAL.inv_cdf(float(np.clip(accuracy, 0.01, 0.99)))
            answer = np.where(is_right, self.gold, error)
            answers.append(np.where(self.is_wrong, self.own_error, answer) if on_llm else answer)
        return np.stack(answers)


class Asked(NamedTuple):
    """What a verdict is asked about: its word for llm, ``until``, and the limit of alpha.

    A limit of -1 is met by all labels, so that the loss alone decides.
    """

    word: str = "yes"
    until: str = "trained"
    min_alpha: float = -1.0


def _cell(setting: Setting, loss: float, asked: Asked, random: np.random.Generator) -> bool:
    """Whether the labels of llm are judged so: ``yes`` is safe, ``no`` is not."""
    texts = Texts(setting, loss, random)
    arms = {arm: texts.trainings(setting.seeds, on_llm=arm == LLM) for arm in (GOLD, LLM)}
    config = VerdictConfig(_TOLERANCE, asked.min_alpha, asked.until)
    seed = int(random.integers(_N_WEIGHTS))
    for factor in FACTORS:
        level = look_level(asked.until, setting.seeds, factor * setting.seeds)
        judged = judge(
            texts.gold,
            arms,
            len(setting.shares),
            config=config,
            level=level,
            replicates=_REPLICATES,
            seed=seed,
        )
        if asked.until != "decided" or not arms_that_seeds_may_decide(judged, config, last_level()):
            break
        if factor != FACTORS[-1]:
            more = factor * setting.seeds
            arms = {
                arm: np.concatenate([codes, texts.trainings(more, on_llm=arm == LLM)])
                for arm, codes in arms.items()
            }
    return bool(judged.rows.set_index("arm").loc[LLM, "safe"] == asked.word)


def _world(name: str, setting: Setting, word: str = "yes", until: str = "trained") -> World:
    """The true loss is at the tolerance; for the power it is 0, or twice the tolerance."""
    return _at_tolerance(
        f"loss is {'small' if word == 'yes' else 'large'}: {name}", setting, Asked(word, until)
    )


def _safe_world(name: str, n: int, until: str = "trained") -> World:
    """The whole verdict on labels whose true alpha is 0.85, where 0.8 is asked for."""
    setting = Setting(n, 5, common=0.857)
    return _at_tolerance(
        f"labels are safe: alpha 0.85, 5 seeds, sd 1, {name}", setting, Asked("yes", until, 0.8)
    )


def _at_tolerance(name: str, setting: Setting, asked: Asked) -> World:
    limit = _TOLERANCE / 100
    true_loss = 0.0 if asked.word == "yes" else 2 * limit
    return World(
        name=name,
        promised=2.5,
        where_false=functools.partial(_cell, setting, limit, asked),
        where_true=functools.partial(_cell, setting, true_loss, asked),
    )


@functools.cache
def _true_alpha(setting: Setting) -> float:
    """Alpha of infinitely many trainings on gold labels."""
    n, n_seeds = _ALPHA_POPULATION
    texts = Texts(setting._replace(n=n), 0.0, np.random.default_rng(0))
    counts = label_counts(texts.trainings(n_seeds, on_llm=False), len(setting.shares))
    return krippendorff_alpha(counts)


def _alpha_cell(setting: Setting, distance: float, random: np.random.Generator) -> bool:
    """Whether alpha is called large enough, where its limit lies ``distance`` below the truth."""
    texts = Texts(setting, 0.0, random)
    arms = {arm: texts.trainings(setting.seeds, on_llm=False) for arm in (GOLD, LLM)}
    config = VerdictConfig(_TOLERANCE, _true_alpha(setting) - distance)
    judged = judge(
        texts.gold,
        arms,
        len(setting.shares),
        config=config,
        level=look_level("", 1, 1),
        replicates=_REPLICATES,
        seed=int(random.integers(_N_WEIGHTS)),
    )
    return bool(judged.rows.set_index("arm").loc[LLM, "seeds_agree"] == "yes")


def _alpha_world(name: str, setting: Setting) -> World:
    return World(
        name=f"alpha is large: {name}",
        promised=2.5,
        where_false=functools.partial(_alpha_cell, setting, 0.0),
        where_true=functools.partial(_alpha_cell, setting, 0.1),
    )


def _remedies_cell(setting: Setting, loss: float, random: np.random.Generator) -> bool:
    """Whether any of six remedies, each with errors of its own, is called safe."""
    texts = Texts(setting, loss, random)
    arms = {GOLD: texts.trainings(setting.seeds, on_llm=False)}
    for arm in (LLM, *(f"remedy_{number}" for number in range(6))):
        texts.is_wrong = random.random(setting.n) < (wrong_share(setting, loss) if loss else 0.0)
        arms[arm] = texts.trainings(setting.seeds, on_llm=True)
    judged = judge(
        texts.gold,
        arms,
        len(setting.shares),
        config=VerdictConfig(_TOLERANCE, -1.0),
        level=look_level("", 1, 1),
        replicates=_REPLICATES,
        seed=int(random.integers(_N_WEIGHTS)),
    )
    rows = judged.rows[judged.rows["arm"] != LLM]
    return bool((rows["loss_is_small"] == "yes").any())


FOUR = (0.5, 0.25, 0.15, 0.1)
_SHARED = "one error, shared by all seeds"
WORLDS = (
    *(_world(f"{_SHARED}, n {n}", Setting(n, 5, sd=0.0, common=1.0)) for n in (100, 200, 500)),
    _world(f"{_SHARED}, 90:10, n 200", Setting(200, 5, (9, 1), sd=0.0, common=1.0)),
    _world(
        f"{_SHARED}, of the rare class, 90:10, n 200",
        Setting(200, 5, (9, 1), sd=0.0, common=1.0, wrong_class=1),
    ),
    _world(
        f"{_SHARED}, of the rarest of 4, n 500",
        Setting(500, 3, FOUR, sd=0.0, common=1.0, wrong_class=3),
    ),
    *(
        _world(f"2 classes, n 500, {seeds} seeds, sd 1", Setting(500, seeds))
        for seeds in (2, 3, 5, 10)
    ),
    *(
        _world(f"4 classes, n 500, {seeds} seeds, sd 1", Setting(500, seeds, FOUR, 0.85))
        for seeds in (2, 3, 5, 10)
    ),
    _world("10 classes, n 500, 5 seeds, sd 1", Setting(500, 5, (1,) * 10, 0.8)),
    _world("2 classes, n 500, 3 seeds, sd 3", Setting(500, 3, sd=0.03)),
    _world("2 classes, n 500, 5 seeds, sd 1", Setting(500, 5), "no"),
    _world("4 classes, n 500, 5 seeds, sd 1", Setting(500, 5, FOUR, 0.85), "no"),
    _world("2 classes, n 8,000, 5 seeds, sd 1", Setting(8000, 5)),
    _world("until decided, n 500, sd 1", Setting(500, 5), until="decided"),
    *(
        _safe_world(f"n {n:,}{until_text}", n, until)
        for until, until_text in (("trained", ""), ("decided", ", until decided"))
        for n in (500, 8000)
    ),
    World(
        name="any of 6 remedies is safe: 2 classes, n 500, 5 seeds, sd 1",
        promised=2.5,
        where_false=functools.partial(_remedies_cell, Setting(500, 5), _TOLERANCE / 100),
        where_true=functools.partial(_remedies_cell, Setting(500, 5), 0.0),
    ),
    *(
        _alpha_world(f"n 200, {seeds} seeds, sd 2", Setting(200, seeds, accuracy=0.92, sd=0.02))
        for seeds in (2, 3, 5, 10)
    ),
    _alpha_world("90:10, n 500, 5 seeds, sd 2", Setting(500, 5, (9, 1), 0.95, 0.02)),
    _alpha_world("n 100, 5 seeds that nearly agree", Setting(100, 5, accuracy=0.99, sd=0.0)),
)
