"""An HTTP client that adapts to how much a server can take. The only file that imports aiohttp.

The number of concurrent requests grows while the server answers and is halved when it is busy
(additive increase, multiplicative decrease). Requests with temporary errors are sent again, after
growing delays. The server's key is sent in the ``Authorization`` header only; it is removed from
every message of the server.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import random
import urllib.parse
import urllib.request
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

import aiohttp

from project.annotation.engines.openai.connections import unreachable
from project.annotation.engines.openai.event_loop import EventLoop
from project.annotation.engines.openai.faults import (
    MalformedResponse,
    NotSent,
    ServerFailed,
    TemporaryError,
    UnusableResponse,
)
from project.annotation.engines.openai.pace import Pace, retry_after_seconds
from project.annotation.engines.openai.responses import (
    error_message,
    error_status,
    parse_json,
    short,
    temporary_error,
    without_key,
)
from project.annotation.engines.openai.trouble import Trouble
from project.config.annotation import ServerConfig
from project.support.errors import AssayError, Incomplete
from project.support.redact import register_secret_variable

T = TypeVar("T")

MAX_WAIT = 600.0
"""Seconds. If a server asks to wait longer, the work ends and can be continued later."""

_FIRST_DELAY = 0.5  # seconds before the first retry
_MAX_DELAY = 30.0
_CONNECT_TIMEOUT = 10.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BUSY = (429, 503, 529)  # statuses of a server that has too much to do
_RESUME = "Answers on disk are kept; run again to go on."


class _Request(NamedTuple):
    method: str
    path: str
    body: Any  # None for a GET


class Client:
    """Sends requests to one server, from any thread; closed when the program ends, if not before.

    Attributes
    ----------
    url
        Address of the server, without a slash at the end.
    key_is_exposed
        Whether the key travels unencrypted over a network.
    pace, trouble
        The limit on concurrent requests, and on requests while the server fails at all.
    n_requests
        Requests sent so far, each attempt counted.
    """

    def __init__(self, url: str, config: ServerConfig) -> None:
        """Read the key from the environment. Nothing is sent yet."""
        self.url = url
        self._config = config
        self._key = os.environ.get(config.api_key_variable, "").strip()
        register_secret_variable(config.api_key_variable)
        if not (self._key.isascii() and self._key.isprintable()):
            raise AssayError(
                f"the key in the environment variable {config.api_key_variable} "
                "must have printable ASCII characters only. Set it again."
            )
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        self.key_is_exposed = bool(self._key) and url.startswith("http:") and host not in _LOOPBACK
        direct = host in _LOOPBACK or urllib.request.proxy_bypass(host)
        self._proxy = None if direct else urllib.request.getproxies().get(parts.scheme)
        self._random = random.Random()  # spreads retries in time; no result depends on it
        self._session: aiohttp.ClientSession | None = None
        self._loop = EventLoop()
        self._stopped = asyncio.Event()
        self.trouble = Trouble()
        self.n_requests = 0
        self.pace = self.run(self._new_pace())
        atexit.register(self.close)

    async def _new_pace(self) -> Pace:
        # It belongs to the event loop that runs this.
        return Pace(self._config.max_concurrency, pause=self._pause)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """See :meth:`project.annotation.engines.openai.event_loop.EventLoop.run`."""
        return self._loop.run(work)

    @property
    def is_stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Send nothing new; what was sent already may be answered."""
        self._loop.call(self._stopped.set)

    def close(self) -> None:
        """Cancel all requests and close all connections."""
        if not self._loop.is_closed:
            atexit.unregister(self.close)
            self._loop.close(self._close_session)

    async def _close_session(self) -> None:
        if self._session:
            await self._session.close()

    async def get(self, path: str, parse: Callable[[Any], T], *, retries: int | None = None) -> T:
        """What ``parse`` returns for the response to a GET; see :meth:`post`."""
        return await self._send(_Request("GET", path, None), parse, retries)

    async def post(
        self,
        path: str,
        body: Any,
        parse: Callable[[Any], T],
        *,
        retries: int | None = None,
        may_begin: Callable[[], bool] | None = None,
    ) -> T:
        """What ``parse`` returns for the JSON of the response to ``body``.

        Parameters
        ----------
        path
            Path below the server's address.
        body
            Value that is sent as JSON.
        parse
            Function of the response's JSON. Raises MalformedResponse for content that should be
            requested again.
        retries
            How often a request with a temporary error is sent again, at most as often as
            ``request_retries`` allows (the default). Temporary errors: a failed connection, no
            response in time, a busy or failing server, a malformed response. While a busy server
            answers other requests, its refusals do not count.
        may_begin
            Called when the request is about to be sent; may forbid it.

        Raises
        ------
        Incomplete
            If the last retry fails, too.
        RequestRefused
            If the server refuses the request or the key.
        NotSent
            If ``may_begin`` forbids it, or if :meth:`stop` was called while it waited.
        """
        return await self._send(_Request("POST", path, body), parse, retries, may_begin)

    async def _send(
        self,
        request: _Request,
        parse: Callable[[Any], T],
        retries: int | None,
        may_begin: Callable[[], bool] | None = None,
    ) -> T:
        """Send the request, again if an error is temporary. Raises the errors of :meth:`post`."""
        limit = self._config.request_retries
        n_left = 1 + (limit if retries is None else min(retries, limit))
        n_sent = 0
        mark = object()
        failure: Incomplete | None = None
        try:
            while True:
                n_succeeded = self.pace.n_succeeded
                await self.trouble.wait(mark)
                try:
                    async with self.pace.slot() as n_halvings:
                        if self.trouble.holds(mark):  # since it waited for the slot
                            continue
                        if (self.is_stopping and n_sent) or (may_begin and not may_begin()):
                            raise NotSent
                        return await self._attempt(request, parse, n_halvings)
                except TemporaryError as caught:
                    error = caught
                if error.shows_trouble:
                    self.trouble.failed()
                n_sent += 1
                # A busy server that answers other requests will answer this one later.
                if not (error.busy and self.pace.n_succeeded > n_succeeded):
                    n_left -= 1
                if not n_left:
                    failure = self._failure(error, n_sent)
                    raise failure
                # Random delays ("full jitter"), so that requests do not come back all at once.
                max_delay = min(_MAX_DELAY, _FIRST_DELAY * 2 ** (n_sent - 1))
                await self._pause(self._random.uniform(0, max_delay))
        finally:
            self.trouble.leave(mark, failure)

    async def _pause(self, seconds: float) -> None:
        """Wait before a request is sent; raises NotSent as soon as :meth:`stop` is called."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
                raise NotSent

    def _failure(self, error: TemporaryError, n_sent: int) -> Incomplete:
        """What to raise after the last of ``n_sent`` attempts."""
        times = f"{n_sent} times" if n_sent > 1 else "once"
        message = f"the server at {self.url} {error}; sent {times}. {_RESUME}"
        failure = error.error(without_key(message, self._key))
        if isinstance(failure, ServerFailed | UnusableResponse):
            failure.words = without_key(error.words, self._key)
        return failure

    async def _attempt(self, request: _Request, parse: Callable[[Any], T], n_halvings: int) -> T:
        """Send the request once. Raises TemporaryError, or the errors of :meth:`post`."""
        try:
            status, headers, content = await self._exchange(request)
            if status == 200:
                data = parse_json(content)
                status = error_status(data) or 200
                if status == 200:
                    result = parse(data)
                    self.pace.speed_up()
                    self.trouble.succeeded()
                    return result
        except MalformedResponse as error:
            words = short(str(error), self._key)
            raise TemporaryError(f"returned {words}", UnusableResponse, words=words) from None
        except aiohttp.ConnectionTimeoutError as error:
            raise unreachable(error, self.url) from None
        except TimeoutError:
            self.pace.slow_down(n_halvings)
            words = f"no answer within {self._config.request_timeout:g} s (request_timeout)"
            reason = words.replace("no answer", "did not answer")
            raise TemporaryError(reason, ServerFailed, words=words, busy=True) from None
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(error, self.url) from None
        reason = temporary_error(
            status,
            request.path,
            content,
            url=self.url,
            key=self._key,
            key_variable=self._config.api_key_variable,
        )
        if status in _BUSY:
            self._slow_down(n_halvings, headers.get("Retry-After"))
            raise TemporaryError(reason, busy=True)
        kind = ServerFailed if status >= 500 else Incomplete
        raise TemporaryError(reason, kind, words=error_message(content, self._key).text)

    async def _exchange(self, request: _Request) -> tuple[int, Any, bytes]:
        """Status, headers and body of the response."""
        if self._session is None:
            timeout = self._config.request_timeout
            self._session = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=aiohttp.ClientTimeout(
                    total=timeout, sock_connect=min(_CONNECT_TIMEOUT, timeout)
                ),
                connector=aiohttp.TCPConnector(limit=0),  # the pace is the limit
            )
        self.n_requests += 1
        async with self._session.request(
            request.method,
            self.url + request.path,
            json=request.body,
            proxy=self._proxy,
            allow_redirects=False,  # a redirect could send the key to another server
        ) as response:
            return response.status, response.headers, await response.read()

    def _slow_down(self, n_halvings: int, retry_after: str | None) -> None:
        """Slow down after a busy response; raises Incomplete if the server asks to wait long."""
        wait = retry_after_seconds(retry_after)
        if wait > MAX_WAIT:
            raise Incomplete(
                f"the server at {self.url} asks to wait for {wait:.0f} s "
                f"before the next request. {_RESUME}"
            )
        self.pace.slow_down(n_halvings, wait)
