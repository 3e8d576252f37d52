"""Fixtures of all tests: an empty tracking store, small models, a scripted annotator."""

# ruff: noqa: E402  (the environment must be set before libraries are imported)

import os
import shutil
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
for name in (
    "MLFLOW_RUN_ID",
    "MLFLOW_EXPERIMENT_ID",
    "MLFLOW_EXPERIMENT_NAME",
    "MLFLOW_TRACKING_URI",
):
    os.environ.pop(name, None)

_worker = os.environ.get("PYTEST_XDIST_WORKER")
if _worker:
    # One core for each worker: models start a thread for every core that they may use, and workers
    # with more threads than cores are much slower.
    _cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {_cores[int(_worker.removeprefix("gw")) % len(_cores)]})

import pandas as pd
import pytest

import tests.helpers.quick_sqlite  # noqa: F401  (it changes how SQLite writes)
from project.config.arms import ARMS
from project.config.engines import ENGINES
from project.config.metrics import METRICS
from project.config.task import TaskConfig
from project.data.card import CARDS
from project.data.task import load_task
from tests.helpers.annotators import ScriptedAnnotator
from tests.helpers.pets import CARD
from tests.helpers.tiny_models import save_llm, save_model


@pytest.fixture(autouse=True)
def registries():
    """The tables to which packages outside of Assay add; after every test they are as before.

    No fixture is named here, so that this one ends last: monkeypatch puts back what it found.
    """
    tables: tuple[dict[str, Any], ...] = (ARMS, ENGINES, METRICS)
    before = [dict(table) for table in tables]
    yield
    for table, entries in zip(tables, before, strict=True):
        table.clear()
        table.update(entries)


@pytest.fixture(scope="session")
def migrated_store(tmp_path_factory):
    """The file of an empty SQLite tracking store, made by MLflow once: it takes seconds."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folder = tmp_path_factory.mktemp("store")
    SqlAlchemyStore(f"sqlite:///{folder}/mlflow.db", str(folder / "artifacts")).engine.dispose()
    return folder / "mlflow.db"


@pytest.fixture
def store(migrated_store, tmp_path, monkeypatch):
    """The temporary folder of a test, with an empty tracking store; the test runs there."""
    import mlflow

    shutil.copy(migrated_store, tmp_path / "mlflow.db")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path}/mlflow.db")
    yield tmp_path
    mlflow.set_tracking_uri("")


@pytest.fixture(scope="module")
def kept_store(tmp_path_factory):
    """The folder in which a store is kept for all tests of a file."""
    return tmp_path_factory.mktemp("kept") / "store"


@pytest.fixture
def once(store, kept_store):
    """A function that fills the store: by its argument at the first call in a file, then by a copy.

    The tests of such a file belong into one ``xdist_group``, or every process makes the store anew.
    """
    from tests.helpers.copies import copy_store

    def fill(make):
        if kept_store.is_dir():
            copy_store(kept_store, store)
        else:
            make()
            copy_store(store, kept_store)

    return fill


@pytest.fixture(scope="session")
def small_task():
    """The bundled task with few examples."""
    return load_task(TaskConfig(max_train=32, max_validation=16, max_test=24))


@pytest.fixture(scope="session")
def words():
    """The words of the bundled task, for small tokenizers."""
    return (CARDS / "catalogue.csv").read_text(encoding="utf-8").lower().split()[:3000]


@pytest.fixture
def pets(tmp_path):
    """A function that writes a task card and its 60 rows, which its argument may change."""

    def write(change=lambda table: table, card=CARD):
        table = pd.DataFrame(
            {"text": [f"letter number {i}" for i in range(60)], "label": ["cat", "dog", "dog"] * 20}
        )
        change(table).to_csv(tmp_path / "pets.csv", index=False)
        (tmp_path / "pets.yaml").write_text(card)
        return TaskConfig(task=str(tmp_path / "pets.yaml"))

    return write


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, words):
    """A function from an architecture's name to a folder with a small model and its tokenizer."""
    folders = {}

    def folder_of(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp(f"tiny-{name}")
            save_model(name, words, folders[name])
        return folders[name]

    return folder_of


@pytest.fixture(scope="session")
def tiny_encoder(tiny):
    """A folder with a BERT of two layers, random weights and a word tokenizer. It can learn."""
    return tiny("Bert")


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory, words):
    """A folder with a Llama of two layers, random weights and a context of 1024 tokens."""
    folder = tmp_path_factory.mktemp("tiny-llm")
    save_llm(words, folder)
    return folder


@pytest.fixture
def scripted():
    """The class of the scripted annotator."""
    return ScriptedAnnotator


@pytest.fixture
def params(tiny_llm, tiny_encoder, store):
    """A function from an entry point and changes to the parameters of a run that takes seconds."""
    from project.config.loading import defaults as entry_point_defaults

    def make(name="main", **changes):
        small = {
            "max_train": "40",
            "max_validation": "16",
            "max_test": "24",
            "annotator_model": str(tiny_llm),
            "annotator_dtype": "float32",
            "min_label_mass": "0",  # the model is untrained
            "ensemble_size": "2",
            "encoder": str(tiny_encoder),
            "seeds": "2",
            "epochs": "2",
            "learning_rate": "0.003",
            "workers": "1",
            "workspace": str(store / "work"),
        }
        defaults = entry_point_defaults(name)
        return {
            **defaults,
            **{key: value for key, value in {**small, **changes}.items() if key in defaults},
        }

    return make


@pytest.fixture(scope="module")
def vocabulary(tiny_llm):
    """The text of every token of the tiny LLM."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_llm)
    return [tokenizer.decode([token]) for token in range(len(tokenizer))]


@pytest.fixture
def forked_workers(monkeypatch):
    """Worker processes begin with the model libraries imported: see ``tests.helpers.forked``."""
    from tests.helpers.forked import forkserver

    forkserver()
    monkeypatch.setattr("project.training.workers._START_METHOD", "forkserver")
    monkeypatch.setattr("project.annotation.engines.process._START_METHOD", "forkserver")


@pytest.fixture
def serve():
    """A function that starts servers with the OpenAI protocol and annotators for them."""
    from tests.helpers.serving import serving

    with serving() as open_both:
        yield open_both


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """A tracking server for all tests with the mark ``xdist_group("tracking-server")``."""
    from tests.helpers.servers import tracking_server

    with tracking_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def proxy(server, tmp_path, monkeypatch):
    """A connection to the tracking server that a test can cut; this process uses it.

    Waits before retries are short.
    """
    from tests.helpers.proxy import Proxy
    from tests.helpers.servers import client

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASSAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", tmp_path.name)
    monkeypatch.setattr("project.tracking.outbox._RETRY_AFTER", 0.0)
    monkeypatch.setattr("project.tracking.outbox._LAST_PAUSES", (0.1,))
    monkeypatch.setattr("project.tracking.delivery._PAUSES", (0.05,))
    with Proxy(server.port) as connection, client(connection.url):
        yield connection
