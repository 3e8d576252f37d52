"""A headless Chromium with real keys, driven through the DevTools protocol over a websocket."""

import asyncio
import base64
import json
import shutil
import subprocess
import time
from contextlib import contextmanager

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next((path for name in NAMES if (path := shutil.which(name))), None)
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
QUIET = ("--no-first-run", "--disable-background-networking", "--disable-sync")
KEY_CODES = {"Enter": 13, "Backspace": 8, "ArrowLeft": 37, "ArrowRight": 39, "Tab": 9}
PATIENCE = 20.0  # seconds to wait for the browser


@contextmanager
def chromium(folder):
    """A running browser whose profile is in ``folder``."""
    assert CHROMIUM is not None
    port = folder / "profile" / "DevToolsActivePort"
    process = subprocess.Popen(
        [CHROMIUM, *FLAGS, *QUIET, f"--user-data-dir={port.parent}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with asyncio.Runner() as runner:
            browser = Browser(runner, wait_for(lambda: _address(port)))
            yield browser
            browser.close()
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _address(file):
    """The address of the websocket, None before the browser has written the whole file."""
    lines = file.read_text().split() if file.exists() else []
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None


def wait_for(condition):
    """The first value of ``condition`` that is true."""
    end = time.monotonic() + PATIENCE
    while not (value := condition()):
        assert time.monotonic() < end, "the browser did not do it in time"
        time.sleep(0.02)
    return value


class Browser:
    """Commands to the browser, and the events that it has sent."""

    def __init__(self, runner, address):
        self._runner, self._n_sent, self.events = runner, 0, []
        self._session, self._socket = runner.run(self._connect(address))

    async def _connect(self, address):
        session = aiohttp.ClientSession()
        return session, await session.ws_connect(address, max_msg_size=0)

    def close(self):
        self._runner.run(self._session.close())

    def send(self, method, session=None, **params):
        """The result of a command; every dialog that it opens is accepted."""
        return self._runner.run(asyncio.wait_for(self._send(method, session, params), PATIENCE))

    async def _send(self, method, session, params):
        number = await self._post(method, session, params)
        while (message := json.loads((await self._socket.receive()).data)).get("id") != number:
            self.events.append(message)
            if message.get("method") == "Page.javascriptDialogOpening":
                accept = "Page.handleJavaScriptDialog"
                await self._post(accept, message["sessionId"], {"accept": True})
        assert "error" not in message, (method, message)
        return message["result"]

    async def _post(self, method, session, params):
        self._n_sent += 1
        message = {"id": self._n_sent, "method": method, "params": params}
        await self._socket.send_json(message | ({"sessionId": session} if session else {}))
        return self._n_sent


class Page:
    """A page with a storage of its own, in a screen of the given size."""

    def __init__(self, browser, width=1000, height=800):
        self._browser = browser
        self._context = browser.send("Target.createBrowserContext")
        target = browser.send("Target.createTarget", url="about:blank", **self._context)
        self._session = browser.send("Target.attachToTarget", flatten=True, **target)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.send(f"{domain}.enable")
        self.send("Page.setLifecycleEventsEnabled", enabled=True)
        self.send("Emulation.setFocusEmulationEnabled", enabled=True)  # other pages are open too
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.send("Emulation.setDeviceMetricsOverride", **size)

    def send(self, method, **params):
        return self._browser.send(method, self._session, **params)

    def events(self, method):
        """The parameters of all events of this name on this page."""
        mine = [each for each in self._browser.events if each.get("sessionId") == self._session]
        return [event["params"] for event in mine if event.get("method") == method]

    def open(self, url):
        self.load("Page.navigate", url=url)

    def load(self, method, **params):
        """Send a command and wait until its document is loaded and painted."""
        before = self._document()
        self.send(method, **params)
        wait_for(lambda: self._document() != before and self._document() in self._loaded())
        # Chromium drops keys and clicks that come before the first picture of a document.
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def _document(self):
        return self.send("Page.getFrameTree")["frameTree"]["frame"]["loaderId"]

    def _loaded(self):
        """All documents of this page that have been loaded."""
        events = self.events("Page.lifecycleEvent")
        return {event["loaderId"] for event in events if event["name"] == "load"}

    def value(self, expression):
        """The value of JavaScript; a promise is waited for."""
        options = {"awaitPromise": True, "returnByValue": True}
        answer = self.send("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, *keys):
        """Press and release keys: single characters, or names such as Enter."""
        for key in keys:
            place = f"Digit{key}" if key.isdecimal() else f"Key{key.upper()}"
            names = {"key": key, "code": place if len(key) == 1 else key}
            code = KEY_CODES.get(key) or ord(key.upper())
            text = key if len(key) == 1 else {"Enter": "\r"}.get(key)
            down = {"type": "keyDown", "text": text} if text else {"type": "rawKeyDown"}
            for kind in (down, {"type": "keyUp"}):
                self.send("Input.dispatchKeyEvent", **kind, **names, windowsVirtualKeyCode=code)

    def downloaded(self, folder, press):
        """The one file that ``press()`` downloads into the new ``folder``."""
        options = {"behavior": "allow", "downloadPath": str(folder), **self._context}
        self._browser.send("Browser.setDownloadBehavior", eventsEnabled=True, **options)
        n_before = self._n_downloaded()
        press()
        wait_for(lambda: self._n_downloaded() > n_before)
        return next(folder.glob("*.jsonl"))

    def _n_downloaded(self):
        """How many files the browser has downloaded completely."""
        self._browser.send("Browser.getVersion")  # any command, to receive events
        states = [
            event["params"]["state"]
            for event in self._browser.events
            if event.get("method") == "Browser.downloadProgress"
        ]
        return states.count("completed")

    def screenshot(self):
        return base64.b64decode(self.send("Page.captureScreenshot")["data"])
