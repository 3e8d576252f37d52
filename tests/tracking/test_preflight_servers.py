"""The preflight with servers that are slow, moved, older or refuse a token."""

import contextlib
import email.utils
import http.server
import json
import re
import socket
import threading
import time
from pathlib import Path

import pytest

from project.support.errors import AssayError, Incomplete
from project.tracking import findings
from project.tracking.doctor.server import clock_finding, version_finding
from tests.helpers import servers
from tests.helpers.preflights import preflight_error


def test_a_server_that_does_not_answer_is_given_up_after_the_timeout():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        servers.client(
            f"http://127.0.0.1:{listener.getsockname()[1]}", MLFLOW_HTTP_REQUEST_TIMEOUT="1"
        ),
    ):
        began = time.perf_counter()
        message = preflight_error(Incomplete)

    assert "cannot be used: Read timed out. Start or repair it" in message
    assert time.perf_counter() - began < 5


class _FastClock(http.server.BaseHTTPRequestHandler):
    """The part of the API that is used before any writing; its clock is ten minutes fast."""

    def do_GET(self):
        if self.path == "/version":
            self.answer(200, b"3.17.2")
        else:
            missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
            self.answer(404, json.dumps(missing).encode())

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def date_time_string(self, timestamp=None):
        return email.utils.formatdate(time.time() + 600, usegmt=True)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(handler):
    """The address of a running server with this handler."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_clock_that_differs_from_the_server_s_is_a_note():
    with serving(_FastClock) as url, servers.client(url):
        finding = next(each for each in findings(Path("work")) if each.part == "clock")

    assert finding.note
    assert re.fullmatch(
        "this machine's clock is (599|600|601) s behind the tracking server's, and so will .* runs."
        " Set it.",
        finding.text,
    )


def test_a_redirecting_address_is_refused_and_its_target_named():
    with serving(_FastClock) as target:

        class Redirecting(_FastClock):
            def do_GET(self):
                self.answer(301, Location=f"{target}{self.path}")

        with serving(Redirecting) as url, servers.client(url):
            message = preflight_error()

    assert (
        f"redirects to {target}, and what is written gets lost on the way. "
        "Set MLFLOW_TRACKING_URI to that address."
    ) in message


def test_a_clock_difference_is_a_note_from_one_minute_on():
    header = email.utils.formatdate(1000, usegmt=True)
    assert clock_finding(header, 1000.9) == ("clock", "within two seconds of the server's", False)
    assert clock_finding(header, 1030.5) == ("clock", "30 s from the server's", False)
    late = clock_finding(header, 1100.5)
    assert late.note
    assert late.text.startswith("this machine's clock is 100 s ahead of")
    assert clock_finding("", 1000) == ("clock", "the server does not send its time", False)


def test_an_older_server_is_a_note_and_another_major_version_an_error():
    assert not version_finding("3.17.2", "3.17.2").note
    assert not version_finding("3.20.0", "3.17.2").note
    assert not version_finding("3.17.0", "3.17.2").note
    assert not version_finding("<html>", "3.17.2").note
    assert version_finding("3.9.1", "3.17.2").note
    assert "older than 3.17.2 here" in version_finding("3.9.1", "3.17.2").text
    for server in ("2.22.0", "4.0.0"):
        with pytest.raises(
            AssayError, match=f"is MLflow {server}, which has another API than MLflow 3.17.2 here"
        ):
            version_finding(server, "3.17.2")


def test_an_error_names_the_variable_of_a_token_that_the_server_does_not_accept():
    class Unauthorised(_FastClock):
        def do_GET(self):
            self.answer(401)

    token = "the token of nobody"  # noqa: S105
    with serving(Unauthorised) as url, servers.client(url, MLFLOW_TRACKING_TOKEN=token):
        message = preflight_error()
    assert "does not accept the token in MLFLOW_TRACKING_TOKEN. Get a new one" in message
    with servers.client("http://127.0.0.1:9", MLFLOW_TRACKING_TOKEN="a token"):
        assert "cannot be used: Connection refused" in preflight_error(Incomplete)
