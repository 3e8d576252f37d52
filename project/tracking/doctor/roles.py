"""The people of a tracking server that asks who they are, and the role that lets them log."""

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
_WORKSPACE = "default"  # the one of a server without workspaces
# On what others made: whoever makes an experiment may do all with it, and deleting it stays with them and the admin.
_GRANTS = (("experiment", "EDIT"), ("prompt", "EDIT"))


def ensure_role(name: str = ANNOTATORS) -> int:
    """The id of the role ``name``, which may edit all experiments and prompts; made, or given what it lacks. Only the admin may ask."""
    with _refusals(f"the role {name!r}"):
        people = _people()
        known = [role for role in people.list_roles(_WORKSPACE) if role.name == name]
        role = (
            known[0]
            if known
            else people.create_role(
                _WORKSPACE, name, "May log to all experiments and edit all prompts."
            )
        )
        held = {
            (one.resource_type, one.permission)
            for one in people.list_role_permissions(role.id)
            if one.resource_pattern == "*"
        }
        for resource, permission in _GRANTS:
            if (resource, permission) not in held:
                people.add_role_permission(role.id, resource, "*", permission)
        return role.id


def add_person(name: str, password: str, role: str = ANNOTATORS) -> None:
    """A new person who has the role, or who only reads what others made where ``role`` is empty. Only the admin may add one."""
    with _refusals(f"the person {name!r}"):
        people, role_id = _people(), ensure_role(role) if role else 0
        with without_retries():  # sent again, it would be refused as known already
            people.create_user(name, password)
        try:
            if role:
                people.assign_role(name, role_id)
        except mlflow.MlflowException:  # half a person would stand in the way of the next try
            with contextlib.suppress(mlflow.MlflowException):
                people.delete_user(name)
            raise


def _people() -> Any:
    """Asks the tracking server about users and roles."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # the whole server is imported with it, and warns about what it is made of
        from mlflow.server.auth.client import AuthServiceClient
    return AuthServiceClient(mlflow.get_tracking_uri())


@contextlib.contextmanager
def _refusals(what: str) -> Iterator[None]:
    """Raise AssayError for what the server refuses in the context."""
    try:
        yield
    except mlflow.MlflowException as error:
        reason = short_message(error)
        if isinstance(error, RestException) and error.error_code == "RESOURCE_ALREADY_EXISTS":
            reason = "there is one of this name already."  # the server's own words show the hash of a password
        raise AssayError(f"{what} cannot be made at {address()}: {reason}") from error
