"""A tracking server with SQLite on this machine, for a benchmark."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import mlflow

_PATIENCE = 60.0  # seconds until the server must answer
_ENVIRONMENT = {
    "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


@contextlib.contextmanager
def server() -> Iterator[Path]:
    """The folder of a new tracking server, which MLflow and Assay use inside the context."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = _start(folder, port)
        variables = {"MLFLOW_TRACKING_URI": url, "ASSAY_CACHE": str(folder / "cache")}
        try:
            _wait_for(f"{url}/health")
            with mock.patch.dict(os.environ, variables):
                mlflow.set_tracking_uri(url)
                yield folder
        finally:
            mlflow.set_tracking_uri("")
            process.terminate()
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the server in a session of its own."""
    options = {
        "--host": "127.0.0.1",
        "--port": str(port),
        "--backend-store-uri": f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination": str(folder / "artifacts"),
        "--workers": "1",
    }
    arguments = [word for option in options.items() for word in option]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *arguments],
            env={**os.environ, **_ENVIRONMENT},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _wait_for(address: str) -> None:
    """Wait until the server answers."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError, urllib.error.URLError),
            urllib.request.urlopen(address, timeout=5),  # noqa: S310  # an address of our own
        ):
            return
        time.sleep(0.2)
    raise RuntimeError("the tracking server did not start")
