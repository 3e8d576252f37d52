"""Experiments as commands, and what they leave in the tracking store."""

import sys

from mlflow.tracking import MlflowClient

from project.tracking import children, read_table


def seed_tables(root, file="predictions.parquet"):
    """A table of every seed run as JSON, by name of the run."""
    return {run.name: read_table(run.run_id, file).to_json() for run in children(root, "seed")}


def command(name, params):
    """The command line of an entry point."""
    words = [word for key, value in params.items() for word in (f"--{key}", value)]
    return [sys.executable, "-m", f"entrypoints.{name}", *words]


def latest_status():
    """The status of the newest experiment."""
    (run,) = MlflowClient().search_runs(["1"], "tags.`assay.kind` = 'experiment'", max_results=1)
    return run.info.status


def contents(folder):
    """What all files below a folder hold, by their paths in it."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
