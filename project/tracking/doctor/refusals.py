"""Errors that explain a refusal of the tracking store and give the user a way out."""

from __future__ import annotations

import contextlib
import os
import urllib.parse
from collections.abc import Iterator

import mlflow

from project.support.errors import AssayError
from project.support.redact import scrubbed
from project.tracking.failures import StoreUnavailable, address, reason
from project.tracking.root import current_user
from project.tracking.store import root_experiment_name

_LOGIN_VARIABLES = (
    "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"
)


@contextlib.contextmanager
def explained(experiment: str = "") -> Iterator[None]:
    """Raise an error with a way out for what MLflow raises in the context.

    ``experiment`` is the name of the experiment to which the context writes; empty if it only
    reads.
    """
    try:
        yield
    except mlflow.MlflowException as error:
        raise _refusal(error, experiment) from error


def _refusal(error: mlflow.MlflowException, experiment: str) -> AssayError:
    """The error that tells a user what an error of MLflow means."""
    why = reason(error)
    status = error.get_http_status_code()
    uri = mlflow.get_tracking_uri()
    # The texts below are those of MLflow's own messages: many refusals have no code of their own.
    if refusal := _server_refusal(why, status, uri, experiment):
        return refusal
    if status == 403 or "permission denied" in why.casefold():
        return AssayError(
            f"the tracking store {address()}: {why} Ask its owner for the permission to write."
        )
    if why.startswith("Invalid url"):
        return AssayError(
            "MLFLOW_TRACKING_URI is not an address. Quote special characters in user and "
            "password: %2F for a slash, %40 for an @."
        )
    if "maintenance mode" in why:
        return AssayError(
            f"the tracking store {address()} is a folder of files, which MLflow "
            f"{mlflow.__version__} refuses. Set MLFLOW_TRACKING_URI to "
            "sqlite:////absolute/path/mlflow.db; mlflow migrate-filestore converts old runs."
        )
    if "out-of-date database schema" in why:
        return outdated()
    if status == 404:
        return AssayError(
            f"the tracking store {address()}: {why} "
            "Correct MLFLOW_EXPERIMENT_ID, MLFLOW_RUN_ID or MLFLOW_TRACKING_URI."
        )
    return unavailable(why)


def _server_refusal(why: str, status: int, uri: str, experiment: str) -> AssayError | None:
    """The error for a refusal that only servers make; None for any other."""
    if "Invalid Host header" in why:
        parts = urllib.parse.urlsplit(uri)
        # Without and with the port; once if the address has no port.
        names = dict.fromkeys((str(parts.hostname), parts.netloc.rpartition("@")[2]))
        return AssayError(
            f"the tracking server {address()} refuses the Host header: it was not started for that "
            f"name. Start it with --allowed-hosts {','.join(names)} and all its other names."
        )
    # A server with MLflow's basic-auth fails like this when it gets a token.
    if why.startswith("it answers 500") and _token_is_used():
        return AssayError(
            f"the tracking server {address()} fails with the token in MLFLOW_TRACKING_TOKEN, as "
            "servers do that ask for a name and a password. Unset it, and set "
            "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    if status == 401:
        return _not_logged_in()
    if not uri.startswith("http"):
        return None
    if status == 403 or "permission denied" in why.casefold():
        return forbidden(experiment)
    if "valid JSON format" in why or (status == 404 and "Response body" in why):
        return AssayError(
            f"what answers at {address()} is not an MLflow server, or is a login page in front of "
            "one. Correct MLFLOW_TRACKING_URI."
        )
    return None


def unavailable(why: str) -> StoreUnavailable:
    """The error for a store that cannot be reached or that fails."""
    if "certificate verify failed" in why:
        way_out = "Set MLFLOW_TRACKING_SERVER_CERT_PATH to the certificate of its authority."
    else:
        way_out = (
            "Start or repair it, or correct MLFLOW_TRACKING_URI; nothing has been computed yet."
        )
    return StoreUnavailable(f"the tracking store {address()} cannot be used: {why} {way_out}")


def outdated(schema: str = "") -> AssayError:
    """The error for a database of an older MLflow; ``schema``: what it has and what it needs."""
    return AssayError(
        f"the database of the tracking store {address()} has an out-of-date schema{schema}. "
        "Back it up, tell everyone who shares it, and run: "
        'mlflow db upgrade "$MLFLOW_TRACKING_URI"'
    )


def unknown_schema(schema: str) -> AssayError:
    """The error for a database of a newer MLflow or of another program."""
    return AssayError(
        f"the database of the tracking store {address()} has the schema {schema}, which MLflow "
        f"{mlflow.__version__} does not know: it belongs to a newer MLflow or another program. "
        "Upgrade mlflow here, or name a database for MLflow alone in MLFLOW_TRACKING_URI."
    )


def _token_is_used() -> bool:
    """Whether MLflow sends a token to the server; name and password come before it."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    return bool(os.environ.get("MLFLOW_TRACKING_TOKEN")) and not (name and password)


def _not_logged_in() -> AssayError:
    """The error for a server that does not accept the user's login, or gets none."""
    name = os.environ.get("MLFLOW_TRACKING_USERNAME")
    password = os.environ.get("MLFLOW_TRACKING_PASSWORD")
    if name and password:
        return AssayError(
            f"the tracking server {address()} does not know the user {name!r} with that password. "
            f"Correct {_LOGIN_VARIABLES}."
        )
    if _token_is_used():
        return AssayError(
            f"the tracking server {address()} does not accept the token in "
            "MLFLOW_TRACKING_TOKEN. Get a new one from the server's admin."
        )
    missing = "MLFLOW_TRACKING_PASSWORD is not set" if name else "it asks for a user name"
    return AssayError(
        f"the tracking server {address()} refuses you: {missing}. Set {_LOGIN_VARIABLES}."
    )


def forbidden(experiment: str) -> AssayError:
    """The error for a user who may not write to ``experiment``, or not read any if it is empty."""
    if experiment:
        action = f"write to the experiment {experiment!r}"
    else:
        action = f"read the experiment {root_experiment_name()!r}"
    return AssayError(
        f"{current_user()!r} may not {action} of the tracking server {address()}: that takes the "
        "permission EDIT. Ask its maker or the server's admin to grant it, or set "
        "MLFLOW_EXPERIMENT_NAME to an experiment of your own."
    )


def no_artifacts(error: Exception, experiment: str, uri: str) -> AssayError:
    """The error for a store that accepts runs but not their files.

    Parameters
    ----------
    error
        What the client of the artifact store raised.
    experiment
        Name of the experiment.
    uri
        Where its artifacts belong.

    Returns
    -------
    AssayError
        StoreUnavailable, or the error of :func:`forbidden`.
    """
    why = reason(error)
    if why.startswith("403 "):
        return forbidden(experiment)
    scheme = urllib.parse.urlsplit(uri).scheme
    if scheme in ("http", "https", "mlflow-artifacts"):
        way_out = (
            "The server keeps them at its --artifacts-destination: make sure that it can write "
            "there; its log has the reason."
        )
    elif scheme in ("", "file"):
        way_out = (
            "Make sure that you may write there, or use a server that is started with "
            "--artifacts-destination."
        )
    else:
        way_out = (
            "This machine must reach them itself: install the client that it takes and set its "
            "keys, or start the server with --artifacts-destination."
        )
    return StoreUnavailable(
        f"artifacts of the experiment {experiment!r} cannot be kept at {scrubbed(uri)}: "
        f"{why} {way_out}"
    )
