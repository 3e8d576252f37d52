"""An experiment put into a real tracking store as the entry points put it there, with labels and predictions made up: nothing is trained."""

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


def examples(gold, label_set=LABELS, n_train=None, text="text {} of class {}"):
    """Test examples with these gold codes, and as many training examples, or the first ``n_train`` of them."""
    rows = [
        {
            "example_id": f"{split}{place:04d}",
            "text": text.format(place, label_set[code]),
            "gold_label": label_set[code],
            "split": split,
        }
        for split, codes in (("test", gold), ("train", gold[:n_train]))
        for place, code in enumerate(codes)
    ]
    return pd.DataFrame(rows)


def distribution(codes, label_set=LABELS, sure=0.8, known=True):
    """Columns of log probabilities under which every code is as likely as ``sure``, a number or one for each."""
    p = np.full(
        (len(codes), len(label_set)),
        ((1 - np.asarray(sure)) / (len(label_set) - 1)).reshape(-1, 1) * np.ones((len(codes), 1)),
    )
    p[np.arange(len(codes)), codes] = sure
    return pd.DataFrame(
        np.log(p) if known else np.full(p.shape, np.nan),
        columns=[LOG_PROBABILITY + name for name in label_set],
    )


def log_experiment(
    folder,
    gold,
    arms,
    *,
    llm=None,
    sure=0.8,
    known=True,
    seeds=None,
    label_set=LABELS,
    kind="experiment",
    more=None,
    change=None,
    table=None,
):
    """Log a root run of ``arms``: name -> predictions ``(n_seeds, n_test)`` as codes; returns its id.

    ``llm``: the annotator's codes of the training and the test examples under each draw, ``(n_draws, n)``. ``seeds``: asked for, where they are not
    those of the first arm. ``change``: what to change of a seed's ``Child`` before it is logged, called with arm and seed; None for not logging it.
    """
    folder, rows = Path(folder), examples(gold, label_set) if table is None else table
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
            "counts": {"validation": 10, "test": len(gold)},
            "notes": [],
            "source": "here",
            "examples_sha256": "0",
            "licence": "none",
            "citation": "none",
        },
        **(more or {}),
    }
    with root_run(kind, "made up", {"task": "task"}) as tracker:
        tracker.log_json("config.json", json.loads(json.dumps(config)))
        write_table(folder / "examples.parquet", rows)
        tracker.log_files({"examples.parquet": folder / "examples.parquet"})
        for split in ("train", "test") if llm is not None else ():
            ids = rows.loc[rows["split"] == split, "example_id"]
            for draw, codes in enumerate(
                np.atleast_2d(llm) if split == "train" else np.atleast_2d(llm)[:1]
            ):
                given = codes[: len(ids)]
                tracker.log_child(
                    _annotation(folder, split, draw, list(ids), given, label_set, sure, known)
                )
        ids = list(rows.loc[rows["split"] == "test", "example_id"])
        for arm, predicted in arms.items():
            for seed, codes in enumerate(predicted):
                child = _seed(folder, arm, seed, ids, codes, label_set, len(gold))
                child = change(arm, seed, child) if change else child
                if child is not None:
                    tracker.log_child(child)
        return tracker.run_id


def _annotation(folder, split, draw, ids, codes, label_set, sure, known):
    table = pd.DataFrame(
        {
            "example_id": ids,
            "draw": draw,
            "label": [label_set[code] if code >= 0 else None for code in codes],
            "label_mass": 0.9 if known else np.nan,
            "log_bound": np.nan,
            "truncated": False,
            "error": "",
        }
    )
    logs = distribution(np.maximum(codes, 0), label_set, sure, known)
    logs[codes < 0] = np.nan
    path = folder / f"annotations-{split}-{draw}.parquet"
    write_table(path, pd.concat([table, logs], axis=1))
    params = {"task": "task", "split": split, "draw": draw, "annotator_model": "made up"}
    return Child(
        f"annotate {split} draw {draw:02d}",
        "annotation",
        f"{split}{draw}",
        params,
        {"requests": 1.0},
        {"annotations.parquet": path},
        "made up",
    )


def _seed(folder, arm, seed, ids, codes, label_set, n_train):
    kind, _, value = arm.rpartition("_") if arm.rpartition("_")[2].isdigit() else (arm, "", "")
    path, labels = folder / f"predictions-{arm}-{seed}.parquet", folder / f"labels-{arm}.parquet"
    write_table(
        path,
        pd.concat(
            [
                pd.DataFrame({"example_id": ids, "label": [label_set[code] for code in codes]}),
                distribution(codes, label_set),
            ],
            axis=1,
        ),
    )
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
    share = {"gold": 100.0, "flip": 100.0, "llm": 0.0}.get(kind, float(value or 0))
    params = {
        "task": "task",
        "arm": arm,
        "arm_kind": kind,
        "seed": seed,
        "replicate": seed,
        "draw": None,
        "evaluated": "test",
        "n_train": n_train,
        "n_examples": n_train,
        "replace_share": value if kind not in ("gold", "llm", "flip") else None,
        "flip_rate": value if kind == "flip" else None,
        "ensemble_size": None,
        "encoder": "none",
    }
    metrics = {
        "human_labels": share * n_train / 100,
        "human_share": share / 100,
        "llm_calls": 1.0,
        "prompt_tokens": 1.0,
        "generated_tokens": 1.0,
        "annotation_seconds": 1.0,
        "train_seconds": 1.0,
        "cost": 0.0,
    }
    files = {"predictions.parquet": path, "labels.parquet": labels}
    return Child(
        f"{arm} seed {seed:02d}", "seed", f"{arm}-{seed}", params, metrics, files, "made up"
    )


def noisy(gold, right, n_seeds=3, seed=0, n_classes=3):
    """Predictions of seeds that give the gold class with probability ``right``, else any."""
    random = np.random.default_rng(seed)
    other = random.integers(0, n_classes, (n_seeds, len(gold)))
    return np.where(random.random((n_seeds, len(gold))) < right, gold, other)


UNEQUAL = {
    "mlflow.parentRunId",
    "mlflow.rootRunId",
    "assay.root",
    "assay.entry",
    "assay.heard",
    "assay.worker",
    "mlflow.runName",
}


def content(run_id):
    """All that the store holds of a root run and below it, less what is never the same."""
    client_ = MlflowClient()
    root = read_run(run_id)
    runs = client_.search_runs(
        [root.experiment_id],
        f"tags.`mlflow.parentRunId` = '{run_id}'",
        order_by=["attributes.run_name ASC"],
    )

    def one(run):
        history = {
            name: sorted(
                (m.step, m.value) for m in client_.get_metric_history(run.info.run_id, name)
            )
            for name in run.data.metrics
        }
        inputs = sorted(
            (one.dataset.name, one.dataset.digest, one.tags[0].value)
            for one in run.inputs.dataset_inputs
        )
        tags = {name: text for name, text in run.data.tags.items() if name not in UNEQUAL}
        return (
            run.info.run_name,
            run.info.status,
            run.data.params,
            history,
            tags,
            inputs,
            sorted(artifacts(run.info.run_id)),
        )

    def artifacts(of, folder=None):
        for found in client_.list_artifacts(of, folder):
            yield from (
                artifacts(of, found.path) if found.is_dir else [(found.path, found.file_size)]
            )

    return [one(run) for run in (client_.get_run(run_id), *runs)]


def log_small(folder, *, workspace="work", spoil=lambda place: None):
    """A root run with files, tags, two children and metrics by step; ``spoil`` is called between the steps."""
    (folder / "a.txt").write_text("a")
    (folder / "b.txt").write_text("b")
    with root_run("experiment", "small", {"task": "t"}, workspace) as tracker:
        spoil(0)
        tracker.log_files({"one/a.txt": folder / "a.txt"}, tags={"colour": "red"})
        tracker.log_metrics({"m": 0.5})
        for number in (0, 1):
            spoil(1 + number)
            child = Child(
                f"child {number}",
                "seed",
                f"digest{number}",
                {"seed": number},
                {"score": number / 2},
                {"b.txt": folder / "b.txt"},
                "a child",
                history=[(1, {"loss": 1.0}), (2, {"loss": 0.5})],
                inputs=[("data", "0" * 64, "training")],
            )
            tracker.log_child(child)
        spoil(3)
        tracker.describe("All there.", {"ended": "well"})
        spoil(4)
    return tracker.run_id
