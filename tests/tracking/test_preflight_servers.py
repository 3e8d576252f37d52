"""Servers that are late, elsewhere, older or refuse a token, as the preflight finds them."""

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
from project.tracking.doctor.preflight import clock, version
from tests.helpers import servers
from tests.helpers.preflights import preflight_error


def test_a_server_that_does_not_answer_is_not_waited_for_long():
    with (
        socket.create_server(("127.0.0.1", 0)) as listens,
        servers.client(
            f"http://127.0.0.1:{listens.getsockname()[1]}", MLFLOW_HTTP_REQUEST_TIMEOUT="1"
        ),
    ):
        began = time.perf_counter()
        assert "cannot be used: Read timed out. Start it or mend it" in preflight_error(Incomplete)

    assert time.perf_counter() - began < 5


class _Late(http.server.BaseHTTPRequestHandler):
    """As much of the API as is asked before anything is written, from a server whose clock is ten minutes ahead."""

    def do_GET(self):
        version = self.path == "/version"
        content = (
            b"3.17.2"
            if version
            else json.dumps({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}).encode()
        )
        self.answer(200 if version else 404, content)

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
    """The address of a server of ``handler``'s."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_a_clock_that_differs_from_the_servers_is_a_note():
    found = {}
    with serving(_Late) as url, servers.client(url):
        for one in findings(Path("work")):
            found[one.part] = one
            if one.part == "clock":
                break

    assert found["clock"].note
    assert re.fullmatch(
        "this machine's clock is (599|600|601) s behind the tracking server's, and so will .* runs. Set it.",
        found["clock"].text,
    )


def test_an_address_that_sends_on_to_another_is_refused_for_that_one():
    with serving(_Late) as there:

        class Elsewhere(_Late):
            def do_GET(self):
                self.answer(301, Location=f"{there}{self.path}")

        with serving(Elsewhere) as url, servers.client(url):
            said = preflight_error()

    assert (
        f"sends whoever asks on to {there}, and what is written is lost on the way. Give that address in MLFLOW_TRACKING_URI."
        in said
    )


def test_clocks_within_a_minute_are_no_matter():
    assert clock(email.utils.formatdate(1000, usegmt=True), 1000.9) == (
        "clock",
        "within two seconds of the server's",
        False,
    )
    assert clock(email.utils.formatdate(1000, usegmt=True), 1030.5) == (
        "clock",
        "30 s from the server's",
        False,
    )
    assert clock(email.utils.formatdate(1000, usegmt=True), 1100.5).text.startswith(
        "this machine's clock is 100 s ahead of"
    )
    assert clock("", 1000) == ("clock", "the server does not tell the time", False)


def test_an_older_server_is_a_note_and_another_major_version_an_error():
    assert not version("3.17.2", "3.17.2").note
    assert not version("3.20.0", "3.17.2").note
    assert not version("3.17.0", "3.17.2").note
    assert not version("<html>", "3.17.2").note
    assert version("3.9.1", "3.17.2").note
    assert "older than 3.17.2 here" in version("3.9.1", "3.17.2").text
    for server in ("2.22.0", "4.0.0"):
        with pytest.raises(
            AssayError, match=f"is MLflow {server}, and MLflow 3.17.2 here speaks another API"
        ):
            version(server, "3.17.2")


def test_a_token_that_the_server_does_not_take_is_named():
    class Proxy(_Late):
        def do_GET(self):
            self.answer(401)

    with serving(Proxy) as url, servers.client(url, MLFLOW_TRACKING_TOKEN="the token of nobody"):
        assert "does not take what is in MLFLOW_TRACKING_TOKEN. Get a new one" in preflight_error()
    with servers.client("http://127.0.0.1:9", MLFLOW_TRACKING_TOKEN="a token"):
        assert "cannot be used: Connection refused" in preflight_error(Incomplete)
