"""What a server says of its models, asked once and without patience."""

from __future__ import annotations

import contextlib
import dataclasses

from project.annotation.engines.openai.client import Client
from project.annotation.engines.openai.faults import TLSFailed, Unreachable
from project.annotation.engines.openai.parsing import ServerInfo
from project.annotation.engines.openai.probe import Probe
from project.config.annotation import AnnotateConfig, ServerConfig

_PATIENCE = 10.0  # seconds


def listed_models(annotate: AnnotateConfig, server: ServerConfig) -> ServerInfo:
    """The list of models of the server, from one request of ten seconds at most.

    A check should fail soon, while an experiment waits for a busy server. A list that the server
    does not give is empty, with the reason.

    Raises
    ------
    Unreachable, TLSFailed
        If this machine cannot reach the server.
    """
    patience = min(_PATIENCE, server.request_timeout)
    impatient = dataclasses.replace(server, request_timeout=patience, request_retries=0)
    with contextlib.closing(Client(impatient.annotator_url.rstrip("/"), impatient)) as client:
        info = client.run(Probe(client, annotate, None).server_info())
    if isinstance(info.failure, Unreachable | TLSFailed):
        raise info.failure
    return info
