"""A server with the OpenAI chat protocol that counts what it was asked, as a bill would.

python -m benchmarks.drill_server FOLDER

It listens on the loopback address, writes its port to FOLDER/port, and appends one line to
FOLDER/calls for each request when it arrives.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import math
import string
from pathlib import Path
from typing import Any

from aiohttp import web

SECONDS = 0.1
"""Time that an answer takes."""
MODEL = "drill"


def _answer(prompt: str) -> dict[str, Any]:
    """One letter with its log probabilities; a hash of the prompt decides."""
    digest = hashlib.sha256(prompt.encode()).digest()
    weights = [1 + byte for byte in digest[:4]]
    values = [math.log(weight / sum(weights)) for weight in weights]
    ordered = sorted(zip(values, string.ascii_uppercase, strict=False), reverse=True)
    listed = [{"token": letter, "logprob": value} for value, letter in ordered]
    letter = ordered[0][1]
    first = {"token": letter, "logprob": ordered[0][0], "top_logprobs": listed}
    message = {"role": "assistant", "content": letter}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "stop",
        "logprobs": {"content": [first]},
    }
    return {"choices": [choice], "usage": {"prompt_tokens": len(prompt) // 4}}


async def serve(folder: Path) -> None:
    """Serve until the process ends."""
    calls = (folder / "calls").open("a", buffering=1)

    async def complete(request: web.Request) -> web.Response:
        prompt = json.dumps((await request.json())["messages"])
        calls.write(hashlib.sha256(prompt.encode()).hexdigest() + "\n")
        await asyncio.sleep(SECONDS)
        return web.json_response(_answer(prompt))

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": MODEL, "max_model_len": 8192}]})

    application = web.Application()
    application.router.add_post("/v1/chat/completions", complete)
    application.router.add_get("/v1/models", models)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    (folder / "port").write_text(str(port))
    await asyncio.Event().wait()


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    asyncio.run(serve(parser.parse_args().folder))


if __name__ == "__main__":
    main()
