"""The tracking store of an older version, which is packed in ``tests/fixtures``."""

import contextlib
import json
import os
import sqlite3
import tarfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
ARCHIVE = ROOT / "tests" / "fixtures" / "store_of_e282f68.tar.xz"
PACKED_FOLDER = "/old-store"
"""Stands in the packed database for the folder to which the store is unpacked."""


def unpack(archive, folder):
    """Unpack an archive of ``tests/fixtures``; Python before 3.11.4 knows no filter."""
    with tarfile.open(archive) as packed:
        if hasattr(tarfile, "data_filter"):
            packed.extraction_filter = tarfile.data_filter
        packed.extractall(folder)  # noqa: S202 - the archive is one of the repository's


class OldStore:
    """The store of commit e282f68, unpacked to ``folder``.

    ``roots`` holds by name what was expected of each root run, among it its ``run_id``.
    """

    def __init__(self, folder):
        unpack(ARCHIVE, folder)
        self.folder = folder
        self.uri = f"sqlite:///{folder}/mlflow.db"
        self.roots = json.loads((folder / "roots.json").read_text(encoding="utf-8"))
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            replaced = f"update {table} set {column} = replace({column}, ?, ?)"  # noqa: S608
            self.sql(replaced, PACKED_FOLDER, str(folder))

    def sql(self, statement, *values):
        """The rows of an SQL statement."""
        with contextlib.closing(sqlite3.connect(self.folder / "mlflow.db")) as database, database:
            return database.execute(statement, values).fetchall()

    def environment(self):
        """The environment of a process that uses the store and runs in its folder."""
        return {
            **os.environ,
            "MLFLOW_TRACKING_URI": self.uri,
            "ASSAY_CACHE": str(self.folder / "cache"),
            "PYTHONPATH": str(ROOT),  # MLflow makes folders where it runs, so not in the project
        }
