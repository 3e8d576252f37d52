"""The steps of an experiment, each a stage wired to the tracking store: what is done is logged as soon as it is done."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from entrypoints.command import Progress, say
from project.annotate import Annotations, annotate
from project.annotators import Annotator, open_annotator
from project.config import ExperimentConfig
from project.evaluate import evaluate
from project.finetune import Encoder, Training, best_epoch, seed_digest
from project.label import Arm, human_share
from project.prompt import Prompt, build_prompt, demonstration_sets
from project.seeds import PREDICTIONS, Job, SeedResult, default_workers, run_jobs
from project.stats.information import conditional_entropy_bits
from project.tables import class_columns, codes, content_hash, write_table
from project.task import Task
from project.tracking import Child, Tracker

SAMPLE = 100  # rows of a table that the UI shows


def prompts(task: Task, config: ExperimentConfig, n_draws: int) -> list[Prompt]:
    """One prompt for each draw: the template with that draw's demonstrations."""
    pool, style = task.split("demonstration"), str(config.prompt.label_style)
    shown = demonstration_sets(pool, config.prompt.n_demonstrations, n_draws, seed=config.prompt.demonstration_seed)
    return [build_prompt(task.label_set, task.description, rows, style=style, draw=draw) for draw, rows in enumerate(shown)]


def load_annotator(config: ExperimentConfig) -> Annotator:
    """The annotator, announced: loading one takes a while."""
    model = config.annotate.annotator_model
    say(f"loading the annotator {model}" + (" (unpacked on first use, about 20 s)" if model == "bundled" else ""))
    return open_annotator(config.annotate)


def log_setup(
    tracker: Tracker, task: Task, config: ExperimentConfig,
    *, arms: Sequence[str] = (), annotator: Annotator | None = None, encoder: Encoder | None = None,
) -> None:  # fmt: skip
    """The resolved configuration, the arms to come, the models, versions and the examples, on the root run."""
    task_facts = {
        "name": task.name, "title": task.title, "label_set": list(task.label_set), "source": task.source,
        "data_sha256": task.data_hash, "examples_sha256": task.content_hash, "notes": list(task.notes),
        "counts": dict(task.counts), "licence": task.licence, "citation": task.citation,
    }  # fmt: skip
    models = {"annotator": annotator.name if annotator else "", "encoder": encoder.source.name if encoder else ""}
    identities = {"annotator": dict(annotator.identity) if annotator else {}, "encoder": encoder.source.identity if encoder else ""}
    versions = {name: importlib.metadata.version(name) for name in ("mlflow", "numpy", "torch", "transformers")}
    facts = {"task": task_facts, "arms": list(arms), "models": models, "identities": identities, "versions": versions, "config": config.as_dict()}
    tracker.log_json("config.json", facts)
    for note in task.notes:
        say(f"note: {note}")
    with tempfile.TemporaryDirectory() as folder:
        write_table(Path(folder, "examples.parquet"), task.examples)
        tracker.log_files({"examples.parquet": Path(folder, "examples.parquet")})


def annotate_split(
    tracker: Tracker, annotator: Annotator, task: Task, split: str, prompts: Sequence[Prompt], config: ExperimentConfig
) -> list[pd.DataFrame]:
    """The annotations of ``split`` under every prompt; each draw is logged as a run when it is done."""
    examples, made = task.split(split), []
    folder = Path(config.host.workspace) / "annotations"
    with Progress(f"annotate {split}", len(prompts) * len(examples), "texts") as progress:
        for prompt in prompts:
            done = annotate(
                annotator, prompt, examples, task.label_set, calibration=str(config.annotate.calibration), folder=folder, progress=progress
            )
            _log_annotations(tracker, annotator, task, split, done, config)
            made.append(done.table)
    cut = sum(int(table["truncated"].sum()) for table in made)
    if cut:
        say(f"annotate {split}: {cut} of {len(prompts) * len(examples)} prompts were too long for {annotator.name}; their texts were cut at the end.")
    return made


def _log_annotations(tracker: Tracker, annotator: Annotator, task: Task, split: str, done: Annotations, config: ExperimentConfig) -> None:
    examples = task.split(split)
    score = evaluate(done.table, examples, task.label_set)
    metrics = {
        **score, "label_mass": float(done.table["label_mass"].mean()), "truncated": float(done.table["truncated"].sum()),
        "entropy_bits": float(conditional_entropy_bits(class_columns(done.table, task.label_set)).mean()),
        "prompt_tokens": done.prompt_tokens, "annotation_seconds": done.seconds, "texts_per_second": len(examples) / max(done.seconds, 1e-9),
        "reused_texts": done.reused,
    }  # fmt: skip
    rendered = done.prompt.render("{input_text}")
    params = {**_shared_params(task, config), "split": split, "draw": done.prompt.draw, "n_examples": len(examples)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "prompt.txt").write_text(rendered, encoding="utf-8")
        facts = {
            "answers": list(done.prompt.answers),
            "demonstration_ids": list(done.prompt.demonstration_ids),
            "annotator": dict(annotator.identity),
        }
        (folder / "prompt.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False), encoding="utf-8")
        shown = task.examples.set_index("example_id").loc[list(done.prompt.demonstration_ids)].reset_index()
        write_table(folder / "demonstrations.parquet", shown)
        write_table(folder / "annotations.parquet", done.table)
        files = {"prompt/prompt.txt": "prompt.txt", "prompt/prompt.json": "prompt.json", "prompt/demonstrations.parquet": "demonstrations.parquet"}
        files["annotations.parquet"] = "annotations.parquet"
        tracker.log_child(
            Child(
                f"annotate {split} draw {done.prompt.draw:02d}", "annotation", done.digest, params, metrics,
                {path: folder / file for path, file in files.items()},
                f"{annotator.name} labels {len(examples)} texts of the {split} split under demonstration set {done.prompt.draw}: "
                f"accuracy {score['accuracy']:.3f}, macro-F1 {score['macro_f1']:.3f}, label mass {metrics['label_mass']:.3f}.",
                tags={"prompt.sha256": hashlib.sha256(rendered.encode()).hexdigest()},
                inputs=[(f"{task.name}/{split}", content_hash(examples), "annotation")],
                sample=_annotation_sample(done.table, examples),
            )
        )  # fmt: skip


def _annotation_sample(table: pd.DataFrame, examples: pd.DataFrame) -> pd.DataFrame:
    shown = examples[["example_id", "text", "gold_label"]].merge(table, on="example_id").drop(columns=["error", "draw"])
    return shown.head(SAMPLE).round(4)


def _shared_params(task: Task, config: ExperimentConfig) -> dict[str, object]:
    """The join keys that stand on every child, whatever its kind."""
    annotate, prompt = config.annotate, config.prompt
    return {
        "task": task.name, "examples_sha256": task.content_hash[:16], "annotator": annotate.annotator, "annotator_model": annotate.annotator_model,
        "calibration": annotate.calibration, "label_style": prompt.label_style, "n_demonstrations": prompt.n_demonstrations,
    }  # fmt: skip


def finetune_arms(
    tracker: Tracker,
    encoder: Encoder,
    task: Task,
    labels: Mapping[Arm, pd.DataFrame],
    validation: Mapping[Arm, pd.DataFrame],
    config: ExperimentConfig,
) -> None:
    """Every arm x seed, several at once; each is logged as a run when it is done. ``validation``: labels that pick the epoch."""
    tokens = {}
    for split in ("train", "validation", "test"):
        tokens[split], cut = encoder.encode(list(task.split(split)["text"]))
        if cut:
            say(f"fine-tune: {cut} of {len(tokens[split])} {split} texts are longer than {encoder.max_length} tokens and were cut at the end.")
    texts = [list(task.split(split)["text"]) for split in ("train", "validation", "test")] + [list(task.split("test")["example_id"])]
    test_ids, jobs, arms = tuple(task.split("test")["example_id"]), [], {arm.name: arm for arm in labels}
    for arm, table in labels.items():
        training = Training(
            tokens["train"], codes(table["label"], task.label_set), tokens["validation"],
            codes(validation[arm]["label"], task.label_set), len(task.label_set),
        )  # fmt: skip
        for seed in range(config.finetune.seeds):
            name = seed_digest(encoder, config.finetune, texts, [list(table["label"]), list(validation[arm]["label"]), list(task.label_set)], seed)
            jobs.append(Job(arm.name, seed, name, encoder, config.finetune, training, tokens["test"], test_ids, task.label_set))
    folder = Path(config.host.workspace) / "seeds"
    with Progress("fine-tune", len(jobs) * config.finetune.epochs, "epochs") as progress:
        for job, result in run_jobs(jobs, folder=folder, workers=config.finetune.workers or default_workers(), progress=progress):
            _log_seed(tracker, encoder, task, arms[job.arm], labels[arms[job.arm]], job, result, config)


def _log_seed(
    tracker: Tracker, encoder: Encoder, task: Task, arm: Arm, labels: pd.DataFrame, job: Job, result: SeedResult, config: ExperimentConfig
) -> None:
    score = evaluate(result.predictions, task.split("test"), task.label_set)
    n_human, share = human_share(labels)
    metrics = {
        **{f"test.{name}": value for name, value in score.items()}, "human_labels": n_human, "human_share": share,
        "best_epoch": best_epoch(result.history), "train_seconds": result.seconds,
    }  # fmt: skip
    history = [
        (epoch.epoch, {"training_loss": epoch.training_loss, "validation_accuracy": epoch.validation_accuracy,
                       "validation_macro_f1": epoch.validation_macro_f1, "learning_rate": epoch.learning_rate})
        for epoch in result.history
    ]  # fmt: skip
    finetune = config.finetune
    params = {
        **_shared_params(task, config), "arm": arm.name, "arm_kind": arm.kind, "replace_share": arm.replace_share, "ensemble_size": arm.ensemble_size,
        "seed": job.seed, "encoder": finetune.encoder, "learning_rate": finetune.learning_rate, "epochs": finetune.epochs,
        "train_batch_size": finetune.train_batch_size, "precision": encoder.precision, "validation_labels": finetune.validation_labels,
        "n_train": len(labels),
    }  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        write_table(Path(name, "labels.parquet"), labels)
        files = {
            "labels.parquet": Path(name, "labels.parquet"),
            "predictions.parquet": result.folder / PREDICTIONS,
            "history.json": result.folder / "result.json",
        }
        tracker.log_child(
            Child(
                f"{arm.name} seed {job.seed:02d}", "seed", job.digest, params, metrics, files,
                f"{encoder.source.name} fine-tuned on {len(labels)} labels of arm {arm.name} ({n_human} by a human), seed {job.seed}: "
                f"test accuracy {score['accuracy']:.3f}, macro-F1 {score['macro_f1']:.3f}.",
                tags={"reused": str(result.reused).lower()}, history=history,
                inputs=[(f"{task.name}/train", content_hash(labels), "training"), (f"{task.name}/test", content_hash(task.split("test")), "test")],
            )
        )  # fmt: skip
