"""Annotators over examples x prompts -> annotations: nothing asked twice, every shard on disk at once, calibration, repeats."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from project.annotators import NOT_NUMBERS, Annotator
from project.answers import KEY, AnswerFolder, answers_table, keys, question_digest, uniform
from project.config import AnnotateConfig
from project.errors import AssayError, Incomplete
from project.parallel import Task, share
from project.prompt import Prompt
from project.spend import Meter
from project.stats.agreement import label_counts
from project.stats.information import divide_by_prior, log_mean, sample
from project.tables import RAW_LOG_PROBABILITY, check, class_columns, codes, digest, with_class_columns

CONTENT_FREE = ("N/A", "", "[MASK]")
"""Inputs without content, for contextual calibration: Zhao et al. (2021), section 5."""

Progress = Callable[[int], None]
Fetch = Callable[[str], Sequence[pd.DataFrame]]
"""Answers to a question (its digest) that somebody else has paid for already."""


@dataclass(frozen=True)
class Annotations:
    """One draw over one split.

    ``digest`` names everything that could change ``table``'s raw answers, ``question`` the same but for the texts. ``asked`` of
    ``len(table)`` examples were newly paid for, ``reused`` were on disk, and ``fetched`` came from a finished run elsewhere; what is
    left are examples whose text stands more than once. ``content_free``: answers to content-free inputs, for contextual calibration.
    """

    table: pd.DataFrame
    prompt: Prompt
    question: str
    digest: str
    asked: int
    reused: int
    fetched: int
    seconds: float
    content_free: pd.DataFrame | None


@dataclass
class _Draw:
    """A draw at work: its answers so far, and the shards still to be asked for."""

    prompt: Prompt
    folder: AnswerFolder
    known: pd.DataFrame | None
    fetched: int
    todo: list[tuple[list[str], list[str]]]
    made: list[pd.DataFrame] = field(default_factory=list)
    broken: int = 0

    @property
    def done(self) -> bool:
        return len(self.made) == len(self.todo)

    def answers(self) -> pd.DataFrame:
        return pd.concat([table for table in (self.known, *self.made) if table is not None], ignore_index=True)


def annotate(
    annotators: Sequence[Annotator], prompts: Sequence[Prompt], examples: pd.DataFrame, label_set: Sequence[str],
    *, config: AnnotateConfig, folder: Path, progress: Progress, meter: Meter, seed: int = 0, fetch: Fetch | None = None,
) -> Iterator[Annotations]:  # fmt: skip
    """Annotate every row of ``examples`` under each of ``prompts``; yields each draw when it is complete.

    ``annotators``: copies of one engine, which share the work by draw, then by shard. Identical texts are asked about once.
    Every shard is on disk, below ``folder``, before anything else happens, and is not asked for again; what ``fetch`` finds is put
    there first. ``progress`` is called with the number of examples done since its last call. Stops by raising Stopped where ``meter``
    says so. ``seed`` is that of the repeats.
    """
    first = annotators[0]
    items = list(examples[first.keyed_by])
    row_keys = keys(items)
    unique = dict(zip(row_keys, items, strict=True))
    copies = pd.Series(row_keys).value_counts()
    extra = list(CONTENT_FREE) if config.calibration == "contextual" else []
    draws = []
    for prompt in prompts:
        at_work = _open(first, prompt, unique, extra, folder, fetch)
        left = {key for asked, _ in at_work.todo for key in asked}
        progress(int(copies[~copies.index.isin(left)].sum()))
        draws.append(at_work)
    waiting = deque(draws)
    results = _work(annotators, draws, label_set, config, meter)
    while waiting:
        while not waiting[0].done:
            draw, table = next(results)
            draw.made.append(table)
            progress(int(copies.reindex(table[KEY]).sum()))
        yield _complete(first, waiting.popleft(), examples, row_keys, label_set, config, seed)


def _open(annotator: Annotator, prompt: Prompt, unique: dict[str, str], extra: list[str], folder: Path, fetch: Fetch | None) -> _Draw:
    """What is known of a draw, and its shards to do. A text belongs to the same shard however much is known already."""
    question = question_digest(annotator, prompt)
    place = AnswerFolder(folder / question)
    wanted = {**dict(zip(keys(extra), extra, strict=True)), **unique}
    known, fetched = place.load(), 0
    if fetch and (known is None or not wanted.keys() <= set(known[KEY])):
        here = set() if known is None else set(known[KEY])
        for table in fetch(question):
            new = table[table[KEY].isin(wanted.keys() - here)]
            if len(new):
                place.write(new)
                fetched, here = fetched + int(new[KEY].isin(unique.keys()).sum()), here | set(new[KEY])
        known = place.load()
    here = set() if known is None else set(known[KEY])
    todo, names = [], list(wanted)
    for start in range(0, len(names), annotator.shard_size):
        asked = [key for key in names[start : start + annotator.shard_size] if key not in here]
        if asked:
            todo.append((asked, [wanted[key] for key in asked]))
    known = None if known is None else known[known[KEY].isin(wanted.keys())]
    return _Draw(prompt, place, known, fetched, todo)


def _work(
    annotators: Sequence[Annotator], draws: Sequence[_Draw], label_set: Sequence[str], config: AnnotateConfig, meter: Meter
) -> Iterator[tuple[_Draw, pd.DataFrame]]:
    """Ask for all shards; yields a draw and the answers to one of them as they come, on disk already."""

    def do(annotator: Annotator, task: Task) -> tuple[_Draw, pd.DataFrame]:
        draw, (asked, items) = draws[task[0]], draws[task[0]].todo[task[1]]
        began = time.perf_counter()
        try:
            answers = annotator.read(draw.prompt, items)
        except BaseException as error:
            meter.give_up(len(items))
            if isinstance(error, Incomplete) and error.partial:
                rows, answers = error.partial
                draw.folder.write(answers_table([asked[row] for row in rows], answers, label_set, time.perf_counter() - began))
            raise
        table = answers_table(asked, answers, label_set, time.perf_counter() - began)
        draw.broken += draw.folder.write(table)
        meter.add(len(table), int(table["prompt_tokens"].sum()) * answers.requests, answers.generated * len(table))
        _can_be_calibrated(table, label_set, str(config.calibration))  # now rather than when all is paid for
        return draw, table

    tasks = [(number, shard) for number, draw in enumerate(draws) for shard in range(len(draw.todo))]
    return share(annotators, tasks, do, lambda task: meter.admit(len(draws[task[0]].todo[task[1]][0])))


def _complete(
    annotator: Annotator, draw: _Draw, examples: pd.DataFrame, row_keys: list[str], label_set: Sequence[str], config: AnnotateConfig, seed: int
) -> Annotations:
    """The annotations table of a draw whose answers are all there."""
    if draw.broken:
        n = sum((table["error"] == NOT_NUMBERS).any() for table in draw.made)
        raise Incomplete(
            f"{annotator.name} gave log probabilities that are not numbers for {draw.broken} texts of draw {draw.prompt.draw}. {n} shards with "
            f"them are set aside in {draw.folder.path}; all others are kept. Try -P annotator_dtype=float32 (or bfloat16 for float16)."
        )
    answers = draw.answers().set_index(KEY)
    raw = answers.loc[row_keys].reset_index()
    question = draw.folder.path.name
    free = answers.loc[keys(CONTENT_FREE)].reset_index() if config.calibration == "contextual" else None
    prior = log_mean(class_columns(free, label_set, RAW_LOG_PROBABILITY)) if free is not None else None
    raw.insert(0, "example_id", list(examples["example_id"]))
    raw.insert(1, "draw", draw.prompt.draw)
    table = calibrate(raw, label_set, str(config.calibration), prior)
    if config.repeats or "repeats" in table:
        table = with_repeats(table, label_set, config.repeats, config.temperature, seed)
    check("annotations", table, label_set)
    unique, name = set(row_keys), digest([question, list(examples["example_id"]), row_keys])
    asked, seconds = sum(int(made[KEY].isin(unique).sum()) for made in draw.made), sum(float(made["seconds"].sum()) for made in draw.made)
    return Annotations(table, draw.prompt, question, name, asked, len(unique) - draw.fetched - asked, draw.fetched, seconds, free)


def calibrate(raw: pd.DataFrame, label_set: Sequence[str], calibration: str, log_prior: np.ndarray | None = None) -> pd.DataFrame:
    """The annotations table of raw answers: class probabilities divided by a prior, the label their argmax (ties: the first class).

    ``batch`` takes the prior from ``raw`` itself, one draw over one split; ``contextual`` needs ``log_prior``. Neither can be done
    where an answer lacks a class's probability; texts without an answer have no part in it.
    """
    values = class_columns(raw, label_set, RAW_LOG_PROBABILITY).copy()
    names = np.array([*label_set, None], dtype=object)
    labels = names[raw["answer"].to_numpy()]
    if calibration != "none":
        _can_be_calibrated(raw, label_set, calibration)
        answered = raw["answer"].to_numpy() >= 0
        prior = log_mean(values[answered]) if calibration == "batch" or log_prior is None else log_prior
        if np.isnan(prior).any():
            raise AssayError(
                "calibration=contextual needs an annotator that can be asked about content-free inputs. Use -P calibration=batch or none."
            )
        values[answered] = divide_by_prior(values[answered], prior)
        labels[answered] = names[values[answered].argmax(axis=1)]
    kept = raw.drop(columns=["seconds", "answer"])
    return with_class_columns(kept.assign(label=pd.Series(labels, index=raw.index, dtype="str")), values, label_set)


def _can_be_calibrated(raw: pd.DataFrame, label_set: Sequence[str], calibration: str) -> None:
    unknown = np.isnan(class_columns(raw, label_set, RAW_LOG_PROBABILITY)).any(axis=1) & (raw["answer"].to_numpy() >= 0)
    if calibration != "none" and unknown.any():
        raise AssayError(
            f"calibration={calibration} needs every class's probability; {int(unknown.sum())} of {len(raw)} answers lack some (a server that "
            "lists only its top tokens, or labels without probabilities). Use -P calibration=none; the answers are kept."
        )


def with_repeats(table: pd.DataFrame, label_set: Sequence[str], n: int, temperature: float, seed: int) -> pd.DataFrame:
    """``table`` with ``repeats`` (a list of class indices, -1 for no label) and ``consistency``, the share of repeats that give the modal label.

    Pangakis and Wolken (2024), section 3, ask the model again and again at a temperature. Where the exact distribution is known, the
    repeats are drawn from its ``temperature``-th root instead, which is what asking would draw from were replies held to
    the label set, and costs nothing. They are drawn before calibration, for every text by itself.
    """
    if "repeats" not in table:
        values = class_columns(table, label_set, RAW_LOG_PROBABILITY)
        if np.isnan(values).any():
            raise AssayError("repeats need every class's probability, or an annotator that samples. Use -P repeats=0.")
        drawn = sample(values, uniform([f"{seed}:{draw}:{key}" for draw, key in zip(table["draw"], table[KEY], strict=True)], n), temperature)
        table = table.assign(repeats=[row.tolist() for row in drawn])
    drawn = np.array(table["repeats"].tolist(), dtype=np.int64).reshape(len(table), -1)
    return table.assign(consistency=label_counts(drawn.T, len(label_set)).max(axis=1) / drawn.shape[1])


def raw_answers(table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """The raw answers that an annotations table was made of, as they stand on disk; what they took is not known any more."""
    values = class_columns(table, label_set, RAW_LOG_PROBABILITY)
    known = ~np.isnan(values).all(axis=1)
    answer = np.where(known, np.where(np.isnan(values), -np.inf, values).argmax(axis=1), codes(table["label"], label_set))
    columns = [KEY, "label_mass", "log_bound", "truncated", "prompt_tokens", "error", *(["repeats"] if "repeats" in table else [])]
    columns += [RAW_LOG_PROBABILITY + label for label in label_set]
    return table[columns].assign(answer=answer.astype(np.int32), seconds=0.0).drop_duplicates(KEY)
