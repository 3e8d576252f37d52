"""A call of the monitor: a new batch, a batch that was seen before, or its labelled spot check."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from entrypoints.wiring.monitor_batches import Monitor, number_of, open_monitor
from entrypoints.wiring.monitor_labelled import publish_accuracy
from entrypoints.wiring.monitor_publish import Call, publish_batch
from entrypoints.wiring.monitor_texts import (
    Facts,
    Predicted,
    Side,
    Source,
    corpus_source,
    facts_of,
    list_source,
    predicted,
    sample_table,
)
from entrypoints.wiring.predict_choice import Choice, choose
from entrypoints.wiring.predict_run import DEFAULT_COLUMN, saved_classifiers
from entrypoints.wiring.predict_where import Place, open_place
from entrypoints.wiring.question_sheet import load_codebook
from entrypoints.wiring.setup import check_store
from entrypoints.wiring.terminal import print_line
from project.config.fields import parse
from project.config.monitor import MonitorConfig
from project.data.corpus import open_corpus
from project.stats.types import Codes
from project.support.claims import Claim
from project.support.errors import AssayError
from project.support.files import digest, write_atomically
from project.support.parquet import read_table, write_table
from project.tracking import (
    PRIVATE,
    VERDICT,
    VERDICT_REASON,
    Record,
    classifier_files,
)


def run_monitor(params: Mapping[str, str]) -> None:
    """Compare a batch with the old texts, or estimate the accuracy in one that was labelled.

    Raises AssayError for input that cannot be used, before anything is logged.
    """
    config = parse(MonitorConfig, params)
    config.check_complete()
    load_codebook(config.codebook)
    check_store(config.workspace)
    choice = choose(config.texts(config.data), config.seeds)
    print_line(f"monitor: {choice.sentence}")
    with contextlib.ExitStack() as stack:
        files = [
            stack.enter_context(classifier_files(run.run_id, model_id))
            for run, model_id in zip(choice.runs, choice.model_ids, strict=True)
        ]
        text_column = config.text_column or files[0].text_column or DEFAULT_COLUMN
        new = _read(config, "data", config.data, text_column)
        old, gold = _old_texts(config, choice, text_column)
        saved = saved_classifiers(files)
        place = stack.enter_context(open_place(config.texts(config.data), saved))
        settings = [config.sample_size, place.precision]
        key = digest([list(choice.model_ids), old.digest, *settings])[:16]
        stack.enter_context(_alone(Path(config.workspace), key))
        monitor = open_monitor(key, Path(config.workspace))
        seen = monitor.find(new.digest)
        call = Call(params, config, choice, monitor, _rng(key, new.digest))
        if config.human:
            publish_accuracy(call, seen, new)
        elif seen is not None:
            print_line(
                f"monitor: {new.name} is batch {number_of(seen)} of this monitor (run "
                f"{seen.run_id}) already. Nothing is computed, and it does not count twice. "
                f"{seen.tags.get(VERDICT_REASON, '')}{_since(monitor, seen)}"
            )
        else:
            _compare(call, place, old, gold, new)


def _since(monitor: Monitor, seen: Record) -> str:
    """What the newest batch says, in case it is another one than ``seen``."""
    newest = monitor.batches[-1]
    if newest.run_id == seen.run_id:
        return ""
    return f" After batch {number_of(newest)}: {newest.tags.get(VERDICT, 'unknown')}."


def _compare(call: Call, place: Place, old: Source, gold: Codes | None, new: Source) -> None:
    """Predict what is not predicted yet, and publish the comparison."""
    classifiers = place.load()
    side = _kept_side(call.monitor.folder)
    if side is None:
        rng = _rng(call.monitor.key, old.digest)
        side = _side(call, place, old, predicted(old, classifiers), gold=gold, rng=rng)
        _keep_side(call.monitor.folder, side)
    texts = predicted(new, classifiers)
    side_of_new = _side(call, place, new, texts, gold=None, rng=call.rng)
    publish_batch(call, (old, side), (new, side_of_new), texts)


def _side(
    call: Call,
    place: Place,
    source: Source,
    texts: Predicted,
    *,
    gold: Codes | None,
    rng: np.random.Generator,
) -> Side:
    """The numbers to show of predicted texts, and the random part that the tests read."""
    facts = facts_of(texts, len(call.choice.experiment.label_set), gold)
    sample = sample_table(
        source,
        texts,
        call.config.sample_size,
        Path(call.config.workspace),
        rng=rng,
        cluster=place.embedding,
    )
    return Side(facts, sample)


def _keep_side(folder: Path, side: Side) -> None:
    """Keep what was computed of the old texts; the table is written last."""
    write_atomically(folder / "old.json", json.dumps(side.facts._asdict()).encode())
    write_table(folder / "old.parquet", side.sample)


def _kept_side(folder: Path) -> Side | None:
    """What was computed of the old texts by an earlier call; None if there is nothing."""
    if not (folder / "old.parquet").is_file():
        return None
    facts = json.loads((folder / "old.json").read_text(encoding="utf-8"))
    facts["scores"] = {name: tuple(pair) for name, pair in facts["scores"].items()}
    return Side(Facts(**facts), read_table(folder / "old.parquet"))


def _read(config: MonitorConfig, parameter: str, data: str, text_column: str) -> Source:
    """The texts that a parameter names; AssayError if there are none."""
    try:
        corpus = open_corpus(config.texts(data), text_column, ())
    except AssayError as error:
        if parameter == "data" or not str(error).startswith("data "):
            raise
        raise AssayError(f"{parameter}{str(error).removeprefix('data')}") from None
    source = corpus_source(corpus, Path(data).name)
    if not source.n:
        raise AssayError(
            f"{parameter} must hold texts; all {corpus.n_rows} rows of {source.name} are empty in "
            f"the column {text_column}. Name another column in text_column, or another file."
        )
    if source.n_without_text:
        print_line(
            f"monitor: {source.n_without_text} of {corpus.n_rows} rows of {source.name} have no "
            "text and are left out."
        )
    return source


def _old_texts(
    config: MonitorConfig, choice: Choice, text_column: str
) -> tuple[Source, Codes | None]:
    """The old texts, and their gold labels where they are the experiment's test texts."""
    if config.reference:
        return _read(config, "reference", config.reference, text_column), None
    experiment = choice.experiment
    if experiment.root.tags.get(PRIVATE) == "true":
        raise AssayError(
            f"reference must name the old texts: run {experiment.root.run_id} is private, so that "
            "the store has no texts of it. Set reference to a file with its test texts, or with an "
            "earlier batch."
        )
    # Only the test texts: on texts that it was trained on, a classifier is surer of itself.
    return list_source(list(experiment.test["text"]), "the test texts"), experiment.gold


@contextlib.contextmanager
def _alone(workspace: Path, key: str) -> Iterator[None]:
    """Keep other processes from adding a batch to the same monitor; they are refused."""
    claim = Claim(workspace / "monitors" / f"{key}.lock")
    try:
        if not claim.take():
            raise AssayError(
                f"data must wait: {claim.owner} adds a batch to this monitor. Run again when it "
                "is done."
            )
        yield
    finally:
        claim.close()


def _rng(key: str, texts: str) -> np.random.Generator:
    """A generator that depends on the monitor and on the texts, so that a rerun draws the same."""
    return np.random.default_rng(int(digest([key, texts])[:16], 16))
