"""Fine-tuning wired to the tracking store: every condition x seed is logged as a run as soon as it is trained."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from entrypoints.wiring.command import Progress, print_line
from entrypoints.wiring.conditions import Condition
from entrypoints.wiring.setup import reuse_sentence, reuse_tags, shared_params
from project.config.experiment import ExperimentConfig
from project.config.metrics import score_metrics
from project.data.tables import SourceRun, codes
from project.data.task import Task
from project.labels.sources import FIRST_LABEL
from project.stats.types import Codes
from project.support.errors import AssayError, Incomplete
from project.support.parquet import content_hash, write_table
from project.tracking import ABSENT, DIGEST, USER, Child, StoreUnavailable, Tracker
from project.training.encoder import Encoder
from project.training.evaluate import evaluate
from project.training.history import Epoch, best_epoch, best_macro_f1
from project.training.inputs import Phase, TrainingInputs, seed_digest
from project.training.jobs import run_jobs
from project.training.results import (
    MODEL,
    PREDICTIONS,
    RESULT,
    Job,
    SeedResult,
    import_result,
    is_finished,
)
from project.training.targets import targets
from project.training.workers import default_workers

HISTORY = "history.json"
# no matter for one seed, or told by the encoder
_NOT_LOGGED = (
    "seeds",
    "workers",
    "precision",
    "batching",
    "remote_code",
    "checkpoint_seconds",
    "log_model",
)


class Trained(NamedTuple):
    """A seed that is trained, its run, its ``scores`` on the split that it predicts, in [0, 1], and the ``seconds`` of the machine that it took.

    Seeds that are trained side by side share the machine's time.
    """

    run_id: str
    condition: Condition
    job: Job
    result: SeedResult
    scores: Mapping[str, float]
    seconds: float


class Trainer:
    """Trains conditions for one root run. Every split is tokenised once, and what a person should know is said once."""

    def __init__(
        self, tracker: Tracker, encoder: Encoder, task: Task, config: ExperimentConfig
    ) -> None:
        """``config``: of the whole experiment; each condition has a recipe of its own."""
        self._tracker, self._encoder, self._task, self._config = tracker, encoder, task, config
        self._places, texts = _places(task)
        self._tokens = encoder.tokens(texts, Path(config.host.workspace) / "tokens")
        self._said: set[str] = set()

    def train(self, conditions: Sequence[Condition]) -> list[Trained]:
        """Every condition x seed, several at once; each is logged as a run when it is done."""
        for split in ("train", "validation", *sorted({one.evaluated for one in conditions})):
            if cut := self._tokens.n_cut(self._places[split]):
                texts = f"{cut} of {len(self._places[split])} {split} texts"
                self._say(
                    f"{texts} are longer than {self._encoder.max_length} tokens and were cut at the end."
                )
        self._say_what_is_missing(conditions)
        jobs, condition_of = [], {}
        done: dict[object, list[Trained]] = {}
        failed: Incomplete | None = None
        for one in conditions:
            made = self._jobs(one)
            jobs += made
            condition_of.update({id(job): one for job in made})
        folder = Path(self._config.host.workspace) / "seeds"
        workers = self._config.finetune.workers or default_workers(self._encoder.weight_bytes)
        self._take(jobs, folder)
        n_new = len({job.digest for job in jobs if not (folder / job.digest).is_dir()})
        with Progress("fine-tune", sum(job.epochs for job in jobs), "epochs") as progress:

            def tell(job: Job, epoch: Epoch) -> None:
                if not (folder / job.digest).is_dir():  # else it was trained before
                    progress.print_line(_line(job, epoch))
                progress(1)

            # its workers end with us, also when a run cannot be logged
            with contextlib.closing(
                run_jobs(jobs, folder=folder, workers=workers, progress=tell)
            ) as results:
                try:
                    for job, result in results:
                        one = condition_of[id(job)]
                        scores = evaluate(
                            result.predictions,
                            self._task.split(one.evaluated),
                            self._task.label_set,
                        )
                        seconds = result.seconds / max(
                            1, min(workers, len(jobs) if result.reused else n_new)
                        )
                        run_id = log_seed(
                            self._tracker,
                            self._encoder,
                            self._task,
                            one,
                            job.seed,
                            job.digest,
                            result,
                            scores,
                            seconds,
                            self._config,
                        )
                        made_of = (one.arm.name, one.setting, len(one.examples))
                        done.setdefault(made_of, []).append(
                            Trained(run_id, one, job, result, scores, seconds)
                        )
                except Incomplete as error:  # seeds that failed take nothing from the others
                    failed = error
        for seeds in done.values():
            self._log_models(seeds)
        if failed:
            raise failed
        return [seed for seeds in done.values() for seed in seeds]

    def _take(self, jobs: Sequence[Job], folder: Path) -> None:
        """Take from the store what somebody has trained already, unless its weights are wanted."""
        sources = []
        for job in {
            job.digest: job for job in jobs if not job.keep_model and not is_finished(folder, job)
        }.values():
            for run in self._tracker.reusable_runs(
                "seed", DIGEST, job.digest, self._config.store.reuse
            ):
                source = SourceRun(run.run_id, run.tags.get(USER, "somebody"))
                try:
                    files = self._tracker.verified_artifacts(run, [PREDICTIONS, HISTORY])
                    import_result(
                        folder,
                        job,
                        predictions=files[PREDICTIONS],
                        result=files[HISTORY],
                        source=source,
                    )
                except StoreUnavailable:  # which the tracker has said
                    break
                except (
                    AssayError
                ) as error:  # somebody's run that is not what it says is no reason to stop
                    print_line(f"fine-tune: {error} Nothing is taken from it.")
                    continue
                sources.append(source)
                break
        if sources:
            users = ", ".join(dict.fromkeys(one.user for one in sources))
            print_line(
                f"fine-tune: {len(sources)} seeds are taken from finished runs of {users} in the tracking store, and are not trained again."
            )

    def _log_models(self, done: Sequence[Trained]) -> None:
        """The weights that ``log_model`` asks for: of all of them, or of the one with the best validation macro-F1 (ties: the first)."""
        best = sorted(
            done,
            key=lambda seed: (
                -best_macro_f1(seed.result.history),
                seed.condition.first_replicate + seed.job.seed,
            ),
        )
        for run_id, one, job, result, *_ in (
            best if self._config.finetune.log_model == "all" else best[:1]
        ):
            if job.keep_model:
                about = f"{self._encoder.source.name} fine-tuned on {len(one.labels)} labels of {one.title}, task {self._task.name}, seed {job.seed}."
                print_line(f"fine-tune: logging the weights of {one.title}, seed {job.seed:02d}.")
                self._tracker.log_model(
                    run_id,
                    result.folder / MODEL,
                    source=self._encoder.source.name,
                    max_length=self._encoder.max_length,
                    about=about,
                )

    def _jobs(self, one: Condition) -> list[Job]:
        """A job for each seed. At its full size a condition has the digests of the same arm in any other experiment, and is trained once."""
        task, names = self._task, [*self._task.split(one.evaluated)["example_id"]]
        train, rows = _labelled(self._places["train"], task.split("train"), one.labels)
        held, held_rows = _labelled(
            self._places["validation"], task.split("validation"), one.validation
        )
        phases = tuple(
            Phase(rows[chosen], *targets(part, task.label_set, one.config))
            for part, chosen in _lessons(train)
            if chosen.any()
        )
        inputs = TrainingInputs(
            self._tokens, phases, held_rows, codes(held["label"], task.label_set)
        )
        evaluated = self._places[one.evaluated]
        return [
            Job(
                arm=one.title,
                seed=seed,
                digest=seed_digest(
                    self._encoder,
                    one.config,
                    inputs,
                    test_indices=evaluated,
                    names=[*names, *task.label_set],
                    seed=seed,
                ),
                encoder=self._encoder,
                config=one.config,
                inputs=inputs,
                test_indices=evaluated,
                test_ids=tuple(names),
                label_set=task.label_set,
                keep_model=one.config.log_model != "none" and one.evaluated == "test",
            )
            for seed in one.seeds
        ]

    def _say_what_is_missing(self, conditions: Sequence[Condition]) -> None:
        for one in conditions:
            unlabelled = len(one.examples) - len(one.labels)
            if unlabelled:
                self._say(
                    f"{one.name} leaves out {unlabelled} of {len(one.examples)} training examples that have no label."
                )
        absent = {one.name: one.absent(self._task.label_set) for one in conditions}
        found = "; ".join(f"{name}: {', '.join(names)}" for name, names in absent.items() if names)
        if found:
            weight = (
                ", and class_weights=balanced gives them no weight"
                if any(one.config.class_weights == "balanced" for one in conditions)
                else ""
            )
            self._say(
                f"classes without any training label ({found}) cannot be learned{weight}. Macro-F1 runs over the whole label set and counts them "
                "all the same."
            )
            self._tracker.tag({ABSENT: found[:1000]})

    def _say(self, message: str) -> None:
        if message not in self._said:
            print_line(f"fine-tune: {message}")
            self._said.add(message)


def _lessons(labels: pd.DataFrame) -> list[tuple[pd.DataFrame, npt.NDArray[np.bool_]]]:
    """The labels of every lesson and which rows of ``labels`` they are: all at once, or what the LLM says first and then what a human says."""
    if FIRST_LABEL not in labels:
        return [(labels, np.ones(len(labels), dtype=bool))]
    llm, human = (
        labels[FIRST_LABEL].notna().to_numpy(),
        labels["source"].isin(["gold", "human"]).to_numpy(),
    )
    return [
        (labels[llm].assign(label=labels[FIRST_LABEL], source="llm"), llm),
        (labels[human], human),
    ]


def _line(job: Job, epoch: Epoch) -> str:
    """One seed's progress, with the time that its training will still take at this pace, evaluation not counted."""
    phases = job.inputs.phases
    epochs_left = (epoch.phase + 1) * job.config.epochs - epoch.epoch
    texts = epochs_left * len(phases[epoch.phase].indices)
    texts += job.config.epochs * sum(len(phase.indices) for phase in phases[epoch.phase + 1 :])
    left = texts / epoch.texts_per_second
    more = f", {left:.0f} s left" if left else ""
    return (
        f"{job.arm} seed {job.seed:02d}: epoch {epoch.epoch} of {job.epochs}, loss {epoch.training_loss:.3f}, "
        f"validation macro-F1 {epoch.validation_macro_f1:.3f}, {epoch.texts_per_second:.0f} texts/s{more}"
    )


def _places(task: Task) -> tuple[dict[str, Codes], list[str]]:
    """Where the texts of every split stand in the one list of texts, and that list."""
    texts: list[str] = []
    places = {}
    for split in ("train", "validation", "test"):
        given = list(task.split(split)["text"])
        places[split] = np.arange(len(texts), len(texts) + len(given))
        texts += given
    return places, texts


def _labelled(
    places: Codes, examples: pd.DataFrame, labels: pd.DataFrame
) -> tuple[pd.DataFrame, Codes]:
    """The rows of ``labels`` that have a label, in the order of ``examples``, and where their texts stand."""
    joined = examples[["example_id"]].merge(
        labels, on="example_id", how="left", validate="one_to_one"
    )
    known = joined["label"].notna().to_numpy()
    return joined[known].reset_index(drop=True), places[known]


def log_seed(
    tracker: Tracker,
    encoder: Encoder,
    task: Task,
    one: Condition,
    seed: int,
    digest: str,
    result: SeedResult,
    scores: Mapping[str, float],
    seconds: float,
    config: ExperimentConfig,
) -> str:
    """Log one seed's run; returns its id. ``digest``: of all that can change its predictions; ``seconds``: of the whole machine."""
    spent = one.spent
    metrics = {
        **{f"{one.evaluated}.{name}": value for name, value in scores.items()},
        **spent._asdict(),
        "human_share": spent.human_labels / len(one.examples),
        "cost": spent.cost(config.spend, seconds),
        "best_epoch": best_epoch(result.history),
        "train_seconds": result.seconds,
        "best_validation_macro_f1": best_macro_f1(result.history),
    }
    absent, sources = one.absent(task.label_set), [result.source] if result.source else []
    with tempfile.TemporaryDirectory() as name:
        write_table(Path(name, "labels.parquet"), one.labels)
        files = {
            "labels.parquet": Path(name, "labels.parquet"),
            PREDICTIONS: result.folder / PREDICTIONS,
            HISTORY: result.folder / RESULT,
        }
        return tracker.log_child(
            Child(
                f"{one.title} seed {seed:02d}",
                "seed",
                digest,
                _params(encoder, task, one, seed, result.batching, config),
                metrics=metrics,
                files=files,
                description=f"{encoder.source.name} fine-tuned on {len(one.labels)} labels of {one.title} ({spent.human_labels} by a human), seed {seed}: "
                f"{one.evaluated} "
                + ", ".join(f"{item.title} {scores[item.key]:.3f}" for item in score_metrics())
                + "."
                + reuse_sentence("It is taken", sources),
                tags={
                    "reused": str(result.reused).lower(),
                    **reuse_tags(sources),
                    **({ABSENT: ", ".join(absent)[:1000]} if absent else {}),
                },
                history=[_epoch_metrics(epoch) for epoch in result.history],
                seconds=0.0 if result.reused else result.seconds,
                inputs=[
                    (f"{task.name}/train", content_hash(one.labels), "training"),
                    (
                        f"{task.name}/{one.evaluated}",
                        content_hash(task.split(one.evaluated)),
                        one.evaluated,
                    ),
                ],
            )
        )


def _epoch_metrics(epoch: Epoch) -> tuple[int, dict[str, float]]:
    values = dataclasses.asdict(epoch)
    del values["phase"]
    return values.pop("epoch"), values


def _params(
    encoder: Encoder, task: Task, one: Condition, seed: int, batching: str, config: ExperimentConfig
) -> dict[str, object]:
    """The join keys of a seed: arm, sizes, replicate, every hyper-parameter; the same names in every experiment."""
    recipe = {
        name: value
        for name, value in dataclasses.asdict(one.config).items()
        if name not in _NOT_LOGGED
    }
    return {
        **shared_params(task, config),
        "arm": one.arm.name,
        "arm_kind": one.arm.kind,
        "replace_share": one.arm.replace_share,
        "ensemble_size": one.arm.ensemble_size,
        "flip_rate": one.arm.flip_rate,
        "seed": seed,
        "draw": one.draw,
        "replicate": one.first_replicate + seed,
        "n_examples": len(one.examples),
        "n_train": len(one.labels),
        "evaluated": one.evaluated,
        "precision": encoder.precision,
        "batching": batching,
        **recipe,
        **one.params,
    }
