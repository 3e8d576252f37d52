"""An HTTP client that finds out how much a server can take. The only file that imports aiohttp.

Requests under way grow in number while the server answers and are halved when it says that it is busy (additive increase,
multiplicative decrease); what fails for a passing reason is sent again, later and later. The server's key stands in the
``Authorization`` header and nowhere else: whatever a server says is scrubbed of it.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import json
import os
import random
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, TypeVar

import aiohttp

from project.annotation.engines.openai.faults import Broken, Malformed, Refused
from project.annotation.engines.openai.pace import Pace, seconds
from project.config.experiment import ServerConfig
from project.support.errors import AssayError, Incomplete
from project.support.redact import hide, register_secret_variable, scrubbed

T = TypeVar("T")

LONGEST_WAIT = (
    600.0  # seconds: a server that asks for more patience is left alone until the next run
)
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class _Again(Exception):
    """A request failed for a reason that may pass. ``kind``: what it is when it does not; ``busy``: the server has too much to do."""

    def __init__(
        self, reason: str, kind: type[Incomplete] = Incomplete, *, busy: bool = False
    ) -> None:
        super().__init__(reason)
        self.kind, self.busy = kind, busy


class Client:
    """Requests to one server, from any thread; its event loop lives in a thread of its own.

    To be closed; the end of the program closes it too.
    """

    def __init__(self, url: str, server: ServerConfig) -> None:
        """``url``: without a slash at its end. The key is read from the environment here; nothing is sent yet."""
        self.url, self._server = url, server
        self._key = os.environ.get(server.api_key_variable, "").strip()
        register_secret_variable(server.api_key_variable)
        if not (self._key.isascii() and self._key.isprintable()):
            raise AssayError(
                f"the key in the environment variable {server.api_key_variable} holds characters that no key has. Set it again."
            )
        host = urllib.parse.urlsplit(url).hostname or ""
        self.exposed = bool(self._key) and url.startswith("http:") and host not in _LOOPBACK
        direct = host in _LOOPBACK or urllib.request.proxy_bypass(host)
        self._proxy = (
            None if direct else urllib.request.getproxies().get(urllib.parse.urlsplit(url).scheme)
        )
        self._random = random.Random()  # no result depends on it
        self._session: aiohttp.ClientSession | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.pace = self.run(self._make_pace())
        atexit.register(self.close)

    async def _make_pace(self) -> Pace:
        return Pace(self._server.max_concurrency)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of ``work``, waited for. Whatever interrupts the wait (Ctrl-C) ends the work too."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """End what is under way and close all connections."""
        if self._loop.is_closed():
            return
        atexit.unregister(self.close)
        self.run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session:
            await self._session.close()

    async def get(self, path: str, read: Callable[[Any], T], *, retries: int | None = None) -> T:
        """What ``read`` makes of the server's JSON answer to a GET. Errors as in :meth:`post`."""
        return await self._send("GET", path, None, read, retries)

    async def post(
        self, path: str, body: Any, read: Callable[[Any], T], *, retries: int | None = None
    ) -> T:
        """What ``read`` makes of the server's JSON answer to ``body``.

        A connection that fails, an answer that does not come in time, a busy or failing server and an answer that ``read`` calls
        Malformed are tried again, ``retries`` times (else as configured); then Incomplete is raised. While a busy server answers other requests
        its refusals do not count. Raises Refused for a request that the server does not take, and where it does not take the key.
        """
        return await self._send("POST", path, body, read, retries)

    async def _send(
        self, method: str, path: str, body: Any, read: Callable[[Any], T], retries: int | None
    ) -> T:
        left = 1 + (
            self._server.request_retries
            if retries is None
            else min(retries, self._server.request_retries)
        )
        asked = 0
        while True:
            answered = self.pace.answered
            try:
                async with self.pace.turn() as turn:
                    return await self._attempt(method, path, body, read, turn)
            except _Again as error:
                again = error
            asked += 1
            if not (
                again.busy and self.pace.answered > answered
            ):  # a busy server that answers others will come to this one too
                left -= 1
            if not left:
                times = f"{asked} times" if asked > 1 else "once"
                raise again.kind(
                    self.scrub(
                        f"the server at {self.url} {again}; asked {times}. Answers on disk are kept; run again to go on."
                    )
                )
            await asyncio.sleep(
                self._random.uniform(0, min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** (asked - 1)))
            )

    async def _attempt(
        self, method: str, path: str, body: Any, read: Callable[[Any], T], turn: int
    ) -> T:
        """One request. Raises _Again where it may be sent again, what :meth:`post` raises where not."""
        try:
            status, headers, content = await self._exchange(method, path, body)
            if status == 200:
                result = read(_parsed(content))
                self.pace.good()
                return result
        except Malformed as error:
            raise _Again(f"gave {self._short(str(error))}") from None
        except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
            if isinstance(error, TimeoutError) and not isinstance(
                error, aiohttp.ConnectionTimeoutError
            ):
                self.pace.busy(turn)
                raise _Again(
                    f"did not answer within {self._server.request_timeout:g} s (request_timeout)",
                    busy=True,
                ) from None
            raise _Again(
                f"could not be reached, or broke off ({_why(error)}; is it running, and is annotator_url right?)"
            ) from None
        reason = self._passing(status, path, content)
        if status in (429, 503, 529):
            self._slow_down(turn, headers.get("Retry-After"))
            raise _Again(reason, busy=True)
        raise _Again(reason, Broken if status == 500 else Incomplete)

    async def _exchange(self, method: str, path: str, body: Any) -> tuple[int, Any, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=aiohttp.ClientTimeout(
                    total=self._server.request_timeout,
                    sock_connect=min(10.0, self._server.request_timeout),
                ),
                connector=aiohttp.TCPConnector(limit=0),  # Pace is the limit
            )
        async with self._session.request(
            method, self.url + path, json=body, proxy=self._proxy, allow_redirects=False
        ) as response:
            return response.status, response.headers, await response.read()

    def _passing(self, status: int, path: str, content: bytes) -> str:
        """Why a request failed, where sending it again can help; raises where it cannot."""
        variable = self._server.api_key_variable
        if status in (401, 403):  # what the server says may hold part of the key
            wrong = (
                f"does not take the key in the environment variable {variable} (HTTP {status}). Set it to one that may use the model."
                if self._key
                else f"wants a key (HTTP {status}). Set it in the environment variable {variable}, or name another one with -P api_key_variable=..."
            )
            raise Refused(f"the server at {self.url} {wrong}", status)
        if 300 <= status < 400:
            raise AssayError(
                f"the server at {self.url} sends {path} elsewhere (HTTP {status}). Give its final address with -P annotator_url=..."
            )
        message, code = self._says(content)
        if status in (408, 409, 425, 429) or (status >= 500 and status != 501):
            return f"answered {path} with HTTP {status}{': ' if message else ''}{message}"
        raise Refused(
            f"the server at {self.url} refuses the request to {path} (HTTP {status}): {message or 'it does not say why.'}",
            status,
            code,
        )

    def _slow_down(self, turn: int, retry_after: str | None) -> None:
        wait = seconds(retry_after)
        if wait > LONGEST_WAIT:
            raise Incomplete(
                f"the server at {self.url} asks to wait for {wait:.0f} s before the next request. Answers on disk are kept; run again then to go on."
            )
        self.pace.busy(turn, wait)

    def scrub(self, text: str) -> str:
        """``text`` without the key, in whatever way it is written, and without anything else that is secret."""
        return scrubbed(hide(text, self._key))

    def _says(self, content: bytes) -> tuple[str, str]:
        """A server's own words about an error, scrubbed and shortened, and its code for it."""
        text, code = content.decode("utf-8", "replace"), ""
        with contextlib.suppress(ValueError):
            found = json.loads(text)
            inner = found.get("error", found) if isinstance(found, dict) else found
            if isinstance(inner, dict):
                code = str(inner.get("code") or "")
                inner = inner.get("message") or inner.get("detail") or inner
            text = str(inner)
        return self._short(text), code

    def _short(self, text: str) -> str:
        """``text`` on one line, scrubbed, and only then cut, so that no part of the key is left."""
        text = self.scrub(" ".join(text.split()))
        return text if len(text) <= 300 else f"{text[:300]} ..."


async def together(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """All results, in order. The first error is raised and ends all others; an Incomplete bears the results there are, by place."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return list(await asyncio.gather(*tasks))
    except Incomplete as error:
        error.partial = {
            place: task.result()
            for place, task in enumerate(tasks)
            if task.done() and not task.cancelled() and not task.exception()
        }
        raise
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Malformed(f"JSON that breaks off or is none ({len(content)} bytes)") from None


def _why(error: BaseException) -> str:
    """What kind of error it is, in the operating system's words where it has some: its own text may quote what was sent."""
    inner = getattr(error, "os_error", error)
    return (
        os.strerror(inner.errno)
        if isinstance(inner, OSError) and inner.errno and inner.errno > 0
        else type(error).__name__
    )
