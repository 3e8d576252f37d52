"""A small server with the OpenAI protocol that can have the limits and faults of real servers.

It answers from a fixed function of the prompt, so that a test knows the right answer. It returns
as much of it as the kind of server that it stands for. Each fault in ``faults`` is played once, in
the order in which requests arrive; after that the server works.
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

EXACT = "logprob_token_ids"
ALLOWED = "allowed_token_ids"
BIASED = "logit_bias"
LISTED = "top_logprobs"
SAMPLED = "no logprobs"

UNLIMITED = 10**9
STANDARD_FIELDS = {
    *("model", "prompt", "messages", "max_tokens", "temperature"),
    *("logprobs", "top_logprobs", "n", "stop", "logit_bias"),
}
"""The request fields that the OpenAI protocol has."""


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one request.

    ``status``, ``headers`` and ``message`` of the response (a mapping is the whole body); ``delay``
    in seconds; ``cut``: the connection breaks within the response; ``truncate``: its JSON is cut;
    ``change``: a function that replaces the response's data.
    """

    status: int = 200
    headers: dict = field(default_factory=dict)
    message: object = None
    delay: float = 0.0
    cut: bool = False
    truncate: bool = False
    change: object = None


def no_logprobs(data):
    return {**data, "choices": [{**choice, "logprobs": None} for choice in data["choices"]]}


def wrong_ids(data):
    for choice in data["choices"]:
        choice["logprobs"]["top_logprobs"] = [
            {f"token_id:{100_000 + i}": -1.0 - i for i in range(20)}
        ]
    return data


@dataclass
class ServerLimits:
    """What the server supports.

    ``can``: what it returns for the next token, a set of EXACT, ALLOWED, BIASED, LISTED, SAMPLED.
    ``favoured``: tokens whose logits are raised by ``boost``. ``before_constraint``: a constrained
    reply has the log probabilities from before the constraint. ``strict``: fields outside the
    OpenAI protocol are refused. ``max_listed``, ``min_listed``: how many tokens it lists.
    ``token_ids``: it can write tokens as ids. ``several_samples``: it accepts ``n``.
    ``batches``: it accepts several prompts in one request.
    ``capacity``: further concurrent requests get HTTP 429.
    ``models``, ``context``, ``key``: the models it lists, their context, the key it requires.
    ``completions``, ``chat``: the endpoints it has.
    """

    can: set
    favoured: list = field(default_factory=list)
    boost: float = 4.0
    before_constraint: bool = False
    strict: bool = False
    max_listed: int = 20
    min_listed: int = 0
    token_ids: bool = True
    several_samples: bool = True
    batches: bool = True
    capacity: int = UNLIMITED
    models: tuple = ("model",)
    context: int | None = None
    key: str | None = None
    completions: bool = True
    chat: bool = True


class FaultyServer:
    """The server; ``vocabulary`` is the text of each token, ``limits`` are those of ServerLimits.

    Attributes
    ----------
    requests
        What was received: dicts with path, body (None for a GET), time and authorization.
    faults, fault_of_all
        Faults of the next POST requests, one each, and of all others.
    models_response
        The entries of the list of models, where they are not to be made from ``models``.
    writes
        A function from the last message of a chat to the whole reply, for requests without log
        probabilities; None: a reply is one token.
    """

    def __init__(self, vocabulary, **limits):
        self.vocabulary = list(vocabulary)
        self.limits = ServerLimits(**limits)
        self.favoured = list(self.limits.favoured)
        self.requests: list[dict] = []
        self.faults: deque[Fault] = deque()
        self.fault_of_all: Fault | None = None
        self.models_response: list[dict] | None = None
        self.writes = None
        self.n_running = 0
        self.max_running = 0
        self.lock = threading.Lock()
        self.http = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"owner": self}))
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
        """The model: log probabilities of every token after ``prompt`` (ids, text or messages)."""
        seed = zlib.crc32(json.dumps(prompt).encode())
        logits = np.random.default_rng(seed).normal(scale=2.0, size=len(self.vocabulary))
        logits[self.favoured] += self.limits.boost
        return logits - np.logaddexp.reduce(logits)

    def answer(self, path, body):
        """The status and the JSON of the response to one request."""
        chat = path.endswith("/chat/completions")
        prompts = _prompts(body, chat)
        refusal = self._refusal(body, prompts, chat)
        if refusal:
            return refusal
        n = body.get("n", 1) if self.limits.several_samples else 1
        choices = [
            self._choice(prompt, body, chat, sample) for prompt in prompts for sample in range(n)
        ]
        for index, choice in enumerate(choices):
            choice["index"] = index
        return 200, {"choices": choices[::-1], "usage": {"prompt_tokens": 7 * len(prompts)}}

    def _refusal(self, body, prompts, chat):
        """Status and JSON for a request that the server does not support, None for any other."""
        limits = self.limits
        if body["model"] not in limits.models:
            message = f"The model {body['model']!r} does not exist."
            return 404, {"error": {"message": message, "code": "model_not_found"}}
        if not (limits.chat if chat else limits.completions):
            return 404, {"detail": "Not Found"}
        unknown = sorted(body.keys() - STANDARD_FIELDS)
        if limits.strict and unknown:
            return _bad_request(f"Unrecognized request arguments: {unknown}")
        n_listed = max(body.get("top_logprobs") or 0, body.get("logprobs") or 0)
        if n_listed > limits.max_listed and not body.get("logprob_token_ids"):
            return _bad_request(f"logprobs must be at most {limits.max_listed}")
        if chat:
            return None
        is_batch = isinstance(body["prompt"], list) and isinstance(body["prompt"][0], list)
        if is_batch and not limits.batches:
            return _bad_request("prompt must be one list of token ids")
        lengths = [len(prompt) for prompt in prompts if isinstance(prompt, list)]
        if limits.context and lengths and max(lengths) + body["max_tokens"] > limits.context:
            return _bad_request(f"This model's maximum context length is {limits.context} tokens.")
        return None

    def _choice(self, prompt, body, chat, sample):
        """One choice: a reply of one token with the log probabilities that the server returns."""
        if self.writes and chat and not body.get("logprobs"):
            message = {"role": "assistant", "content": self.writes(prompt[-1]["content"])}
            return {"message": message, "logprobs": None, "finish_reason": "stop"}
        returned = self._constrained(self.log_probabilities(prompt), body)
        rng = np.random.default_rng([zlib.crc32(json.dumps(prompt).encode()), sample])
        # Adding Gumbel noise to log probabilities and taking the largest samples from them.
        noise = 0 if body.get("temperature", 1) == 0 else rng.gumbel(size=len(returned))
        sampled = int((returned + noise).argmax())
        listed = self._listed(returned, sampled, body, chat)
        text = self.vocabulary[sampled]
        if chat:
            message = {"role": "assistant", "content": text}
            top = [{"token": name, "logprob": value} for name, value in (listed or {}).items()]
            content = [{"token": self._name(sampled, body), "top_logprobs": top[:20]}]
            logprobs = {"content": content} if listed else None
            return {"message": message, "logprobs": logprobs, "finish_reason": "length"}
        logprobs = {"tokens": [self._name(sampled, body)], "top_logprobs": [listed]}
        return {"text": text, "logprobs": logprobs if listed else None, "finish_reason": "length"}

    def _constrained(self, logs, body):
        """Log probabilities of the tokens to which the request constrains the reply."""
        allowed = body.get("allowed_token_ids") if ALLOWED in self.limits.can else None
        if BIASED in self.limits.can and body.get("logit_bias"):
            allowed = [int(token) for token in body["logit_bias"]]
        if not allowed or self.limits.before_constraint:
            return logs
        constrained = np.full(len(logs), -math.inf)
        constrained[allowed] = logs[allowed] - np.logaddexp.reduce(logs[allowed])
        return constrained

    def _listed(self, logs, sampled, body, chat):
        """Log probabilities by token, the sampled one first; None if the server lists none."""
        n_listed = body.get("top_logprobs") if chat else body.get("logprobs")
        if SAMPLED in self.limits.can or n_listed is None or n_listed is False:
            return None
        n_listed = max(n_listed, self.limits.min_listed)
        tokens = list(np.argsort(-logs, kind="stable")[:n_listed])
        if EXACT in self.limits.can and body.get("logprob_token_ids"):
            tokens = body["logprob_token_ids"]
        return {
            self._name(token, body): max(float(logs[token]), -9999.0)
            for token in dict.fromkeys([sampled, *map(int, tokens)])
        }

    def _name(self, token, body):
        if self.limits.token_ids and body.get("return_tokens_as_token_ids"):
            return f"token_id:{token}"
        return self.vocabulary[token]


def _prompts(body, chat):
    """The prompts of a request, one or several."""
    if chat:
        return [body["messages"]]
    prompt = body["prompt"]
    is_batch = isinstance(prompt, list) and not isinstance(prompt[0], int)
    return prompt if is_batch else [prompt]


def _bad_request(message):
    return 400, {"error": {"message": message}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request, client_address):
        # Some tests are about clients that go away.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and content in one packet
    owner: FaultyServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_request(None)

    def do_POST(self):
        self.handle_request(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def handle_request(self, body):
        server = self.owner
        request = {
            "path": self.path,
            "body": body,
            "time": time.monotonic(),
            "authorization": self.headers.get("Authorization"),
        }
        fault = None
        with server.lock:
            server.requests.append(request)
            server.n_running += 1
            server.max_running = max(server.max_running, server.n_running)
            crowded = server.n_running > server.limits.capacity
            if body is not None:
                fault = server.faults.popleft() if server.faults else server.fault_of_all
        if fault is None:
            fault = Fault(429, message="too many requests") if crowded else Fault()
        try:
            self.respond(body, fault, crowded)
        finally:
            with server.lock:
                server.n_running -= 1

    def respond(self, body, fault, crowded):
        server = self.owner
        limited = server.limits.capacity < UNLIMITED
        time.sleep(fault.delay + (0.01 if limited and not crowded else 0))
        authorization = self.headers.get("Authorization")
        if server.limits.key and authorization != f"Bearer {server.limits.key}":
            error = {"message": f"Incorrect API key provided: {authorization}"}
            return self.send(401, {"error": error}, {})
        if fault.status != 200:
            echo = {"error": {"message": f"{fault.message} for {authorization}"}}
            data = fault.message if isinstance(fault.message, dict) else echo
            return self.send(fault.status, data, fault.headers)
        if body is None:
            return self.send(200, {"object": "list", "data": self.models()}, {})
        status, data = server.answer(self.path, body)
        if fault.change and status == 200:
            data = fault.change(data)
        return self.send(status, data, fault.headers, cut=fault.cut, truncate=fault.truncate)

    def models(self):
        """The entries of the list of models."""
        limits = self.owner.limits
        size = {"max_model_len": limits.context} if limits.context else {}
        return self.owner.models_response or [{"id": name, **size} for name in limits.models]

    def send(self, status, data, headers, *, cut=False, truncate=False):
        # A text is a page that is no JSON.
        content = data.encode() if isinstance(data, str) else json.dumps(data).encode()
        if truncate:
            content = content[: len(content) // 2]
        all_headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **headers,
        }
        self.send_response(status)
        for name, value in all_headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        self.wfile.flush()
        if cut:
            self.close_connection = True
