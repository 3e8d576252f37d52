"""How a tracking store fails: its address, the reason in one line, and requests without retries."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
from collections.abc import Iterator

import mlflow
import requests
from mlflow.exceptions import RestException

from project.support.errors import Incomplete
from project.support.redact import public_address, scrubbed

_CONNECTION_ERRORS = (
    ConnectionError,
    TimeoutError,
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.RetryError,
)
_CLIENT_LIBRARIES = ("urllib3", "sqlalchemy")  # every error of theirs is one of the connection
_RETRIES = "MLFLOW_HTTP_REQUEST_MAX_RETRIES"
_TIMEOUT = "MLFLOW_HTTP_REQUEST_TIMEOUT"

# The text of the innermost error, in the nested message that urllib3 makes of it.
_INNERMOST = (
    r"\[Errno -?\d+\] ([^\"'()\[\]]+)",
    r"\[(SSL: [A-Z_]+\] [^(\"']+)",
    r"([Rr]ead timed out|timed out)",
    r"too many (\d{3}) error responses",
)


class StoreUnavailable(Incomplete):
    """The tracking store cannot be reached or fails; what should be logged is kept on disk."""


def address() -> str:
    """The tracking URI without user and password."""
    return public_address(mlflow.get_tracking_uri())


def reason(error: object) -> str:
    """Why something failed: one line that ends in a full stop, without secrets and SQL."""
    text = scrubbed(" ".join(str(error).split()))
    # MLflow's message about a request that failed: the last of its many causes is enough.
    if "failed with" in text:
        text = _innermost(text)
        if text.isdigit():
            text = f"it answers {text} {http.client.responses.get(int(text), '')}"
    # SQLAlchemy appends the statement and a link to its manual, MLflow puts its error code first.
    text = re.split(r" ?\[SQL: | ?\(Background on ", text)[0]
    text = re.sub(r"^(?:[A-Z_]+: |\([a-z0-9_.]+Error\) )", "", text)[:300].strip()
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _innermost(text: str) -> str:
    """The text or HTTP status of the innermost error; ``text`` if none is recognised."""
    for pattern in _INNERMOST:
        match = re.search(pattern, text)
        if match:
            return match[1]
    return text


@contextlib.contextmanager
def store_errors() -> Iterator[None]:
    """Raise StoreUnavailable, with address and reason, for what MLflow raises inside."""
    try:
        yield
    # MLflow lets an HTTPError of requests through where an artifact is refused.
    except (mlflow.MlflowException, requests.RequestException) as error:
        raise StoreUnavailable(
            f"the tracking store {address()} failed: {reason(error)} "
            "Everything finished is kept in the workspace; run again when the store is back."
        ) from error


def is_outage(error: BaseException) -> bool:
    """Whether an error of MLflow or of an artifact client is an outage rather than a refusal.

    MLflow uses the same exception for both, so the chain of causes is searched as well.
    """
    chain = _causes(error)
    # An HTTP status decides: timeouts, throttling and server errors pass, the others are refusals.
    for cause in chain:
        if status := _http_status(cause):
            return status >= 500 or status in (408, 429)
    for cause in chain:
        library = type(cause).__module__.partition(".")[0]
        if isinstance(cause, _CONNECTION_ERRORS) or library in _CLIENT_LIBRARIES:
            return True
    if isinstance(error, mlflow.MlflowException):
        # INTERNAL_ERROR is MLflow's default code, also for mistakes found on this machine.
        remote = isinstance(error, RestException) or "download" in str(error)
        internal = error.error_code == "INTERNAL_ERROR" and remote
        return internal or error.error_code == "TEMPORARILY_UNAVAILABLE"
    # What is left comes from the client library of an artifact store. A package that is missing or
    # a file that cannot be written is this machine's fault; anything else may pass.
    return not isinstance(error, ImportError | OSError)


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what it was raised from, outermost first."""
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        chain.append(cause)
    return chain


def _http_status(error: BaseException) -> int:
    """The HTTP status that an error of requests or of boto3 carries; 0 for none."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode") or 0)
    return int(getattr(response, "status_code", None) or 0)


@contextlib.contextmanager
def without_retries(timeout_seconds: int = 30) -> Iterator[None]:
    """Let MLflow send each request once, and wait for the answer no longer than the timeout.

    A request that MLflow repeats by itself may arrive twice, and then a run is made twice. MLflow
    reads both settings from the environment, which all threads share: use it in one thread only.
    """
    before = {name: os.environ.get(name) for name in (_RETRIES, _TIMEOUT)}
    os.environ[_RETRIES] = "0"
    os.environ.setdefault(_TIMEOUT, str(timeout_seconds))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
