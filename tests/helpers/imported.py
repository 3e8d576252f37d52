"""What processes of Assay import sooner or later: see :mod:`tests.helpers.forked`."""

# ruff: noqa: F401  (imports are what this module is for)

import matplotlib.figure
import mlflow.cli
import mlflow.tracking
import sklearn.metrics
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertForSequenceClassification,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

import project.annotation.engines.transformers.engine
import project.tracking
import project.training.workers
import tests.helpers.quick_sqlite
