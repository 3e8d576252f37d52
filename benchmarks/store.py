"""A tracking store with synthetic runs that hold what those of a real experiment hold; nothing is trained, no model is loaded."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import sqlite3
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from benchmarks.million import HashAnnotator, short_texts
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.conditions import Condition, SplitAnnotations, replicate_conditions
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.seed_runs import log_seed
from entrypoints.wiring.setup import log_setup
from project.annotation.cost import Meter
from project.annotation.engines.base import Answers
from project.annotation.prompt import Prompt, build_prompts
from project.config.experiment import ExperimentConfig, experiment_config
from project.data.tables import codes
from project.data.task import Task, load_task
from project.labels.sources import arms
from project.stats.information import log_normalise
from project.support.files import write_atomically
from project.support.models import ModelSource
from project.support.parquet import write_table
from project.tracking import EXPERIMENT, Tracker, root_run
from project.training.encoder import Encoder
from project.training.evaluate import evaluate
from project.training.results import PREDICTIONS, RESULT, SeedResult
from project.training.predict import predictions_table
from project.training.history import Epoch

TRAIN, TEST, SEEDS, DRAWS = 1000, 2000, 5, 5
SHARES = "5,10,25"  # with the arms below ten arms in all
ARMS = "gold,llm,majority,ensemble,entropy,random"
MINUTE = 60_000  # ms
_LIKELY = 3.0  # how much a class that the text names gains in the annotator's logits
_OF_A_RUN = {
    "tags": "run_uuid",
    "params": "run_uuid",
    "metrics": "run_uuid",
    "latest_metrics": "run_uuid",
}


class NamedAnnotator(HashAnnotator):
    """The hash of prompt and text, and a lean to the class that ends the text: draws differ, and most labels are right."""

    def read(self, prompt: Prompt, items: Sequence[str]) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        noise = super().read(prompt, [f"{prompt.before}{item}" for item in items])
        named = np.array(
            [[item.endswith(answer.strip()) for answer in prompt.answers] for item in items]
        )
        return dataclasses.replace(
            noise, log_probabilities=log_normalise(noise.log_probabilities + _LIKELY * named)
        )


@contextlib.contextmanager
def new_store() -> Iterator[Path]:
    """A folder with an empty sqlite store and a cache of its own, to which MLflow and Assay point in the context."""
    names = (
        "MLFLOW_TRACKING_URI",
        "ASSAY_CACHE",
        "MLFLOW_RUN_ID",
        "MLFLOW_EXPERIMENT_ID",
        "MLFLOW_EXPERIMENT_NAME",
    )
    before = {name: os.environ.pop(name, None) for name in names}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        os.environ.update(MLFLOW_TRACKING_URI=uri, ASSAY_CACHE=str(folder / "cache"))
        mlflow.set_tracking_uri(uri)
        try:
            MlflowClient().create_experiment(
                EXPERIMENT, artifact_location=str(folder / "artifacts")
            )
            yield folder
        finally:
            mlflow.set_tracking_uri("")
            for one, value in before.items():
                os.environ.pop(one, None)
                os.environ.update({one: value} if value is not None else {})


def experiment(
    folder: Path, *, arm_kinds: str = ARMS, shares: str = SHARES, seeds: int = SEEDS
) -> str:
    """Log an experiment with its annotations and seeds; returns the root run's id."""
    write_table(folder / "texts.parquet", _texts(TRAIN + TEST + 400))
    params = {
        "data": str(folder / "texts.parquet"),
        "max_train": str(TRAIN),
        "max_test": str(TEST),
        "ensemble_size": str(DRAWS),
        "calibration": "none",
        "arms": arm_kinds,
        "replace_share": shares,
        "seeds": str(seeds),
        "workspace": str(folder / "work"),
    }
    config = experiment_config(params)
    task = load_task(config.task)
    config = config.resolved(task.defaults)
    prompts = build_prompts(
        config.prompt, task.label_set, task.description, task.split("demonstration"), DRAWS
    )
    asked = AnnotationSession([NamedAnnotator()], prompts, Meter(config.spend))
    compared = arms(config.label, DRAWS)
    encoder = Encoder(ModelSource("synthetic", "", None, "synthetic"), "fp32", 256)
    with (
        contextlib.redirect_stdout(sys.stderr),
        root_run("experiment", task.name, params) as tracker,
    ):
        log_setup(
            tracker,
            Invocation("main", params),
            task,
            config,
            arms=[arm.name for arm in compared],
            annotator=asked.annotator,
            encoder=encoder,
            design={"replicates": {arm.name: seeds for arm in compared}},
        )
        train = annotate_split(tracker, asked, task, "train", DRAWS, config)
        annotate_split(tracker, asked, task, "test", 1, config)
        for one in replicate_conditions(compared, task, SplitAnnotations(train), config):
            for seed in one.seeds:
                _log_seed(tracker, encoder, task, one, seed, config, folder)
        return tracker.run_id


def _texts(n: int) -> pd.DataFrame:
    """Listings whose gold classes are of uneven size; 85 per cent of the texts end in their class, the others in any."""
    labels = load_task(experiment_config({}).task).label_set
    random = np.random.default_rng(0)
    gold = random.choice(len(labels), n, p=[0.4, 0.3, 0.2, 0.1])
    named = np.where(random.random(n) < 0.85, gold, random.integers(len(labels), size=n))
    texts = [
        f"{one} {two} {labels[at]}"
        for one, two, at in zip(short_texts(0, n), short_texts(n, n), named, strict=True)
    ]
    return pd.DataFrame(
        {
            "listing_id": [f"listing-{number}" for number in range(n)],
            "text": texts,
            "label": [labels[at] for at in gold],
        }
    )


def _log_seed(
    tracker: Tracker,
    encoder: Encoder,
    task: Task,
    one: Condition,
    seed: int,
    config: ExperimentConfig,
    folder: Path,
) -> None:
    """Log predictions that are as often right as the labels of ``one``, as an experiment logs a trained seed."""
    digest = hashlib.sha256(f"{one.name} {seed}".encode()).hexdigest()[:16]
    predictions = _predictions(task, one, np.random.default_rng([int(digest[:8], 16), seed]))
    write_table(folder / PREDICTIONS, predictions)
    write_atomically(folder / RESULT, b"{}")
    history = [Epoch(number, 0.5, 0.8, 0.8, 1e-5, texts_per_second=100.0) for number in (1, 2, 3)]
    result = SeedResult(folder, predictions, history, 60.0 + seed, "packed", reused=False)
    log_seed(
        tracker,
        encoder,
        task,
        one,
        seed,
        digest,
        result,
        evaluate(predictions, task.split("test"), task.label_set),
        result.seconds,
        config,
    )


def _predictions(task: Task, one: Condition, random: np.random.Generator) -> pd.DataFrame:
    gold = codes(task.split("test")["gold_label"], task.label_set)
    truth = dict(zip(one.examples["example_id"], one.examples["gold_label"], strict=True))
    right = float((one.labels["label"] == one.labels["example_id"].map(truth)).mean())
    learned = np.where(
        random.random(len(gold)) < 0.5 + 0.4 * right,
        gold,
        random.integers(len(task.label_set), size=len(gold)),
    )
    logits = (
        random.normal(size=(len(gold), len(task.label_set)))
        + 5.0 * np.eye(len(task.label_set))[learned]
    )
    return predictions_table(
        list(task.split("test")["example_id"]), log_normalise(logits), task.label_set
    )


def copies(folder: Path, run_id: str, n: int) -> None:
    """Copy the seed run ``run_id`` ``n`` times within the store's tables, each 7 minutes later, with a seed and metrics of its own."""
    random = np.random.default_rng(0)
    names = [uuid.UUID(bytes=random.bytes(16)).hex for _ in range(n)]
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        later = {"start_time", "end_time"}

        def run_value(column: str, value: object, number: int) -> object:
            if column == "artifact_uri":
                return str(value).replace(run_id, names[number])
            return int(str(value)) + 7 * MINUTE * (number + 1) if column in later else value

        _copy(database, "runs", "run_uuid", run_id, names, run_value)
        for table, column in _OF_A_RUN.items():
            _copy(database, table, column, run_id, names, lambda column, value, _: value)
        seeds = [(str(number + 1), name) for number, name in enumerate(names)]
        database.executemany(
            "UPDATE params SET value = ? WHERE run_uuid = ? AND key IN ('seed', 'replicate')", seeds
        )
        shift = [(number / n / 100, name) for number, name in enumerate(names)]
        for table in ("metrics", "latest_metrics"):
            database.executemany(
                f"UPDATE {table} SET value = value - ? WHERE run_uuid = ? AND key LIKE 'test.%'",
                shift,
            )
        _copy_inputs(database, run_id, names)


def _copy(
    database: sqlite3.Connection,
    table: str,
    key: str,
    run_id: str,
    names: Sequence[str],
    made: Callable[[str, object, int], object],
) -> None:
    """Copy the rows of ``run_id`` in ``table`` for each of ``names``, which take its place; ``made`` gives the other columns' values."""
    found = database.execute(f"SELECT * FROM {table} WHERE {key} = ?", [run_id])
    columns = [one[0] for one in found.description]
    rows = [
        [
            name if column == key else made(column, value, number)
            for column, value in zip(columns, row, strict=True)
        ]
        for row in found.fetchall()
        for number, name in enumerate(names)
    ]
    database.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})", rows)


def _copy_inputs(database: sqlite3.Connection, run_id: str, names: Sequence[str]) -> None:
    """The data sets of the run, each link with its tags and an id of its own."""
    for (link,) in database.execute(
        "SELECT input_uuid FROM inputs WHERE destination_id = ?", [run_id]
    ).fetchall():
        links = [uuid.uuid4().hex for _ in names]
        _copy(
            database,
            "inputs",
            "input_uuid",
            link,
            links,
            lambda column, value, number: names[number] if column == "destination_id" else value,
        )
        _copy(database, "input_tags", "input_uuid", link, links, lambda column, value, _: value)
