"""What the preflight finds about a tracking server itself: its version and its clock."""

from __future__ import annotations

import email.utils
import re
import time
from collections.abc import Iterator

import mlflow
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from project.support.errors import AssayError
from project.support.redact import scrubbed
from project.tracking.doctor.finding import Finding
from project.tracking.doctor.refusals import explained
from project.tracking.failures import address

_CLOCK_TOLERANCE = 60  # seconds; beyond it the times in the UI mislead


def server_findings(uri: str) -> Iterator[Finding]:
    """Version and clock of the tracking server at ``uri``."""
    with explained():
        began = time.time()
        answer = http_request(get_default_host_creds(uri), "/version", "GET", raise_on_status=False)
        halfway = (began + time.time()) / 2
    # A redirected POST arrives as a GET without its content, so nothing would be written.
    if answer.history:
        target = scrubbed(answer.url.removesuffix("/version"))
        raise AssayError(
            f"the tracking server {address()} redirects to {target}, and what is written gets lost "
            "on the way. Set MLFLOW_TRACKING_URI to that address."
        )
    server_version = answer.text.strip() if answer.status_code == 200 else ""
    yield version_finding(server_version, mlflow.__version__)
    yield clock_finding(answer.headers.get("Date", ""), halfway)


def version_finding(server: str, here: str) -> Finding:
    """Whether MLflow ``here`` can be used with MLflow ``server``, both given as versions.

    Another major version has another API, which raises AssayError. A server with an older minor
    version may lack some requests, which is a note.
    """
    theirs = _major_minor(server)
    ours = _major_minor(here)
    if not theirs or not ours:
        return Finding("version", f"the server does not send its version; MLflow {here} here")
    if theirs[0] != ours[0]:
        raise AssayError(
            f"the tracking server {address()} is MLflow {server}, which has another API than "
            f"MLflow {here} here. Set MLFLOW_TRACKING_URI to a server of MLflow {ours[0]}, {here} "
            "or newer, or upgrade this one."
        )
    if theirs < ours:
        return Finding(
            "version",
            f"the tracking server is MLflow {server}, older than {here} here, and may lack "
            "functions that Assay uses. Upgrade the server.",
            note=True,
        )
    return Finding("version", f"MLflow {server}, and {here} here")


def _major_minor(text: str) -> tuple[int, ...]:
    """The first two numbers of a version; empty for a text that is none."""
    match = re.match(r"(\d+)\.(\d+)", text)
    return tuple(map(int, match.groups())) if match else ()


def clock_finding(date: str, now: float) -> Finding:
    """How far this machine's clock is from the server's.

    Parameters
    ----------
    date
        HTTP header ``Date`` of the server, which has whole seconds.
    now
        This machine's time when the header was written, in seconds since 1970.
    """
    try:
        # Half a second is what cutting to whole seconds takes away on average.
        ahead = now - email.utils.parsedate_to_datetime(date).timestamp() - 0.5
    except ValueError:
        return Finding("clock", "the server does not send its time")
    difference = abs(ahead)
    if difference <= 2:
        return Finding("clock", "within two seconds of the server's")
    if difference <= _CLOCK_TOLERANCE:
        return Finding("clock", f"{difference:.0f} s from the server's")
    direction = "ahead of" if ahead > 0 else "behind"
    return Finding(
        "clock",
        f"this machine's clock is {difference:.0f} s {direction} the tracking server's, and so "
        "will be the times of its runs. Set it.",
        note=True,
    )
