"""Names of experiments, tags and kinds of runs in the tracking store.

Stores of older versions hold them, so a constant may be renamed but never its value.
"""

from __future__ import annotations

SCHEMA_VERSION = "2"
EXPERIMENT = "assay"
"""Experiment of new root runs unless the environment names another."""

# What a run is and what it belongs to.
KIND = "assay.kind"
SCHEMA = "assay.schema_version"
DIGEST = "assay.digest"
ROOT = "assay.root"
ENTRY = "assay.entry"  # id of the spool entry that a child run was made from
PRIVATE = "assay.private"

# How a run ended, and whether its process is alive.
ENDED = "assay.ended"
REAPED = "assay.reaped"
WORKER = "assay.worker"
HEARTBEAT = "assay.heard"
REFUSED = "assay.refused"  # why a command was refused before its run began
ARM_METRICS = "2"  # metrics of arms begin with ``arm.``; before, with the name of the arm
METRIC_NAMES = "assay.metric_names"  # version of the names of the root run's metrics
BASE_NAME = "assay.base_name"  # name that Assay gave a root run, before the verdict was known

# How a result is found and checked for reuse, and from which run and owner it was reused.
QUESTION = "assay.question"  # digest of model, prompt and reading, without the texts
ARTIFACT_HASHES = "assay.sha256"
REUSED_FROM = "assay.taken_from"
REUSED_OWNER = "assay.taken_of"

# Facts about the data, the prompt and the annotator.
ABSENT = "assay.absent_classes"
SEEDS_TRAINED = "assay.seeds_trained"
CHANCE = "assay.chose_at_random"  # why an arm that learns from an audit did so all the same
LABELS_NOTE = "assay.labels_note"  # what an arm that makes labels anew made of them
FEW = "assay.few_steps"
NOT_LEARNED = "assay.not_learned"
PROMPT = "assay.prompt"
SERVER = "assay.server"  # hash of the address of an OpenAI-compatible server

# Parameters whose value is another one than the default that ``mlflow run`` logged.
CONFIG_FILE = "assay.config_file"
OVERRULED = "assay.overruled"  # the values by name, as JSON

# Hyperparameter search.
STUDY = "assay.study"
TRIAL_STATE = "assay.trial_state"
CHOSEN = "assay.chosen"

# Tasks that went through the same experiment.
SUITE = "assay.suite"  # name of the suite
SUITE_TASK = "assay.suite_task"  # digest of a task's parameters and inputs
ONE_ENCODER = "assay.one_encoder"  # the labels that one encoder has learned together

# Batches of a monitor.
MONITOR = "assay.monitor"  # digest of the classifier, the old texts and the settings
BATCH = "assay.batch"  # digest of the texts of a batch

# Texts that people label in MLflow: the queues of a run, as JSON; text and queue of a trace.
REVIEW_QUEUES = "assay.review_queues"
EXAMPLE = "assay.example_id"
QUEUE = "assay.review_queue"  # number among the queues of the run, from 1

# SHA-256 of the file that a run wrote.
OUTPUT = "assay.output"

# What a report concludes.
VERDICT = "assay.verdict"
VERDICT_REASON = "assay.verdict_reason"

# Tags that MLflow itself and its UI read.
PARENT = "mlflow.parentRunId"
RUN_NAME = "mlflow.runName"
NOTE = "mlflow.note.content"
USER = "mlflow.user"
ENTRY_POINT = "mlflow.project.entryPoint"
RUN_OF_TRACE = "mlflow.sourceRun"
LINKED_PROMPTS = "mlflow.linkedPrompts"
LOGGED_TABLES = "mlflow.loggedArtifacts"

UNSENT = "entry:"
"""Prefix of the placeholder id of a child run that is still in the spool."""
