"""Experiments in a real tracking store with made-up labels and predictions: nothing is trained."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
from mlflow.tracking import MlflowClient

from project.config.experiment import ExperimentConfig
from project.data.tables import LOG_PROBABILITY
from project.support.parquet import write_table
from project.tracking import Child, read_run, root_run

LABELS = ("a", "b", "c")

UNEQUAL = {
    "mlflow.parentRunId",
    "mlflow.rootRunId",
    "assay.root",
    "assay.entry",
    "assay.heard",
    "assay.worker",
    "mlflow.runName",
}
"""Tags that differ between equal runs."""


def examples(gold, label_set=LABELS, n_train=None, text="text {} of class {}"):
    """Test examples with class indices ``gold``; the first ``n_train`` (all) as training, too."""
    rows = [
        {
            "example_id": f"{split}{index:04d}",
            "text": text.format(index, label_set[code]),
            "gold_label": label_set[code],
            "split": split,
        }
        for split, codes in (("test", gold), ("train", gold[:n_train]))
        for index, code in enumerate(codes)
    ]
    return pd.DataFrame(rows)


def noisy(gold, right, n_seeds=3, seed=0, n_classes=3):
    """Predictions ``(n_seeds, n)``: the gold class with probability ``right``, else any class."""
    random = np.random.default_rng(seed)
    other = random.integers(0, n_classes, (n_seeds, len(gold)))
    return np.where(random.random((n_seeds, len(gold))) < right, gold, other)


def distribution(codes, label_set=LABELS, confidence=0.8, has_log_probabilities=True):
    """Columns of log probabilities.

    The class of each code has probability ``confidence`` (a number, or one for each row), the
    others share the rest. Without log probabilities, all values are ``nan``.
    """
    n_other = len(label_set) - 1
    rest = ((1 - np.asarray(confidence)) / n_other).reshape(-1, 1)
    p = np.full((len(codes), len(label_set)), rest * np.ones((len(codes), 1)))
    p[np.arange(len(codes)), codes] = confidence
    return pd.DataFrame(
        np.log(p) if has_log_probabilities else np.full(p.shape, np.nan),
        columns=[LOG_PROBABILITY + name for name in label_set],
    )


def log_experiment(
    folder,
    gold,
    arms,
    *,
    llm=None,
    confidence=0.8,
    has_log_probabilities=True,
    seeds=None,
    label_set=LABELS,
    kind="experiment",
    config_changes=None,
    change_child=None,
    table=None,
):
    """Log a root run with annotations and seeds; returns its id.

    Parameters
    ----------
    folder
        Where the files are written.
    gold
        Gold class indices of the test examples, ``(n,)``.
    arms
        By name, predicted class indices, ``(n_seeds, n)``.
    llm
        The annotator's class indices under each draw, ``(n_draws, n)``, for the training and the
        test examples; None for no annotations.
    confidence, has_log_probabilities
        See :func:`distribution`.
    seeds
        The configured number of seeds, by default that of the first arm.
    label_set, kind
        The labels, and the kind of the root run.
    config_changes
        Entries of the root run's ``config.json`` that replace the usual ones.
    change_child
        Function of an arm, a seed and the seed's ``Child``. It returns what is logged; None skips
        the seed.
    table
        The examples, by default those of :func:`examples`.
    """
    folder = Path(folder)
    rows = examples(gold, label_set) if table is None else table
    config = _config(
        arms=arms, n_test=len(gold), label_set=label_set, seeds=seeds, changes=config_changes
    )
    with root_run(kind, "made up", {"task": "task"}) as tracker:
        tracker.log_json("config.json", config)
        write_table(folder / "examples.parquet", rows)
        tracker.log_files({"examples.parquet": folder / "examples.parquet"})
        for split in ("train", "test") if llm is not None else ():
            ids = list(rows.loc[rows["split"] == split, "example_id"])
            draws = np.atleast_2d(llm) if split == "train" else np.atleast_2d(llm)[:1]
            for draw, codes in enumerate(draws):
                answers = _answers(
                    ids,
                    codes[: len(ids)],
                    draw,
                    label_set,
                    confidence=confidence,
                    has_log_probabilities=has_log_probabilities,
                )
                tracker.log_child(_annotation(folder, split, draw, answers))
        ids = list(rows.loc[rows["split"] == "test", "example_id"])
        for arm, predicted in arms.items():
            for seed, codes in enumerate(predicted):
                child = _seed(folder, arm, seed, ids, codes=codes, label_set=label_set)
                child = change_child(arm, seed, child) if change_child else child
                if child is not None:
                    tracker.log_child(child)
        return tracker.run_id


def _config(*, arms, n_test, label_set, seeds, changes):
    """The content of a root run's ``config.json``."""
    settings = ExperimentConfig().as_dict()
    settings["finetune"]["seeds"] = seeds or len(next(iter(arms.values())))
    config = {
        "config": settings,
        "arms": list(arms),
        "design": {},
        "models": {"annotator": "made up", "encoder": "none"},
        "identities": {"annotator": {"model": "made up"}, "encoder": "none"},
        "versions": {"assay": "0"},
        "task": {
            "name": "task",
            "title": "A task",
            "label_set": list(label_set),
            "counts": {"validation": 10, "test": n_test},
            "notes": [],
            "source": "here",
            "examples_sha256": "0",
            "licence": "none",
            "citation": "none",
        },
        **(changes or {}),
    }
    return json.loads(json.dumps(config))


def _answers(ids, codes, draw, label_set, *, confidence, has_log_probabilities):
    """An annotations table; code -1 is no answer."""
    table = pd.DataFrame(
        {
            "example_id": ids,
            "draw": draw,
            "label": [label_set[code] if code >= 0 else None for code in codes],
            "label_mass": 0.9 if has_log_probabilities else np.nan,
            "log_bound": np.nan,
            "truncated": False,
            "error": "",
        }
    )
    logs = distribution(np.maximum(codes, 0), label_set, confidence, has_log_probabilities)
    logs[codes < 0] = np.nan
    return pd.concat([table, logs], axis=1)


def _annotation(folder, split, draw, answers):
    """The run of one draw over one split."""
    path = folder / f"annotations-{split}-{draw}.parquet"
    write_table(path, answers)
    return Child(
        f"annotate {split} draw {draw:02d}",
        "annotation",
        f"{split}{draw}",
        {"task": "task", "split": split, "draw": draw, "annotator_model": "made up"},
        metrics={"requests": 1.0},
        files={"annotations.parquet": path},
        description="made up",
    )


def _seed(folder, arm, seed, ids, *, codes, label_set):
    """The run of one seed of one arm, named such as ``entropy_5``."""
    n = len(ids)
    name, _, number = arm.rpartition("_")
    kind, value = (name, number) if number.isdigit() else (arm, "")
    predictions = folder / f"predictions-{arm}-{seed}.parquet"
    labels = folder / f"labels-{arm}.parquet"
    predicted = pd.DataFrame({"example_id": ids, "label": [label_set[code] for code in codes]})
    write_table(predictions, pd.concat([predicted, distribution(codes, label_set)], axis=1))
    write_table(
        labels,
        pd.DataFrame(
            {
                "example_id": ids,
                "label": label_set[0],
                "weight": 1.0,
                "source": "llm",
                "reason": "made up",
            }
        ),
    )
    percent = {"gold": 100.0, "flip": 100.0, "llm": 0.0}.get(kind, float(value or 0))
    return Child(
        f"{arm} seed {seed:02d}",
        "seed",
        f"{arm}-{seed}",
        _seed_params(arm, seed, kind, value, n=n),
        metrics={
            "human_labels": percent * n / 100,
            "human_share": percent / 100,
            "llm_calls": 1.0,
            "prompt_tokens": 1.0,
            "generated_tokens": 1.0,
            "annotation_seconds": 1.0,
            "train_seconds": 1.0,
            "cost": 0.0,
        },
        files={"predictions.parquet": predictions, "labels.parquet": labels},
        description="made up",
    )


def _seed_params(arm, seed, kind, value, *, n):
    return {
        "task": "task",
        "arm": arm,
        "arm_kind": kind,
        "seed": seed,
        "replicate": seed,
        "draw": None,
        "evaluated": "test",
        "n_train": n,
        "n_examples": n,
        "replace_share": value if kind not in ("gold", "llm", "flip") else None,
        "flip_rate": value if kind == "flip" else None,
        "ensemble_size": None,
        "encoder": "none",
    }


def content(run_id):
    """What the store holds of a root run and its children, without what always differs."""
    store = MlflowClient()
    root = read_run(run_id)
    children = store.search_runs(
        [root.experiment_id],
        f"tags.`mlflow.parentRunId` = '{run_id}'",
        order_by=["attributes.run_name ASC"],
    )
    return [_run_content(store, run) for run in (store.get_run(run_id), *children)]


def _run_content(store, run):
    run_id = run.info.run_id
    history = {
        name: sorted((m.step, m.value) for m in store.get_metric_history(run_id, name))
        for name in run.data.metrics
    }
    inputs = sorted(
        (entry.dataset.name, entry.dataset.digest, entry.tags[0].value)
        for entry in run.inputs.dataset_inputs
    )
    tags = {name: text for name, text in run.data.tags.items() if name not in UNEQUAL}
    artifacts = sorted(_artifacts(store, run_id))
    info = run.info
    return info.run_name, info.status, run.data.params, history, tags, inputs, artifacts


def _artifacts(store, run_id, folder=None):
    """Path and size of every artifact."""
    for entry in store.list_artifacts(run_id, folder):
        if entry.is_dir:
            yield from _artifacts(store, run_id, entry.path)
        else:
            yield entry.path, entry.file_size


def log_small(folder, *, workspace="work", before_step=lambda step: None):
    """Log a root run with files, tags, two children and metrics by step; returns its id.

    ``before_step`` is called with 0 to 4 between the steps.
    """
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    with root_run("experiment", "small", {"task": "t"}, workspace) as tracker:
        before_step(0)
        tracker.log_files({"one/a.txt": folder / "a.txt"}, tags={"colour": "red"})
        tracker.log_metrics({"m": 0.5})
        for number in (0, 1):
            before_step(1 + number)
            child = Child(
                f"child {number}",
                "seed",
                f"digest{number}",
                {"seed": number},
                metrics={"score": number / 2},
                files={"b.txt": folder / "b.txt"},
                description="a child",
                history=[(1, {"loss": 1.0}), (2, {"loss": 0.5})],
                inputs=[("data", "0" * 64, "training")],
            )
            tracker.log_child(child)
        before_step(3)
        tracker.describe("All there.", {"ended": "well"})
        before_step(4)
    return tracker.run_id
