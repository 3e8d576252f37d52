"""A tracking store with made-up runs that have the content of a real experiment.

Nothing is trained and no model is loaded.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow import MlflowClient

from benchmarks.million import HashAnnotator, short_texts
from entrypoints.wiring.annotation_runs import annotate_split
from entrypoints.wiring.annotation_session import AnnotationSession
from entrypoints.wiring.conditions import Condition, SplitAnnotations
from entrypoints.wiring.invocation import Invocation
from entrypoints.wiring.replicates import replicate_conditions
from entrypoints.wiring.seed_runs import FinishedSeed, log_seed
from entrypoints.wiring.setup import log_setup
from project.annotation.cost import Meter
from project.annotation.engines.base import Answers, Arrived
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
from project.training.history import Evaluation
from project.training.predict import predictions_table
from project.training.results import PREDICTIONS, RESULT, SeedResult

TRAIN = 1000
TEST = 2000
SEEDS = 5
DRAWS = 5
ARMS = "gold,llm,majority,ensemble,entropy,random"
SHARES = "5,10,25"  # together with the kinds above: ten arms

_N_OTHER = 400  # texts for demonstrations and validation
_LEAN = 3.0  # what the class named by the text gains in the annotator's logits
_NAMED = 0.85  # share of texts that name their gold class
_CLASS_SHARES = (0.4, 0.3, 0.2, 0.1)
_CERTAINTY = 5.0  # what the predicted class gains in the classifier's logits
_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "ASSAY_CACHE",
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
)


class NamedAnnotator(HashAnnotator):
    """A hash of prompt and text, with a lean to the class that ends the text.

    Draws differ, and most labels are right.
    """

    def read(self, prompt: Prompt, items: Sequence[str], arrived: Arrived | None = None) -> Answers:
        """See :class:`project.annotation.engines.base.Annotator`."""
        noise = super().read(prompt, [f"{prompt.before}{item}" for item in items])
        answers = [answer.strip() for answer in prompt.answers]
        named = np.array([[item.endswith(answer) for answer in answers] for item in items])
        return dataclasses.replace(
            noise, log_probabilities=log_normalise(noise.log_probabilities + _LEAN * named)
        )


@contextlib.contextmanager
def new_store() -> Iterator[Path]:
    """The folder of an empty SQLite store, which MLflow and Assay use inside the context."""
    before = {name: os.environ.pop(name, None) for name in _VARIABLES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uri = f"sqlite:///{folder / 'mlflow.db'}"
        os.environ["MLFLOW_TRACKING_URI"] = uri
        os.environ["ASSAY_CACHE"] = str(folder / "cache")
        mlflow.set_tracking_uri(uri)
        try:
            MlflowClient().create_experiment(
                EXPERIMENT, artifact_location=str(folder / "artifacts")
            )
            yield folder
        finally:
            mlflow.set_tracking_uri("")
            for variable, value in before.items():
                os.environ.pop(variable, None)
                if value is not None:
                    os.environ[variable] = value


def experiment(
    folder: Path,
    *,
    arm_kinds: str = ARMS,
    shares: str = SHARES,
    seeds: int = SEEDS,
    n_test: int = TEST,
) -> str:
    """Log an experiment with its annotations and seeds; returns the root run's id.

    Parameters
    ----------
    folder
        Where files are written.
    arm_kinds, shares, seeds
        Values of the parameters ``arms``, ``replace_share`` and ``seeds``.
    n_test
        Number of test examples.
    """
    write_table(folder / "texts.parquet", _texts(TRAIN + n_test + _N_OTHER))
    params = {
        "data": str(folder / "texts.parquet"),
        "max_train": str(TRAIN),
        "max_test": str(n_test),
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
        config.prompt,
        task.label_set,
        task.description,
        task.split("demonstration"),
        n_draws=DRAWS,
    )
    session = AnnotationSession([NamedAnnotator()], prompts, Meter(config.spend))
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
            annotator=session.annotator,
            encoder=encoder,
            design={"replicates": {arm.name: seeds for arm in compared}},
        )
        train = annotate_split(tracker, session, task, split="train", n_draws=DRAWS, config=config)
        annotate_split(tracker, session, task, split="test", n_draws=1, config=config)
        logger = _SeedLogger(tracker, encoder, task, config, folder)
        annotations = SplitAnnotations(train)
        for condition in replicate_conditions(compared, task, annotations, config):
            for seed in condition.seeds:
                logger.log(condition, seed)
        return tracker.run_id


def _texts(n: int) -> pd.DataFrame:
    """Made-up listings; most texts end with their gold class, the others with any class."""
    labels = load_task(experiment_config({}).task).label_set
    random = np.random.default_rng(0)
    gold = random.choice(len(labels), n, p=_CLASS_SHARES)
    named = np.where(random.random(n) < _NAMED, gold, random.integers(len(labels), size=n))
    texts = [
        f"{first} {second} {labels[code]}"
        for first, second, code in zip(short_texts(0, n), short_texts(n, n), named, strict=True)
    ]
    return pd.DataFrame(
        {
            "listing_id": [f"listing-{number}" for number in range(n)],
            "text": texts,
            "label": [labels[code] for code in gold],
        }
    )


@dataclass(frozen=True)
class _SeedLogger:
    """Logs made-up predictions as an experiment logs those of a trained seed."""

    tracker: Tracker
    encoder: Encoder
    task: Task
    config: ExperimentConfig
    folder: Path

    def log(self, condition: Condition, seed: int) -> None:
        """Log predictions; the more labels of the condition are right, the better they are."""
        digest = hashlib.sha256(f"{condition.name} {seed}".encode()).hexdigest()[:16]
        random = np.random.default_rng([int(digest[:8], 16), seed])
        predictions = self._predictions(condition, random)
        write_table(self.folder / PREDICTIONS, predictions)
        write_atomically(self.folder / RESULT, b"{}")
        result = SeedResult(
            folder=self.folder,
            predictions=predictions,
            history=[_evaluation(number) for number in (1, 2, 3)],
            seconds=60.0 + seed,
            batching="packed",
            reused=False,
        )
        scores = evaluate(predictions, self.task.split("test"), self.task.label_set)
        finished = FinishedSeed(
            condition=condition,
            seed=seed,
            digest=digest,
            schedules=(),
            result=result,
            scores=scores,
            seconds=result.seconds,
            not_learned=False,
        )
        log_seed(self.tracker, self.encoder, self.task, finished, config=self.config)

    def _predictions(self, condition: Condition, random: np.random.Generator) -> pd.DataFrame:
        """A predictions table of the test split."""
        label_set = self.task.label_set
        test = self.task.split("test")
        gold = codes(test["gold_label"], label_set)
        examples = condition.examples
        truth = dict(zip(examples["example_id"], examples["gold_label"], strict=True))
        labels = condition.labels
        right = float((labels["label"] == labels["example_id"].map(truth)).mean())
        predicted = np.where(
            random.random(len(gold)) < 0.5 + 0.4 * right,
            gold,
            random.integers(len(label_set), size=len(gold)),
        )
        noise = random.normal(size=(len(gold), len(label_set)))
        logits = noise + _CERTAINTY * np.eye(len(label_set))[predicted]
        return predictions_table(list(test["example_id"]), log_normalise(logits), label_set)


def _evaluation(number: int) -> Evaluation:
    return Evaluation(
        number=number,
        training_loss=0.5,
        validation_accuracy=0.8,
        validation_macro_f1=0.8,
        learning_rate=1e-5,
        texts_per_second=100.0,
    )
