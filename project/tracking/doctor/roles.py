"""Users of a tracking server that asks for names, and the role that lets them log."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any

import mlflow
from mlflow.exceptions import RestException

from project.support.errors import AssayError
from project.support.redact import short_message
from project.tracking.failures import address, without_retries

ANNOTATORS = "annotators"
_WORKSPACE = "default"  # MLflow's name for the only one of a server without workspaces
# Permissions on what other users made. Whoever makes an experiment may do everything with it;
# deleting it stays with them and the admin.
_GRANTS = (("experiment", "EDIT"), ("prompt", "EDIT"))


def ensure_role(name: str = ANNOTATORS) -> int:
    """The id of the role ``name``, which may edit all experiments and prompts.

    It is made, or given the permissions it lacks. Only the admin of the server may do that.
    """
    with _explained(f"the role {name!r}"):
        client = _auth_client()
        existing = [role for role in client.list_roles(_WORKSPACE) if role.name == name]
        if existing:
            role = existing[0]
        else:
            about = "May log to all experiments and edit all prompts."
            role = client.create_role(_WORKSPACE, name, about)
        granted = {
            (permission.resource_type, permission.permission)
            for permission in client.list_role_permissions(role.id)
            if permission.resource_pattern == "*"
        }
        for resource, permission in _GRANTS:
            if (resource, permission) not in granted:
                client.add_role_permission(role.id, resource, "*", permission)
        return role.id


def add_user(name: str, password: str, role: str = ANNOTATORS) -> None:
    """Make a user of the tracking server; only its admin may do that.

    Parameters
    ----------
    name, password
        What the user logs in with.
    role
        A role that is made if it does not exist; empty for a user who may only read.

    Raises
    ------
    AssayError
        If the server refuses; nothing is left of the user then.
    """
    with _explained(f"the user {name!r}"):
        role_id = ensure_role(role) if role else 0
        client = _auth_client()
        # A repeated request would be refused, as the name exists by then.
        with without_retries():
            client.create_user(name, password)
        try:
            if role:
                client.assign_role(name, role_id)
        except mlflow.MlflowException:
            # A user without the role would make the next try fail, as the name exists.
            with contextlib.suppress(mlflow.MlflowException):
                client.delete_user(name)
            raise


def _auth_client() -> Any:
    """MLflow's client for users and roles."""
    with warnings.catch_warnings():
        # The import loads the whole server, which warns about its own dependencies.
        warnings.simplefilter("ignore")
        from mlflow.server.auth.client import AuthServiceClient
    return AuthServiceClient(mlflow.get_tracking_uri())


@contextlib.contextmanager
def _explained(what: str) -> Iterator[None]:
    """Raise AssayError for what the server refuses in the context."""
    try:
        yield
    except mlflow.MlflowException as error:
        reason = short_message(error)
        if isinstance(error, RestException) and error.error_code == "RESOURCE_ALREADY_EXISTS":
            # The server's own message would show the hash of a password.
            reason = "the name exists."
        raise AssayError(f"{what} cannot be made at {address()}: {reason}") from error
