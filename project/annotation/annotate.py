"""Annotators over examples x prompts -> annotations: nothing asked twice, every shard on disk at once, calibration, repeats."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from project.annotation.cache import (
    CONTENT_FREE,
    KEY,
    SAMPLING,
    AnswerFolder,
    Fetch,
    Items,
    answers_table,
    checked_answers,
    keys,
    question_digest,
    question_items,
    sampling,
)
from project.annotation.cost import Meter
from project.annotation.engines.base import Annotator
from project.annotation.prompt import Prompt
from project.annotation.workers import Task, share
from project.config.experiment import AnnotateConfig
from project.data.tables import (
    RAW_LOG_PROBABILITY,
    SourceRun,
    check,
    class_columns,
    codes,
    with_class_columns,
)
from project.stats.agreement import label_counts
from project.stats.information import divide_by_prior, log_mean, sample
from project.support.errors import AssayError, Incomplete
from project.support.files import digest
from project.support.parquet import content_hash

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Annotations:
    """One draw over one split.

    ``digest`` names everything that could change ``table``'s raw answers, ``question`` the same but for the texts. ``asked`` of
    ``len(table)`` examples were newly paid for, ``reused`` were on disk, and ``fetched`` came from finished runs elsewhere, ``sources``; what is
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
    sources: Sequence[SourceRun] = ()


@dataclass
class _Draw:
    """A draw at work: the shards still to be asked for, as places in ``items``. ``asked``: of how many different texts in the examples."""

    prompt: Prompt
    folder: AnswerFolder
    items: Items
    fetched: int
    sources: list[SourceRun]
    todo: list[npt.NDArray[np.int64]]
    done: int = 0
    asked: int = 0
    seconds: float = 0.0
    broken: int = 0
    aside: int = 0


def annotate(
    annotators: Sequence[Annotator],
    prompts: Sequence[Prompt],
    examples: pd.DataFrame,
    label_set: Sequence[str],
    *,
    config: AnnotateConfig,
    folder: Path,
    progress: Progress,
    meter: Meter,
    seed: int = 0,
    fetch: Fetch | None = None,
) -> Iterator[Annotations]:
    """Annotate every row of ``examples`` under each of ``prompts``; yields each draw when it is complete.

    ``annotators``: copies of one engine, which share the work by draw, then by shard. Identical texts are asked about once.
    Every shard is on disk, below ``folder``, before anything else happens, and is not asked for again; what ``fetch`` finds is put
    there first. ``progress`` is called with the number of examples done since its last call. Stops by raising Stopped where ``meter``
    says so. ``seed`` is that of the repeats.
    """
    items = question_items(examples, annotators[0], config)
    draws = []
    for prompt in prompts:
        draw = _open(annotators[0], prompt, items, config, folder, fetch)
        progress(len(examples) - sum(int(items.copies[shard].sum()) for shard in draw.todo))
        draws.append(draw)
    waiting, results = deque(draws), _work(annotators, draws, label_set, config, meter)
    while waiting:
        while waiting[0].done < len(waiting[0].todo):
            draw, n_examples = next(results)
            draw.done += 1
            progress(n_examples)
        yield _complete(annotators[0], waiting.popleft(), examples, label_set, config, seed)


def _open(
    annotator: Annotator,
    prompt: Prompt,
    items: Items,
    config: AnnotateConfig,
    folder: Path,
    fetch: Fetch | None,
) -> _Draw:
    """What is known of a draw, and its shards to do. A text belongs to the same shard however much is known already."""
    place = AnswerFolder(folder / question_digest(annotator, prompt), sampling(config))
    here, fetched, sources = place.known(items, fetch)
    shards = [
        np.arange(start, min(start + annotator.shard_size, len(items)))
        for start in range(0, len(items), annotator.shard_size)
    ]
    left = [shard[~here[shard]] for shard in shards]
    return _Draw(prompt, place, items, fetched, sources, [shard for shard in left if len(shard)])


def _work(
    annotators: Sequence[Annotator],
    draws: Sequence[_Draw],
    label_set: Sequence[str],
    config: AnnotateConfig,
    meter: Meter,
) -> Iterator[tuple[_Draw, int]]:
    """Ask for all shards; yields a draw and how many examples a shard of it answers, as they come, on disk already."""

    def do(annotator: Annotator, task: Task) -> tuple[_Draw, int]:
        draw = draws[task[0]]
        places = draw.todo[task[1]]
        names, texts, began = draw.items.names(places), draw.items.at(places), time.perf_counter()
        try:
            answers = annotator.read(draw.prompt, texts)
            table = answers_table(
                names, answers, label_set, (time.perf_counter() - began) / at_once
            )
            broken = draw.folder.write(table)
        except BaseException as error:
            meter.give_up(len(texts))
            if isinstance(error, Incomplete) and error.partial:
                rows, answers = error.partial
                draw.folder.write(
                    answers_table(
                        [names[row] for row in rows],
                        answers,
                        label_set,
                        (time.perf_counter() - began) / at_once,
                    )
                )
            raise
        meter.add(
            len(table),
            int(table["prompt_tokens"].sum()) * answers.requests,
            answers.generated * len(table),
        )
        _check_calibration(
            table, label_set, str(config.calibration)
        )  # now rather than when all is paid for
        with lock:
            draw.broken, draw.aside = draw.broken + broken, draw.aside + bool(broken)
            draw.asked, draw.seconds = (
                draw.asked + int((draw.items.copies[places] > 0).sum()),
                draw.seconds + float(table["seconds"].sum()),
            )
        return draw, int(draw.items.copies[places].sum())

    lock = threading.Lock()
    tasks = [
        (number, shard) for number, draw in enumerate(draws) for shard in range(len(draw.todo))
    ]
    at_once = max(1, min(len(annotators), len(tasks)))  # they share the machine's time
    return share(annotators, tasks, do, lambda task: meter.admit(len(draws[task[0]].todo[task[1]])))


def _complete(
    annotator: Annotator,
    draw: _Draw,
    examples: pd.DataFrame,
    label_set: Sequence[str],
    config: AnnotateConfig,
    seed: int,
) -> Annotations:
    """The annotations table of a draw whose answers are all there."""
    if draw.broken:
        raise Incomplete(
            f"{annotator.name} gave log probabilities that are not numbers for {draw.broken} texts of draw {draw.prompt.draw}. {draw.aside} shards "
            f"with them are set aside in {draw.folder.path}; all others are kept. Try -P annotator_dtype=float32 (or bfloat16 for float16)."
        )
    items, question = draw.items, draw.folder.path.name
    row_keys = items.keys.take(pa.array(items.rows))
    free = (
        draw.folder.answers(pa.array(keys(CONTENT_FREE)))
        if config.calibration == "contextual"
        else None
    )
    prior = (
        log_mean(class_columns(free, label_set, RAW_LOG_PROBABILITY)) if free is not None else None
    )
    raw = draw.folder.answers(row_keys)
    raw.insert(0, "example_id", examples["example_id"].to_numpy(dtype=object))
    raw.insert(1, "draw", draw.prompt.draw)
    raw["example_id"] = raw["example_id"].astype("str")
    for column in ("requests", "generated_tokens"):  # answers of earlier versions do not say
        raw[column] = (
            (raw[column] if column in raw else pd.Series(1, index=raw.index))
            .fillna(1)
            .astype("int64")
        )
    table = calibrate(raw, label_set, str(config.calibration), prior)
    del raw
    if config.repeats:
        table = with_repeats(table, label_set, config.repeats, config.temperature, seed)
    check("annotations", table, label_set)
    name = digest(
        [
            question,
            _hash(table["example_id"]),
            _hash(table[KEY]),
            *([sampling(config)] if SAMPLING in table else []),
        ]
    )
    reused = int((items.copies > 0).sum()) - draw.fetched - draw.asked
    return Annotations(
        table,
        draw.prompt,
        question,
        name,
        draw.asked,
        reused,
        draw.fetched,
        draw.seconds,
        free,
        draw.sources,
    )


def _hash(column: pd.Series) -> str:
    return content_hash(column.to_frame())


def calibrate(
    raw: pd.DataFrame,
    label_set: Sequence[str],
    calibration: str,
    log_prior: np.ndarray | None = None,
) -> pd.DataFrame:
    """The annotations table of raw answers: class probabilities divided by a prior, the label their argmax (ties: the first class).

    ``batch`` takes the prior from ``raw`` itself, one draw over one split; ``contextual`` needs ``log_prior``. Neither can be done
    where an answer lacks a class's probability; texts without an answer have no part in it.
    """
    values = class_columns(raw, label_set, RAW_LOG_PROBABILITY).copy()
    names = np.array([*label_set, None], dtype=object)
    labels = names[raw["answer"].to_numpy()]
    if calibration != "none":
        _check_calibration(raw, label_set, calibration)
        answered = raw["answer"].to_numpy() >= 0
        prior = (
            log_mean(values[answered]) if calibration == "batch" or log_prior is None else log_prior
        )
        if np.isnan(prior).any():
            raise AssayError(
                "calibration=contextual needs an annotator that can be asked about content-free inputs. Use -P calibration=batch or none."
            )
        values[answered] = divide_by_prior(values[answered], prior)
        labels[answered] = names[values[answered].argmax(axis=1)]
    kept = raw.drop(columns=["answer"])
    return with_class_columns(
        kept.assign(label=pd.Series(labels, index=raw.index, dtype="str")), values, label_set
    )


def _check_calibration(raw: pd.DataFrame, label_set: Sequence[str], calibration: str) -> None:
    unknown = np.isnan(class_columns(raw, label_set, RAW_LOG_PROBABILITY)).any(axis=1) & (
        raw["answer"].to_numpy() >= 0
    )
    if calibration != "none" and unknown.any():
        raise AssayError(
            f"calibration={calibration} needs every class's probability; {int(unknown.sum())} of {len(raw)} answers lack some (a server that "
            "lists only its top tokens, or labels without probabilities). Use -P calibration=none; the answers are kept."
        )


def with_repeats(
    table: pd.DataFrame, label_set: Sequence[str], n: int, temperature: float, seed: int
) -> pd.DataFrame:
    """``table`` with ``repeats`` (a list of class indices, -1 for no label) and ``consistency``, the share of repeats that give the modal label.

    Pangakis and Wolken (2024), section 3, ask the model again and again at a temperature. Where the exact distribution is known, the
    repeats are drawn from its ``temperature``-th root instead, which is what asking would draw from were replies held to
    the label set, and costs nothing. They are drawn before calibration, for every text by itself.
    """
    sampled = (
        table["repeats"].notna().to_numpy()
        if "repeats" in table
        else np.zeros(len(table), dtype=bool)
    )
    told = table[~sampled]
    values = class_columns(told, label_set, RAW_LOG_PROBABILITY)
    if np.isnan(values).any():
        raise AssayError(
            "repeats need every class's probability, or an annotator that samples. Use -P repeats=0."
        )
    drawn = np.empty((len(table), n), dtype=np.int64)
    names = [f"{seed}:{draw}:{key}" for draw, key in zip(told["draw"], told[KEY], strict=True)]
    drawn[~sampled] = sample(values, _uniform(names, n), temperature)
    if sampled.any():
        drawn[sampled] = table["repeats"][sampled].tolist()
    return table.assign(
        repeats=drawn.tolist(), consistency=label_counts(drawn.T, len(label_set)).max(axis=1) / n
    )


def _uniform(names: Sequence[str], n: int) -> npt.NDArray[np.float64]:
    """``n`` numbers in [0, 1) for every name, ``(n_names, n)``, that depend on the name alone: 53 bits each of its SHAKE-256."""
    bits = b"".join(hashlib.shake_256(name.encode()).digest(8 * n) for name in names)
    return np.asarray(
        (np.frombuffer(bits, dtype="<u8").reshape(len(names), n) >> np.uint64(11)) * 2.0**-53,
        dtype=np.float64,
    )


def raw_answers(table: pd.DataFrame, label_set: Sequence[str]) -> pd.DataFrame:
    """The raw answers that an annotations table was made of, as they stand on disk; the table may be somebody else's."""
    values = class_columns(table, label_set, RAW_LOG_PROBABILITY)
    known = ~np.isnan(values).all(axis=1)
    answer = np.where(
        known,
        np.where(np.isnan(values), -np.inf, values).argmax(axis=1),
        codes(table["label"], label_set),
    )
    told = [
        name for name in ("requests", "generated_tokens", "seconds") if name in table
    ]  # runs of earlier versions do not say
    columns = [KEY, "label_mass", "log_bound", "truncated", "prompt_tokens", *told, "error"]
    columns += [RAW_LOG_PROBABILITY + label for label in label_set]
    if missing := [
        name
        for name in (*columns, *(["repeats"] if SAMPLING in table else []))
        if name not in table
    ]:
        raise AssayError(f"the annotations lack the columns {', '.join(missing)}.")
    if SAMPLING in table:  # repeats that were drawn from a distribution are no answers
        table = table.assign(repeats=table["repeats"].where(table[SAMPLING].notna(), None))
        columns += ["repeats", SAMPLING]
    seconds = table.get("seconds", 0.0)
    return checked_answers(
        table[columns].assign(answer=answer.astype(np.int32), seconds=seconds).drop_duplicates(KEY),
        label_set,
    )
