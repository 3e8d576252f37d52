"""Artifacts of the store as somebody could leave them there, and changes that break them."""

import json
from pathlib import Path

import numpy as np

from tests.helpers.stored import noisy

GOLD = np.arange(60) % 3


def arms_of():
    return {"gold": noisy(GOLD, 0.9, 2), "llm": noisy(GOLD, 0.6, 2, 1)}


def place(run, name):
    return Path(run.artifact_uri.removeprefix("file://"), name)


def change_json(run, name, change):
    path = place(run, name)
    value = json.loads(path.read_text())
    path.write_text(json.dumps(change(value)))


def put(path, value):
    """A change that puts ``value`` at the dotted ``path`` of a JSON object, or takes it away where it is ``...``."""

    def change(whole):
        inner, names = whole, path.split(".")
        for name in names[:-1]:
            inner = inner[name]
        if value is ...:
            del inner[names[-1]]
        else:
            inner[names[-1]] = value
        return whole

    return change


def cells(column, value):
    def change(table):
        table[column] = value
        return table

    return change


def first(column, value):
    def change(table):
        made = table[column].astype(object)
        made.iloc[0] = value
        return table.assign(**{column: made})

    return change
