"""Artifacts in the store, and changes that break them."""

import json
from pathlib import Path

import numpy as np

from tests.helpers.stored import noisy

GOLD = np.arange(60) % 3


def arms_of():
    """Predictions of two arms for the examples of ``GOLD``."""
    return {"gold": noisy(GOLD, 0.9, 2), "llm": noisy(GOLD, 0.6, 2, 1)}


def artifact_path(run, name):
    return Path(run.artifact_uri.removeprefix("file://"), name)


def change_json(run, name, change):
    path = artifact_path(run, name)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value)))


def put(path, value):
    """A change that sets ``value`` at a dotted path of a JSON object; ``...`` deletes it."""

    def change(data):
        *parents, name = path.split(".")
        inner = data
        for parent in parents:
            inner = inner[parent]
        if value is ...:
            del inner[name]
        else:
            inner[name] = value
        return data

    return change


def cells(column, value):
    """A change that sets a whole column of a table."""

    def change(table):
        table[column] = value
        return table

    return change


def first(column, value):
    """A change that sets the first value of a column."""

    def change(table):
        changed = table[column].astype(object)
        changed.iloc[0] = value
        return table.assign(**{column: changed})

    return change
