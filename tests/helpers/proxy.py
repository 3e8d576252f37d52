"""A connection to a local server that a test can cut and restore."""

import contextlib
import http.client
import http.server
import socket
import threading

CONNECTION_HEADERS = ("Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length")
"""Headers that belong to one connection and are not passed on."""


def _bound(port):
    """A socket that holds a port and does not listen yet."""
    bound = socket.socket()
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind(("127.0.0.1", port))
    return bound


class Proxy:
    """A proxy for the server at ``port`` of the loopback.

    After :meth:`cut` every connection is refused, until :meth:`mend`.

    Attributes
    ----------
    url
        The proxy's address.
    requests
        Method and path of every request that was passed on.
    """

    def __init__(self, port):
        self.port = port
        self.requests = []
        self._n_left = float("inf")
        self._return_last = True
        self._lock = threading.Lock()
        self._listening = threading.Event()
        self._ended = False
        self._listener = _bound(0)
        self._address = self._listener.getsockname()
        self.url = f"http://127.0.0.1:{self._address[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self):
        self.mend()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended = True
        self._refuse()
        self._listening.set()
        self._thread.join(10)
        self._listener.close()

    def cut(self, after=0, *, answer=False):
        """Pass on ``after`` more requests and then refuse connections.

        Without ``answer``, the response to the last of them is not returned.
        """
        with self._lock:
            self._n_left = after
            self._return_last = answer
            if after == 0:
                self._refuse()

    def mend(self):
        """Pass on all requests."""
        with self._lock:
            self._n_left = float("inf")
            self._return_last = True
            self._listener.listen(64)
            self._listening.set()

    def _refuse(self):
        """Hold the port without listening."""
        self._listening.clear()
        with contextlib.suppress(OSError):  # it did not listen
            self._listener.shutdown(socket.SHUT_RDWR)  # ends a waiting accept
        self._listener.close()
        self._listener = _bound(self._address[1])

    def _serve(self):
        while self._listening.wait() and not self._ended:
            with contextlib.suppress(OSError):  # shut down
                connection, peer = self._listener.accept()
                threading.Thread(target=self._handle, args=(connection, peer), daemon=True).start()

    def _handle(self, connection, peer):
        with contextlib.suppress(OSError), contextlib.closing(connection):
            _Handler(connection, peer, self)  # type: ignore[arg-type]  # it needs no more of a server

    def admit(self, method, path):
        """Whether a request is passed on, and whether its response is returned."""
        with self._lock:
            if self._n_left < 1:
                return False, False
            self._n_left -= 1
            self.requests.append((method, path))
            if self._n_left:
                return True, True
            self._refuse()
            return True, self._return_last


class _Handler(http.server.BaseHTTPRequestHandler):
    """Passes on one request and returns its response."""

    def handle_one_request(self):
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        self.close_connection = True
        passed, answered = self.server.admit(self.command, self.path)  # type: ignore[attr-defined]
        if not passed:
            return
        port = self.server.port  # type: ignore[attr-defined]
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        with contextlib.closing(connection) as server:
            headers = {
                name: value
                for name, value in self.headers.items()
                if name not in CONNECTION_HEADERS
            }
            server.request(self.command, self.path, self._body(), headers)
            response = server.getresponse()
            content = response.read()
        if answered:
            self._return(response, content)

    def _return(self, response, content):
        self.send_response_only(response.status, response.reason)
        for name, value in response.getheaders():
            if name.title() not in CONNECTION_HEADERS:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _body(self):
        """The body of the request, sent whole or in chunks."""
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)
