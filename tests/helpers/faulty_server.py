"""A small server that speaks the OpenAI protocol, badly where a test wants it to.

It answers from a fixed function of the prompt, so that a test knows the right answer, and tells of it as much as the kind of
server it stands for would. Faults are played once each, in the order in which requests come in; then it behaves.
"""

import json
import math
import sys
import threading
import time
import zlib
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

EXACT, ALLOWED, BIASED, LISTED, SAMPLED = (
    "logprob_token_ids",
    "allowed_token_ids",
    "logit_bias",
    "top_logprobs",
    "no logprobs",
)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request: another status, a delay in seconds, a connection cut in the answer, an answer ``spoil``-ed."""

    status: int = 200
    headers: dict = field(default_factory=dict)
    says: object = None
    delay: float = 0.0
    cut: bool = False
    truncate: bool = False
    spoil: object = None


def no_logprobs(data):
    return {**data, "choices": [{**choice, "logprobs": None} for choice in data["choices"]]}


def wrong_ids(data):
    for choice in data["choices"]:
        choice["logprobs"]["top_logprobs"] = [
            {f"token_id:{100_000 + i}": -1.0 - i for i in range(20)}
        ]
    return data


class FaultyServer:
    """``can``: what it tells of the next token. ``vocabulary``: the text of each token; the logits of ``favoured`` ones are raised by ``boost``.

    ``prebias``: it takes ``allowed_token_ids`` and ``logit_bias`` but tells the log probabilities before them. ``strict``: it refuses
    fields that the OpenAI protocol does not have. ``least_listed``: it lists so many tokens, however few are asked for. ``capacity``:
    more requests at once than that are answered with 429.
    """

    def __init__(
        self,
        vocabulary,
        *,
        can,
        favoured=(),
        boost=4.0,
        prebias=False,
        strict=False,
        most_listed=20,
        least_listed=0,
        ids=True,
        n=True,
        batches=True,
        capacity=10**9,
        models=("model",),
        context=None,
        key=None,
        completions=True,
        chat=True,
    ):
        self.vocabulary, self.can, self.favoured, self.prebias, self.strict = (
            list(vocabulary),
            can,
            list(favoured),
            prebias,
            strict,
        )
        self.most_listed, self.least_listed, self.ids, self.n, self.batches, self.capacity = (
            most_listed,
            least_listed,
            ids,
            n,
            batches,
            capacity,
        )
        self.models, self.context, self.key, self.completions, self.chat = (
            models,
            context,
            key,
            completions,
            chat,
        )
        self.requests, self.always, self.listing, self.boost = [], None, None, boost
        self.faults: deque[Fault] = deque()
        self.running, self.most_running, self.lock = 0, 0, threading.Lock()
        self.http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_of": self}))
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
        )

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.http.server_port}/v1"

    @property
    def posts(self):
        """Bodies of the POST requests so far."""
        return [request["body"] for request in self.requests if request["body"] is not None]

    def log_probabilities(self, prompt):
        """The model: natural log probabilities of every token behind ``prompt`` (token ids, text or messages)."""
        logits = np.random.default_rng(zlib.crc32(json.dumps(prompt).encode())).normal(
            scale=2.0, size=len(self.vocabulary)
        )
        logits[self.favoured] += self.boost
        return logits - np.logaddexp.reduce(logits)

    def name(self, token, body):
        return (
            f"token_id:{token}"
            if self.ids and body.get("return_tokens_as_token_ids")
            else self.vocabulary[token]
        )

    def answer(self, path, body):
        """The status and the JSON of one request."""
        chat = path.endswith("/chat/completions")
        known = {
            "model",
            "prompt",
            "messages",
            "max_tokens",
            "temperature",
            "logprobs",
            "top_logprobs",
            "n",
            "stop",
            "logit_bias",
        }
        if body["model"] not in self.models:
            return 404, {
                "error": {
                    "message": f"The model {body['model']!r} does not exist.",
                    "code": "model_not_found",
                }
            }
        if not (self.chat if chat else self.completions):
            return 404, {"detail": "Not Found"}
        if self.strict and body.keys() - known:
            return 400, {
                "error": {
                    "message": f"Unrecognized request arguments: {sorted(body.keys() - known)}"
                }
            }
        if max(
            body.get("top_logprobs") or 0, body.get("logprobs") or 0
        ) > self.most_listed and not body.get("logprob_token_ids"):
            return 400, {"error": {"message": f"logprobs must be at most {self.most_listed}"}}
        prompts = (
            [body["messages"]]
            if chat
            else body["prompt"]
            if isinstance(body["prompt"], list)
            else [body["prompt"]]
        )
        if not chat and isinstance(prompts[0], int):
            prompts = [prompts]
        if (
            not self.batches
            and not chat
            and isinstance(body["prompt"], list)
            and isinstance(body["prompt"][0], list)
        ):
            return 400, {"error": {"message": "prompt must be one list of token ids"}}
        if self.context and any(
            isinstance(prompt, list)
            and not chat
            and len(prompt) + body["max_tokens"] > self.context
            for prompt in prompts
        ):
            return 400, {
                "error": {
                    "message": f"This model's maximum context length is {self.context} tokens."
                }
            }
        n = body.get("n", 1) if self.n else 1
        choices = [
            self.choice(prompt, body, chat, place) for prompt in prompts for place in range(n)
        ]
        for index, choice in enumerate(choices):
            choice["index"] = index
        return 200, {"choices": choices[::-1], "usage": {"prompt_tokens": 7 * len(prompts)}}

    def choice(self, prompt, body, chat, place):
        logs = self.log_probabilities(prompt)
        told = logs
        held = body.get("allowed_token_ids") if ALLOWED in self.can else None
        if BIASED in self.can and body.get("logit_bias"):
            held = [int(token) for token in body["logit_bias"]]
        if held and not self.prebias:
            told = np.full(len(logs), -math.inf)
            told[held] = logs[held] - np.logaddexp.reduce(logs[held])
        rng = np.random.default_rng([zlib.crc32(json.dumps(prompt).encode()), place])
        sampled = (
            int(told.argmax())
            if body.get("temperature", 1) == 0
            else int((told + rng.gumbel(size=len(told))).argmax())
        )
        k = body.get("top_logprobs") if chat else body.get("logprobs")
        order = list(np.argsort(-told, kind="stable")[: max(k or 0, self.least_listed)])
        if EXACT in self.can and body.get("logprob_token_ids"):
            order = body["logprob_token_ids"]
        if SAMPLED in self.can or k is None or k is False:
            listed = None
        else:
            listed = {
                self.name(token, body): max(float(told[token]), -9999.0)
                for token in dict.fromkeys([sampled, *map(int, order)])
            }
        text = self.vocabulary[sampled]
        if chat:
            top = [{"token": name, "logprob": value} for name, value in (listed or {}).items()][:20]
            logprobs = (
                {"content": [{"token": self.name(sampled, body), "top_logprobs": top}]}
                if listed
                else None
            )
            return {
                "message": {"role": "assistant", "content": text},
                "logprobs": logprobs,
                "finish_reason": "length",
            }
        logprobs = (
            {"tokens": [self.name(sampled, body)], "top_logprobs": [listed]} if listed else None
        )
        return {"text": text, "logprobs": logprobs, "finish_reason": "length"}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        if not isinstance(
            sys.exception(), ConnectionError
        ):  # a client that has gone away is what some tests are about
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and content in one packet
    server_of: FaultyServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_one(None)

    def do_POST(self):
        self.handle_one(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def handle_one(self, body):
        server = self.server_of
        request = {
            "path": self.path,
            "body": body,
            "began": time.monotonic(),
            "authorization": self.headers.get("Authorization"),
        }
        with server.lock:
            server.requests.append(request)
            server.running += 1
            server.most_running = max(server.most_running, server.running)
            crowded = server.running > server.capacity
            fault = (
                (server.faults.popleft() if server.faults else server.always)
                if body is not None
                else None
            )
        try:
            self.reply(
                body,
                fault or (Fault(429, says="too many requests") if crowded else Fault()),
                crowded,
            )
        finally:
            with server.lock:
                server.running -= 1

    def reply(self, body, fault, crowded):
        server = self.server_of
        time.sleep(fault.delay + (0.01 if server.capacity < 10**9 and not crowded else 0))
        if server.key and self.headers.get("Authorization") != f"Bearer {server.key}":
            return self.send(
                401,
                {
                    "error": {
                        "message": f"Incorrect API key provided: {self.headers.get('Authorization')}"
                    }
                },
                {},
            )
        if fault.status != 200:
            echo = f"{fault.says} for {self.headers.get('Authorization')}"
            return self.send(
                fault.status,
                fault.says if isinstance(fault.says, dict) else {"error": {"message": echo}},
                fault.headers,
            )
        if body is None:
            models = server.listing or [
                {"id": name, **({"max_model_len": server.context} if server.context else {})}
                for name in server.models
            ]
            return self.send(200, {"object": "list", "data": models}, {})
        status, data = server.answer(self.path, body)
        if fault.spoil and status == 200:
            data = fault.spoil(data)
        return self.send(status, data, fault.headers, cut=fault.cut, truncate=fault.truncate)

    def send(self, status, data, headers, *, cut=False, truncate=False):
        content = json.dumps(data).encode()
        if truncate:
            content = content[: len(content) // 2]
        self.send_response(status)
        for name, value in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self.close_connection = True
