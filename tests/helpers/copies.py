"""Copies of the folder of a store, for tests that begin where another run has ended."""

import shutil
import sqlite3
from contextlib import closing

from mlflow.tracking._tracking_service.utils import _artifact_repos_cache


def copy_store(source, target):
    """Copy a store with its artifacts and workspaces; its paths are those of the copy.

    ``target``: a folder that may exist. What files hold, such as parameters of runs, stays.
    """
    shutil.copytree(source, target, dirs_exist_ok=True)
    with closing(sqlite3.connect(target / "mlflow.db")) as database, database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        for (table,) in tables:
            for _, column, *_ in database.execute(f"PRAGMA table_info('{table}')").fetchall():
                database.execute(
                    f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '  # noqa: S608
                    f'WHERE instr("{column}", ?)',
                    (str(source), str(target), str(source)),
                )
    _artifact_repos_cache.clear()  # MLflow finds the files of a run by its id alone
