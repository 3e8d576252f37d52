"""The tracking store: opens runs, logs results, reads them back. The only folder of ``project/`` that imports mlflow.

A root run is one experiment; annotation runs and seed runs are its children. Nothing here computes a result.
"""

import logging
import os

# Read when mlflow is imported or at work. Its progress bars and migration notes say nothing to a user of Assay.
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault(
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true"
)  # of every run that ends, for which it asks the server
for _name in ("alembic", "mlflow.store.db.utils"):
    logging.getLogger(_name).setLevel(logging.WARNING)

from mlflow.environment_variables import MLFLOW_HTTP_REQUEST_MAX_RETRIES

from project.tracking.doctor.preflight import findings, preflight
from project.tracking.log import Child, Tracker
from project.tracking.read import (
    children,
    every_child,
    latest_root,
    local_artifact,
    newest_first,
    of_study,
    read_artifact,
    read_json,
    read_run,
    read_table,
    read_uri,
)
from project.tracking.reap import dead_runs, end_dead
from project.tracking.relog import relog
from project.tracking.reuse import TAKEN_FROM, TAKEN_OF
from project.tracking.root import me, root_run, tagged
from project.tracking.spool import Root, spools
from project.tracking.store import (
    ABSENT,
    CHOSEN,
    DIGEST,
    EXPERIMENT,
    KIND,
    PRIVATE,
    QUESTION,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    SERVER,
    STUDY,
    TRIAL_STATE,
    USER,
    Record,
    StoreUnavailable,
    experiments,
    store_digest,
)

# How often a server that does not answer is asked again, in twelve seconds, unless the variable says so; MLflow's 7 take four minutes.
MLFLOW_HTTP_REQUEST_MAX_RETRIES.default = 3

__all__ = [
    "ABSENT",
    "CHOSEN",
    "DIGEST",
    "EXPERIMENT",
    "KIND",
    "PRIVATE",
    "QUESTION",
    "ROOT",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SERVER",
    "STUDY",
    "TAKEN_FROM",
    "TAKEN_OF",
    "TRIAL_STATE",
    "USER",
    "Child",
    "Record",
    "Root",
    "StoreUnavailable",
    "Tracker",
    "children",
    "dead_runs",
    "end_dead",
    "every_child",
    "experiments",
    "findings",
    "latest_root",
    "local_artifact",
    "me",
    "newest_first",
    "of_study",
    "preflight",
    "read_artifact",
    "read_json",
    "read_run",
    "read_table",
    "read_uri",
    "relog",
    "root_run",
    "spools",
    "store_digest",
    "tagged",
]
