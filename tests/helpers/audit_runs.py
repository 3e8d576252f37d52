"""Runs of the entry point audit on short texts of the bundled catalogue."""

import contextlib
import io
import shutil

import mlflow
import numpy as np
import pandas as pd
import pytest

from entrypoints import audit
from project.config.loading import defaults
from project.data.card import CARDS
from project.tracking import latest_root

N = 260


LABELLED = 120


ANSWERS = {"human_column": "human", "recorded_columns": "llm"}


RANDOM_AUDIT = {**ANSWERS, "audit_design": "random"}


def catalogue():
    """The shortest texts of the bundled catalogue, few with a human label, all with an LLM's."""
    table = pd.read_csv(CARDS / "catalogue.csv", dtype=str)
    table = table.loc[table["text"].str.len().argsort(kind="stable")[:N]].reset_index(drop=True)
    random = np.random.default_rng(0)
    labels = sorted(table["label"].unique())
    wrong = random.random(N) < 0.15
    other = [labels[index] for index in random.integers(0, len(labels), N)]
    labelled = random.permutation(N) < LABELLED
    return pd.DataFrame(
        {
            "text": table["text"],
            "human": table["label"].where(labelled, ""),
            "llm": table["label"].where(~wrong, other),
            "year": [str(2000 + number % 3) if number % 7 else "" for number in range(N)],
        }
    )


def run(folder, workspace, **changes):
    """Run the entry point; the lines that it prints and the root run."""
    file = folder / "codes.csv"
    if not file.exists():
        catalogue().to_csv(file, index=False)
    given = {"data": str(file), "workspace": str(workspace), "n_next": "10", **changes}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        audit.audit({**defaults("audit"), **given})
    return output.getvalue().splitlines(), latest_root("audit")


@contextlib.contextmanager
def new_store(migrated_store, folder):
    """A store of its own in ``folder`` for fixtures that live longer than a test."""
    shutil.copy(migrated_store, folder / "mlflow.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("ASSAY_CACHE", str(folder / "cache"))
        mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
        yield
        mlflow.set_tracking_uri("")
