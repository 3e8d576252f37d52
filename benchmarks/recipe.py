r"""Fine-tune encoders over training sizes, steps and learning rates, to choose a recipe.

    python -m benchmarks.recipe FOLDER --out trainings.jsonl --sizes 50,400 --steps 150 \
        --rates 5e-5,1e-4,2e-4,4e-4
    python -m benchmarks.recipe --table trainings.jsonl

FOLDER holds parquet files with ``text`` and ``label`` (gold). Every training is one line of the
file; those that stand there are not made again, so the command may be stopped and repeated. The
classifier of the last step predicts the test texts: there are no validation texts, so that the
choice among epochs does not hide a bad recipe. Each size has a logistic regression on frozen
embeddings beside it. Trainings run one after the other in one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from benchmarks.labelled_texts import Data, add_line, lines, load, macro_f1, measure_or_show
from project.config.finetune import LINEAR, FinetuneConfig
from project.stats.types import Codes
from project.training.checkpoint import Checkpoint
from project.training.embeddings import embed
from project.training.encoder import Encoder
from project.training.inputs import Phase, TrainingInputs
from project.training.linear import LinearClassifier, principal_components
from project.training.loop import train
from project.training.predict import predict

_NOTHING = np.empty(0, dtype=np.int64)


def _test_f1(data: Data, answers: Codes) -> float:
    """Macro-F1 of the test texts, in [0, 1]."""
    return macro_f1(data.gold[: data.n_test], answers, data.n_classes)


def fine_tuned(
    data: Data, encoder: Encoder, config: FinetuneConfig, training: Mapping[str, Any], folder: Path
) -> dict[str, float]:
    """Fine-tune on some texts of ``data``; returns scores and what the training took."""
    rows = data.train(training["size"], training["seed"])
    targets = np.eye(data.n_classes)[data.gold[rows]]
    config = dataclasses.replace(
        config,
        learning_rate=training["rate"],
        epochs=1,
        min_steps=training["steps"],
    )
    began = time.perf_counter()
    inputs = TrainingInputs(
        tokens=encoder.tokens(data.texts, folder / "tokens"),
        phases=(Phase(rows, targets, np.ones(len(rows))),),
        validation_indices=_NOTHING,
        validation_labels=_NOTHING,
    )
    model = train(
        encoder,
        config,
        inputs,
        seed=training["seed"],
        checkpoint=Checkpoint(folder / "none", "", 1e9),
        after_evaluation=lambda evaluation: None,
    )
    predicted = predict(
        model.batching,
        inputs.tokens,
        np.arange(data.n_test),
        precision=encoder.precision,
        batch_size=64,
    )
    return {
        "macro_f1": _test_f1(data, predicted.argmax(axis=1)),
        "loss": model.history[-1].training_loss,
        "done_steps": model.history[-1].step,
        "seconds": time.perf_counter() - began,
    }


def linear(data: Data, training: Mapping[str, Any], folder: Path) -> dict[str, float]:
    """A logistic regression on frozen embeddings of the same texts."""
    rows = data.train(training["size"], training["seed"])
    vectors = embed(data.texts, folder, progress=lambda n: None)
    points = principal_components(vectors, fit_on=slice(data.n_test, None))
    model = LinearClassifier(points, data.n_classes)
    answers = model.predict(rows, data.gold[rows], np.arange(data.n_test))
    return {"macro_f1": _test_f1(data, answers)}


def grid(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """What is to be trained: one dictionary a training."""
    for seed, size in itertools.product(range(options.seeds), options.sizes):
        yield {"encoder": LINEAR, "size": size, "seed": seed}
        for steps, rate in itertools.product(options.steps, options.rates):
            yield {
                "encoder": options.encoder,
                "size": size,
                "seed": seed,
                "steps": steps,
                "rate": rate,
            }


def measure(options: argparse.Namespace) -> None:
    """Make the trainings that the file does not have yet."""
    torch.set_num_threads(1)
    config = FinetuneConfig(encoder=options.encoder, max_length=options.max_length)
    encoder = Encoder.find(config)
    done = {_key(line) for line in lines(options.out)}
    for name in options.names or sorted(path.stem for path in options.folder.glob("*.parquet")):
        pool = options.pool or max(options.sizes)
        data = load(options.folder / f"{name}.parquet", options.test, pool)
        with tempfile.TemporaryDirectory() as folder:
            for training in grid(options):
                training["data"] = name
                if _key(training) in done:
                    continue
                if training["encoder"] == LINEAR:
                    found = linear(data, training, Path(folder))
                else:
                    found = fine_tuned(data, encoder, config, training, Path(folder))
                done.add(_key(training))
                add_line(options.out, {**training, "max_length": options.max_length, **found})


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells one training from another."""
    return tuple(line.get(name) for name in ("data", "encoder", "size", "seed", "steps", "rate"))


def table(trainings: Sequence[Mapping[str, Any]]) -> str:
    """Macro-F1 x 100: a row for each data set, size and encoder, a column for each recipe."""
    frame = pd.DataFrame(trainings)
    keys = ["data", "size"]
    is_linear = frame["encoder"] == LINEAR
    tuned = frame[~is_linear].assign(encoder=lambda rows: [Path(x).name for x in rows["encoder"]])
    by_recipe = tuned.pivot_table(
        index=[*keys, "encoder"], columns=["steps", "rate"], values="macro_f1", aggfunc="mean"
    )
    by_recipe.columns = [f"{steps:.0f} at {rate:g}" for steps, rate in by_recipe.columns]
    frozen = frame[is_linear].groupby(keys)["macro_f1"].mean().rename(LINEAR)
    joined = by_recipe.join(frozen, on=keys)
    return (100 * joined).round(1).to_string(na_rep="-")


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or print the table of what was trained."""
    return measure_or_show(_parser().parse_args(arguments), measure, table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="folder of parquet files")
    parser.add_argument("--out", type=Path, default=Path("trainings.jsonl"), help="result file")
    parser.add_argument("--table", type=Path, help="result file to print as a table")
    parser.add_argument("--names", type=lambda text: text.split(","), help="files; default: all")
    parser.add_argument("--encoder", default="bundled", help="as the parameter of that name")
    parser.add_argument("--sizes", type=_numbers(int), default=[50, 400], help="training texts")
    parser.add_argument("--steps", type=_numbers(int), default=[150], help="least steps")
    parser.add_argument("--rates", type=_numbers(float), default=[1e-4], help="learning rates")
    parser.add_argument("--seeds", type=int, default=1, help="draws of the training texts")
    parser.add_argument("--test", type=int, default=600, help="texts to predict")
    parser.add_argument(
        "--pool", type=int, help="texts that training texts are drawn from; default: largest size"
    )
    parser.add_argument("--max_length", type=int, default=48, help="tokens of a text")
    return parser


def _numbers(kind: type) -> Any:
    return lambda text: [kind(part) for part in text.split(",")]


if __name__ == "__main__":
    sys.exit(main())
