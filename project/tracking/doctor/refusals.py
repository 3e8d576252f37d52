"""What a tracking store's refusals mean, and what to do about each: MLflow tells them as it would a programmer."""

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

_NAMES = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"


@contextlib.contextmanager
def explained(experiment: str = "") -> Iterator[None]:
    """Say of what MLflow raises in the context what it means and what to do; ``experiment``: what is written to, empty where it is only read."""
    try:
        yield
    except mlflow.MlflowException as error:
        raise _refusal(error, experiment) from error


def _refusal(error: mlflow.MlflowException, experiment: str) -> AssayError:
    why, uri, status = reason(error), mlflow.get_tracking_uri(), error.get_http_status_code()
    server = uri.startswith("http")
    if "Invalid Host header" in why:
        parts = urllib.parse.urlsplit(uri)
        names = ",".join(dict.fromkeys((str(parts.hostname), parts.netloc.rpartition("@")[2])))
        return AssayError(
            f"the tracking server {address()} does not go by that name: it refuses the Host header. Start it with --allowed-hosts {names} and every "
            "other name that it goes by."
        )
    if why.startswith("it answers 500") and _token():  # MLflow's own basic-auth does
        return AssayError(
            f"the tracking server {address()} fails at what is in MLFLOW_TRACKING_TOKEN, as one does that asks for names and passwords. Unset it, "
            "and set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD."
        )
    if status == 401:
        return _unknown_user()
    if status == 403 or "permission denied" in why.casefold():
        return (
            forbidden(experiment)
            if server
            else AssayError(
                f"the tracking store {address()}: {why} Ask whoever runs it to let you write."
            )
        )
    if why.startswith("Invalid url"):
        return AssayError(
            "MLFLOW_TRACKING_URI is no address. Quote what is special in user and password: %2F for a slash, %40 for an @."
        )
    if "maintenance mode" in why:
        return AssayError(
            f"the tracking store {address()} is a folder of files, which MLflow {mlflow.__version__} refuses. Set "
            "MLFLOW_TRACKING_URI=sqlite:////absolute/path/mlflow.db; mlflow migrate-filestore takes old runs along."
        )
    if "out-of-date database schema" in why:
        return outdated()
    if server and ("valid JSON format" in why or (status == 404 and "Response body" in why)):
        return AssayError(
            f"what answers at {address()} is no MLflow server, or a login page before it. Correct MLFLOW_TRACKING_URI."
        )
    if status == 404:
        return AssayError(
            f"the tracking store {address()}: {why} Correct MLFLOW_EXPERIMENT_ID, MLFLOW_RUN_ID or MLFLOW_TRACKING_URI."
        )
    return away(why)


def away(why: str) -> StoreUnavailable:
    """A store that cannot be reached, or that fails."""
    if "certificate verify failed" in why:
        way_out = "Give the certificate of its authority in MLFLOW_TRACKING_SERVER_CERT_PATH."
    else:
        way_out = (
            "Start it or mend it, or correct MLFLOW_TRACKING_URI; nothing has been computed yet."
        )
    return StoreUnavailable(f"the tracking store {address()} cannot be used: {why} {way_out}")


def outdated(schema: str = "") -> AssayError:
    """A database that an older MLflow has made; ``schema``: which it has and which it should have."""
    return AssayError(
        f"the database of the tracking store {address()} has an out-of-date schema{schema}. Back it up, tell whoever shares it, and run: "
        'mlflow db upgrade "$MLFLOW_TRACKING_URI"'
    )


def unknown_schema(schema: str) -> AssayError:
    """A database that a newer MLflow has made, or another program."""
    return AssayError(
        f"the database of the tracking store {address()} has the schema {schema}, which MLflow {mlflow.__version__} does not know: a newer MLflow's, "
        "or another program's. Upgrade mlflow here, or give it a database of its own in MLFLOW_TRACKING_URI."
    )


def _token() -> bool:
    """Whether a token is what MLflow shows the server."""
    name, password, token = (
        os.environ.get(f"MLFLOW_TRACKING_{word}") for word in ("USERNAME", "PASSWORD", "TOKEN")
    )
    return bool(token) and not (name and password)


def _unknown_user() -> AssayError:
    name, password = (
        os.environ.get(f"MLFLOW_TRACKING_{word}") for word in ("USERNAME", "PASSWORD")
    )
    if name and password:
        return AssayError(
            f"the tracking server {address()} does not know {name!r} with that password. Correct {_NAMES}."
        )
    if _token():
        return AssayError(
            f"the tracking server {address()} does not take what is in MLFLOW_TRACKING_TOKEN. Get a new one where you got that."
        )
    lacking = "MLFLOW_TRACKING_PASSWORD is not set" if name else "it asks who you are"
    return AssayError(f"the tracking server {address()} refuses you: {lacking}. Set {_NAMES}.")


def forbidden(experiment: str) -> AssayError:
    """A user whom the server knows, and who may not write to the experiment; may not even read it, where none is named."""
    what = (
        f"write to the experiment {experiment!r}"
        if experiment
        else f"read the experiment {root_experiment_name()!r}"
    )
    return AssayError(
        f"{current_user()!r} may not {what} of the tracking server {address()}: that takes the permission EDIT. Ask whoever made it, or the server's admin, to "
        "grant it; or name an experiment of your own with MLFLOW_EXPERIMENT_NAME (mlflow run: --experiment-name)."
    )


def no_artifacts(error: Exception, experiment: str, uri: str) -> AssayError:
    """A store that takes runs and not their files, which belong at ``uri``."""
    why, scheme = reason(error), urllib.parse.urlsplit(uri).scheme
    if why.startswith("403 "):
        return forbidden(experiment)
    if scheme in ("http", "https", "mlflow-artifacts"):
        way_out = "The server keeps them at its --artifacts-destination: see that it can write there; its log says why it could not."
    elif scheme in ("", "file"):
        way_out = "See that you may write there, or have a server keep them that is started with --artifacts-destination."
    else:
        way_out = "This machine must reach them itself: install what that takes and give it keys, or start the server with --artifacts-destination."
    return StoreUnavailable(
        f"artifacts of the experiment {experiment!r} cannot be kept at {scrubbed(uri)}: {why} {way_out}"
    )
