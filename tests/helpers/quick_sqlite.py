"""SQLite in tests does not wait for the disk: only a power failure would lose what it wrote.

Waiting takes up to 20 ms with every commit, a thousand times in an experiment. A process that is
killed loses nothing either way: what it wrote is in the files of the system.
"""

import sqlite3

from sqlalchemy import Engine, event


@event.listens_for(Engine, "connect")
def _wait_for_no_disk(connection, _):
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous=OFF")
