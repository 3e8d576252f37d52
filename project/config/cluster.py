"""Where texts are annotated and embedded, and seeds trained: here, or on a Ray cluster."""

from __future__ import annotations

import re

from project.config.fields import ConfigSection, parameter, section
from project.support.errors import AssayError, did_you_mean

NO_CLUSTER = "none"
LOCAL_CLUSTER = "local"
ANY_CLUSTER = "auto"
WORDS = (NO_CLUSTER, LOCAL_CLUSTER, ANY_CLUSTER)
_ADDRESS = re.compile(r"(ray://)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_MOST_PORT = 65_535


def check_cluster(value: object) -> None:
    """Refuse what is neither one of the words nor an address with a port."""
    text = str(value).strip()
    if text in WORDS:
        return
    address = _ADDRESS.fullmatch(text)
    if address is None or not 1 <= int(address[3]) <= _MOST_PORT:
        raise AssayError(
            "cluster must be none, local, auto, HOST:PORT of a cluster that this machine belongs "
            f"to, or ray://HOST:10001 of another one; got {text!r}.{did_you_mean(text, WORDS)}"
        )


@section
class ClusterConfig(ConfigSection):
    """Where texts are annotated and embedded, and seeds trained."""

    cluster: str = parameter(
        default=NO_CLUSTER,
        help="where texts are annotated and embedded, and seeds trained: none (here), local (Ray "
        "on this machine), auto (the Ray cluster of RAY_ADDRESS, or the one that this machine "
        "belongs to), HOST:PORT or ray://HOST:10001; it changes no result (of a sweep, see "
        "sweep_at_once)",
        check=check_cluster,
    )
