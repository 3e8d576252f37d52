r"""Does it flatter the LLM's arm that gold labels pick its weights? By trainings on given labels.

    python -m benchmarks.validation_labels FOLDER --out picked.jsonl --seeds 5 \
        --pairs babe:llm_label__gpt_4,phrasebank:llm_label__mixtral
    python -m benchmarks.validation_labels --table picked.jsonl

FOLDER holds parquet files with ``text``, ``label`` (gold) and columns of LLM labels; a pair is a
file and such a column. A training on the LLM's labels predicts the validation and the test texts at
each of its evaluations. Gold labels and the LLM's of the same validation texts each pick one of
these, as ``validation_labels=gold`` and ``=arm`` do. So one training serves both choices. Every
training is one line of the file; those that stand there are not made again, so the command may be
stopped and repeated. Trainings run one after the other in one thread.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from benchmarks.labelled_texts import Data, add_line, lines, load, macro_f1, measure_or_show
from project.config.finetune import FinetuneConfig
from project.config.recipe import EVALUATIONS, with_recipe
from project.stats.types import Codes, Floats
from project.training.batching import choose_batching
from project.training.checkpoint import Checkpoint, Tensors, TrainingState
from project.training.encoder import Encoder
from project.training.history import Evaluation
from project.training.inputs import Phase, TrainingInputs
from project.training.loop import train
from project.training.predict import predict
from project.training.tokens import Tokens

_NOTHING = np.empty(0, dtype=np.int64)
_EVAL_BATCH = 64


class Recorder(Checkpoint):
    """Predicts some texts at every evaluation but the last; nothing is saved."""

    def __init__(
        self,
        encoder: Encoder,
        config: FinetuneConfig,
        tokens: Tokens,
        texts: Codes,
        *,
        n_classes: int,
        folder: Path,
    ) -> None:
        """Make a model of its own, which takes over the weights of the one in training.

        ``texts`` are the positions of the texts to predict.
        """
        super().__init__(folder / "none", "", float("inf"))
        self._model = encoder.model(n_classes, config)
        self._batching = choose_batching(self._model, config.batching, encoder.precision)
        self._predicted = (encoder.precision, tokens, texts)
        self.answers: list[Codes] = []

    def save(self, state: TrainingState, history: Sequence[Evaluation], best: Tensors) -> None:
        """Predict the texts with the weights of ``state``."""
        own = dict(self._model.named_parameters())
        with torch.no_grad():
            for name, value in state.parameters.items():
                own[name].copy_(value)
        precision, tokens, texts = self._predicted
        self.answers.append(_answers(self._batching, tokens, texts, precision))


def _answers(batching: Any, tokens: Tokens, texts: Codes, precision: str) -> Codes:
    found = predict(batching, tokens, texts, precision=precision, batch_size=_EVAL_BATCH)
    return found.argmax(axis=1)


def picked(
    data: Data, encoder: Encoder, config: FinetuneConfig, options: argparse.Namespace, seed: int
) -> dict[str, Any]:
    """One training on the LLM's labels; the scores of each evaluation, in their order."""
    began = time.perf_counter()
    drawn = data.train(options.validation + options.size, seed)
    validation, rows = drawn[: options.validation], drawn[options.validation :]
    rows = rows[data.annotated[rows] >= 0]
    texts = np.concatenate([validation, np.arange(data.n_test)])
    targets = np.eye(data.n_classes)[data.annotated[rows]]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = TrainingInputs(
            tokens=encoder.tokens(data.texts, folder / "tokens"),
            phases=(Phase(rows, targets, np.ones(len(rows))),),
            validation_indices=_NOTHING,  # so that the weights of the last step stay
            validation_labels=_NOTHING,
        )
        recorder = Recorder(
            encoder, config, inputs.tokens, texts, n_classes=data.n_classes, folder=folder
        )
        model = train(
            encoder,
            config,
            inputs,
            seed=seed,
            checkpoint=recorder,
            after_evaluation=lambda evaluation: None,
        )
        last = _answers(model.batching, inputs.tokens, texts, encoder.precision)
    answers = [*recorder.answers, last]

    def scores(labels: Codes, part: slice) -> list[float]:
        return [macro_f1(labels, one[part], data.n_classes) for one in answers]

    of_validation = slice(len(validation))
    return {
        "n_train": len(rows),
        "right": float((data.annotated == data.gold).mean()),
        "loss": [one.training_loss for one in model.history],
        "val_gold": scores(data.gold[validation], of_validation),
        "val_arm": scores(data.annotated[validation], of_validation),
        "test": scores(data.gold[: data.n_test], slice(len(validation), None)),
        "seconds": time.perf_counter() - began,
    }


def measure(options: argparse.Namespace) -> None:
    """Make the trainings that the file does not have yet, one seed of all pairs at a time."""
    torch.set_num_threads(1)
    config = FinetuneConfig(
        encoder=options.encoder,
        max_length=options.max_length,
        min_steps=options.steps,
        learning_rate=options.rate,
    )
    encoder = Encoder.find(config)
    done = {_key(line) for line in lines(options.out)}
    for seed in range(options.seeds):
        for name, column in options.pairs:
            path = options.folder / f"{name}.parquet"
            data = load(path, options.test, sys.maxsize, column)
            recipe = with_recipe(
                config, n_parameters=encoder.n_parameters, n_classes=data.n_classes
            )
            line = {
                "data": name,
                "llm": column,
                "seed": seed,
                "steps": recipe.min_steps,
                "rate": recipe.learning_rate,
            }
            if _key(line) in done:
                continue
            recipe = dataclasses.replace(recipe, evaluations=EVALUATIONS)
            add_line(options.out, {**line, **picked(data, encoder, recipe, options, seed)})


def _key(line: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells one training from another."""
    return tuple(line.get(name) for name in ("data", "llm", "seed", "steps", "rate"))


def choices(line: Mapping[str, Any]) -> dict[str, float]:
    """Macro-F1 of the test texts, x 100, at the evaluation that each rule picks.

    The earliest of several equally good ones is picked, as in training.
    """
    test = 100 * np.array(line["test"])
    return {
        "gold": float(test[np.argmax(line["val_gold"])]),
        "arm": float(test[np.argmax(line["val_arm"])]),
        "last": float(test[-1]),
        "best": float(test.max()),
    }


def difference(values: Floats) -> str:
    """The mean of ``(n,)`` differences with the limits of a 95 % t interval."""
    n = len(values)
    if n < 2:
        return f"{values.mean():+.1f}"
    half = stats.t.ppf(0.975, n - 1) * values.std(ddof=1) / np.sqrt(n)
    return f"{values.mean():+.1f} [{values.mean() - half:+.1f}, {values.mean() + half:+.1f}]"


def table(trainings: Sequence[Mapping[str, Any]]) -> str:
    """A row for each pair, and what gold labels gain over the arm's, with intervals."""
    frame = pd.DataFrame([{**line, **choices(line)} for line in trainings])
    frame["gold - arm"] = frame["gold"] - frame["arm"]
    by_pair = frame.groupby(["data", "llm"], sort=False)
    names = ["gold", "arm", "last", "best", "gold - arm"]
    shown = by_pair[names].mean().round(1)
    shown.insert(0, "seeds", by_pair.size())
    shown.insert(0, "right %", (100 * by_pair["right"].mean()).round(0))
    by_data = frame.groupby("data")["gold - arm"].mean()
    text = [shown.reset_index().to_string(index=False), ""]
    for first, second in (("gold", "arm"), ("gold", "last"), ("arm", "last")):
        change = frame[first] - frame[second]
        pairs = change.groupby([frame["data"], frame["llm"]]).mean().to_numpy()
        text.append(f"{first} - {second}: over pairs {difference(pairs)}")
    text.append(f"gold - arm: over data sets {difference(by_data.to_numpy())}")
    text.append(f"gold - arm: over trainings {difference(frame['gold - arm'].to_numpy())}")
    return "\n".join(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or print the table of what was trained."""
    return measure_or_show(_parser().parse_args(arguments), measure, table)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?", help="folder of parquet files")
    parser.add_argument("--pairs", type=_pairs, default=[], help="FILE:COLUMN,...")
    parser.add_argument("--out", type=Path, default=Path("picked.jsonl"), help="result file")
    parser.add_argument("--table", type=Path, help="result file to print as a table")
    parser.add_argument("--encoder", default="bundled", help="as the parameter of that name")
    parser.add_argument("--steps", type=int, help="least steps; default: the recipe's")
    parser.add_argument("--rate", type=float, help="learning rate; default: the recipe's")
    parser.add_argument("--seeds", type=int, default=5, help="draws of the training texts")
    parser.add_argument("--size", type=int, default=400, help="training texts")
    parser.add_argument("--validation", type=int, default=100, help="validation texts")
    parser.add_argument("--test", type=int, default=300, help="texts to predict")
    parser.add_argument("--max_length", type=int, default=32, help="tokens of a text")
    return parser


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(name, column) for name, _, column in (pair.partition(":") for pair in text.split(","))]


if __name__ == "__main__":
    sys.exit(main())
