"""The reference pages are what the code says, and name everything that experiments log."""

import sqlite3
from pathlib import Path

import pytest

from entrypoints.wiring.reference import FOLDER, pages
from project.config import logged_names
from project.config.entry_points import ENTRY_POINTS, every_parameter
from project.config.metrics import METRICS
from tests.helpers.old_store import unpack

FIXTURE = Path(__file__).parents[1] / "fixtures" / "store_of_e282f68.tar.xz"
QUERY = "SELECT DISTINCT key FROM {}"
LOGGED_BEFORE = {"least_alpha"}
"""Parameters that older versions logged under another name."""


@pytest.mark.parametrize("name", pages())
def test_a_reference_page_is_up_to_date(name):
    assert (FOLDER / name).read_text(encoding="utf-8") == pages()[name], "run: make reference"


def test_the_parameter_page_names_every_parameter():
    page = pages()["parameters.md"]
    names = {name for entry in ENTRY_POINTS.values() for name in entry.rules()}

    assert {name for name in names if f"`{name}`" not in page} == set()


@pytest.fixture(scope="module")
def names_in_a_store(tmp_path_factory):
    """Names of tags, parameters and metrics in a store with an experiment of every kind."""
    folder = tmp_path_factory.mktemp("store")
    unpack(FIXTURE, folder)
    (database,) = folder.rglob("mlflow.db")
    with sqlite3.connect(database) as connection:
        return {
            table: {key for (key,) in connection.execute(QUERY.format(table))}
            for table in ("tags", "params", "latest_metrics")
        }


def test_every_tag_of_a_store_is_explained(names_in_a_store):
    tags = {name for name in names_in_a_store["tags"] if not name.startswith("mlflow.")}

    assert tags - {entry.name for entry in logged_names.TAGS} == set()


def test_every_parameter_of_a_store_is_explained(names_in_a_store):
    explained = {entry.name for entry in logged_names.PARAMS} | every_parameter()

    assert names_in_a_store["params"] - explained - LOGGED_BEFORE == set()


def test_every_metric_of_a_store_is_explained(names_in_a_store):
    explained = {
        *METRICS,
        *(entry.name for entry in (*logged_names.EVALUATION_METRICS, *logged_names.OTHER_METRICS)),
    }
    bare = {
        name.removeprefix("test.").removeprefix("validation.")
        for name in names_in_a_store["latest_metrics"]
    }
    without_recall = {name for name in bare if not name.startswith("recall.")}

    assert without_recall - explained == set()
