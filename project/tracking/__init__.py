"""The tracking store: runs are opened, results logged and read back. Nothing is computed here.

A root run is one experiment; annotation runs and seed runs are its children. This is the only
folder that imports mlflow, which itself brings pandas, pyarrow and scipy along.
"""

# First, because MLflow reads these settings when it is imported.
from project.tracking import mlflow_settings as mlflow_settings
from project.tracking.child import Child
from project.tracking.doctor.preflight import findings, preflight
from project.tracking.entries import RootRun
from project.tracking.failures import StoreUnavailable
from project.tracking.logged_models import (
    LoggedClassifier,
    classifier_files,
    newest_models,
    register,
)
from project.tracking.model_cards import VERDICT_BEGIN, VERDICT_END, write_verdicts
from project.tracking.names import (
    ABSENT,
    ARM_METRICS,
    BASE_NAME,
    BATCH,
    CHANCE,
    CHOSEN,
    CONFIG_FILE,
    DIGEST,
    EXPERIMENT,
    FEW,
    KIND,
    LABELS_NOTE,
    METRIC_NAMES,
    MONITOR,
    NOT_LEARNED,
    NOTE,
    ONE_ENCODER,
    OUTPUT,
    OVERRULED,
    PRIVATE,
    QUESTION,
    REUSED_FROM,
    REUSED_OWNER,
    ROOT,
    SCHEMA,
    SCHEMA_VERSION,
    SEEDS_TRAINED,
    SERVER,
    STUDY,
    SUITE,
    SUITE_TASK,
    TRIAL_STATE,
    USER,
    VERDICT,
    VERDICT_REASON,
)
from project.tracking.overruled import overruled_remark
from project.tracking.read import (
    all_children,
    children,
    finished_with_tag,
    latest_root,
    local_artifact,
    newest_runs,
    read_artifact,
    read_json,
    read_run,
    read_table,
    read_uri,
    study_runs,
)
from project.tracking.reap import dead_runs, end_dead
from project.tracking.records import Record
from project.tracking.relog import send_spool
from project.tracking.root import current_user, root_run, tagged
from project.tracking.run_names import joined_name, last_name
from project.tracking.spool import spools
from project.tracking.store import OwnExperiment, experiments, store_digest
from project.tracking.tracker import Tracker
from project.tracking.unused import discard_unused_run

__all__ = [
    "ABSENT",
    "ARM_METRICS",
    "BASE_NAME",
    "BATCH",
    "CHANCE",
    "CHOSEN",
    "CONFIG_FILE",
    "DIGEST",
    "EXPERIMENT",
    "FEW",
    "KIND",
    "LABELS_NOTE",
    "METRIC_NAMES",
    "MONITOR",
    "NOTE",
    "NOT_LEARNED",
    "ONE_ENCODER",
    "OUTPUT",
    "OVERRULED",
    "PRIVATE",
    "QUESTION",
    "REUSED_FROM",
    "REUSED_OWNER",
    "ROOT",
    "SCHEMA",
    "SCHEMA_VERSION",
    "SEEDS_TRAINED",
    "SERVER",
    "STUDY",
    "SUITE",
    "SUITE_TASK",
    "TRIAL_STATE",
    "USER",
    "VERDICT",
    "VERDICT_BEGIN",
    "VERDICT_END",
    "VERDICT_REASON",
    "Child",
    "LoggedClassifier",
    "OwnExperiment",
    "Record",
    "RootRun",
    "StoreUnavailable",
    "Tracker",
    "all_children",
    "children",
    "classifier_files",
    "current_user",
    "dead_runs",
    "discard_unused_run",
    "end_dead",
    "experiments",
    "findings",
    "finished_with_tag",
    "joined_name",
    "last_name",
    "latest_root",
    "local_artifact",
    "newest_models",
    "newest_runs",
    "overruled_remark",
    "preflight",
    "read_artifact",
    "read_json",
    "read_run",
    "read_table",
    "read_uri",
    "register",
    "root_run",
    "send_spool",
    "spools",
    "store_digest",
    "study_runs",
    "tagged",
    "write_verdicts",
]
